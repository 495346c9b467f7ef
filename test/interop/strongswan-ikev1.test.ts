import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GatewayProcess } from '../lab/gateway-process.js'
import { missingForNetns } from '../lab/private-netns.js'
import { TwoHosts, UNDERLAY } from '../lab/two-hosts.js'
import { missingStrongswan, Strongswan, strongswanVersion } from './strongswan.js'

const missing = missingForNetns() ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const SECRET = 'interop-0123456789abcdef'
const OURS = '10.88.1.1'
const THEIRS = '10.88.2.1'

/** sallyport's side, host a. */
const ours = (ike: string, esp: string, more = ''): string => `
tun: { name: sally0, addresses: [${OURS}/32] }
peers:
  strongswan:
    id: ${UNDERLAY[4].b}
    local: ${UNDERLAY[4].a}
    remote: ${UNDERLAY[4].b}
    key_file: k.psk
    dynamic_psk: off
    encapsulation: udp
    ike: { version: 1, proposals: [${ike}] }
    children:
      interop: { local: [${OURS}/32], remote: [${THEIRS}/32], proposals: [${esp}] ${more} }
`

/** strongSwan's side, host b. */
const theirs = (ike: string, esp: string, child = ''): string => `
connections { interop {
  version = 1
  local_addrs = ${UNDERLAY[4].b}
  remote_addrs = ${UNDERLAY[4].a}
  encap = yes
  proposals = ${ike}
  local { auth = psk\n id = ${UNDERLAY[4].b} }
  remote { auth = psk\n id = ${UNDERLAY[4].a} }
  children { interop { local_ts = ${THEIRS}/32\n remote_ts = ${OURS}/32\n esp_proposals = ${esp}\n ${child} } }
} }
secrets { ike-1 { secret = "${SECRET}" } }
`

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()}, IKEv1`, () => {
  let hosts: TwoHosts
  let gateway: GatewayProcess | undefined
  let charon: Strongswan | undefined

  beforeEach(() => {
    hosts = new TwoHosts()
    hosts.run('b', 'ip', 'addr', 'add', `${THEIRS}/32`, 'dev', 'lo')
    writeFileSync(join(hosts.directory, 'k.psk'), `psk: ${SECRET}\n`, { mode: 0o600 })
  })

  afterEach(async () => {
    await gateway?.stop()
    await charon?.stop()
    gateway = undefined
    charon = undefined
    await hosts.close()
  })

  const start = async (
    ike: string,
    esp: string,
    child = '',
    more = '',
  ): Promise<[GatewayProcess, Strongswan]> => {
    charon = await Strongswan.start(
      hosts.namespace('b'),
      join(hosts.directory, 'charon'),
      theirs(ike, esp, child),
    )
    gateway = await GatewayProcess.start(hosts, 'a', ours(ike, esp, more), UNDERLAY[4].a)
    return [gateway, charon]
  }

  /** The first packet may be lost while the other side still installs its SAs. */
  const flows = (): void => {
    hosts.attempt('a', 'ping', '-c', '1', '-W', '3', THEIRS)
    expect(hosts.attempt('a', 'ping', '-c', '5', '-i', '0.2', '-W', '2', THEIRS).stdout).toContain(
      ' 0% packet loss',
    )
    const back = hosts.attempt('b', 'ping', '-c', '5', '-i', '0.2', '-W', '2', '-I', THEIRS, OURS)
    expect(back.stdout).toContain(' 0% packet loss')
  }

  const proposals: [string, string][] = [
    ['aes128-sha256-modp2048', 'aes128-sha256'],
    ['aes256-sha384-ecp384', 'aes256-sha512-ecp256'],
    ['aes128-sha1-ecp256', 'aes128gcm16'],
    ['aes192-sha512-x25519', 'aes256gcm16-x25519'],
  ]

  test.each(proposals)('we initiate, %s, %s', { timeout: 60_000 }, async (ike, esp) => {
    await start(ike, esp)
    flows()
  })

  test.each(proposals)('strongSwan initiates, %s, %s', { timeout: 60_000 }, async (ike, esp) => {
    const [, swan] = await start(ike, esp)
    swan.swanctl('--initiate', '--child', 'interop')
    flows()
  })

  test('strongSwan rekeys CHILD_SA and IKE SA, packets go on', { timeout: 60_000 }, async () => {
    const [, swan] = await start('aes128-sha256-modp2048', 'aes128gcm16-modp2048')
    swan.swanctl('--initiate', '--child', 'interop')
    flows()
    swan.swanctl('--rekey', '--child', 'interop')
    await sleep(1_000)
    flows()
    swan.swanctl('--rekey', '--ike', 'interop')
    await sleep(2_000)
    flows()
    expect(swan.swanctl('--list-sas').match(/ESTABLISHED/g)).toHaveLength(1)
  })

  test('we rekey the CHILD_SA before its end, packets go on', { timeout: 60_000 }, async () => {
    const [mine] = await start('aes128-sha256-modp2048', 'aes128gcm16', '', ', lifetime: { time: 10s }')
    flows()
    const before = established(mine.text())
    const { stdout } = hosts.attempt('a', 'ping', '-c', '60', '-i', '0.2', '-W', '2', THEIRS)
    expect(stdout).toContain(' 0% packet loss')
    expect(established(mine.text())).toBeGreaterThan(before)
  })

  test('another key: neither side has an SA, and our log names the cause', { timeout: 60_000 }, async () => {
    writeFileSync(join(hosts.directory, 'k.psk'), 'psk: something-else-entirely\n', { mode: 0o600 })
    const [mine] = await start('aes128-sha256-modp2048', 'aes128gcm16')
    hosts.attempt('a', 'ping', '-c', '2', '-W', '2', THEIRS)
    await sleep(1_000)
    expect(established(mine.text())).toBe(0)
    expect(mine.text()).toMatch(/key/i)
  })
})

const established = (log: string): number => log.match(/CHILD_SA established/g)?.length ?? 0
