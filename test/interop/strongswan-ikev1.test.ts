import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { controlSocket, Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { transferImage } from '../lab/transfer.js'
import { missingStrongswan, Strongswan, strongswanVersion } from './peers/strongswan.js'

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const SECRET = 'interop-0123456789abcdef'
const [A, B] = [ADDRESSES.a.v4, ADDRESSES.b.v4]
const OURS = ADDRESSES.a.inner4
const THEIRS = ADDRESSES.b.inner4

/** sallyport's side, host a. */
const ours = (lab: Lab, ike: string, esp: string, more = '', lanes = 1): string => `
host: { id: ${A}, state: ${lab.path('a.state')}, control: ${controlSocket(lab, 'a')} }
log: { level: debug, format: json }
dataplane: { lanes: ${lanes} }
tun: { name: sally0, addresses: [${OURS}/32] }
peers:
  strongswan:
    id: ${B}
    local: ${A}
    remote: ${B}
    key_file: ${lab.path('k.psk')}
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
  local_addrs = ${B}
  remote_addrs = ${A}
  encap = yes
  proposals = ${ike}
  local { auth = psk\n id = ${B} }
  remote { auth = psk\n id = ${A} }
  children { interop { local_ts = ${THEIRS}/32\n remote_ts = ${OURS}/32\n esp_proposals = ${esp}\n ${child} } }
} }
secrets { ike-1 { secret = "${SECRET}" } }
`

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()}, IKEv1`, () => {
  let lab: Lab
  let gateway: Gateway | undefined
  let charon: Strongswan | undefined

  beforeEach(async () => {
    lab = await Lab.create({ wire: 'cable' })
    lab.exec('b', 'ip', 'address', 'add', `${THEIRS}/32`, 'dev', 'lo')
    lab.file('k.psk', `psk: ${SECRET}\n`)
  })

  afterEach(async () => {
    await gateway?.stop()
    await charon?.stop()
    gateway = undefined
    charon = undefined
    lab.close()
  })

  const start = async (ike: string, esp: string, child = '', more = ''): Promise<[Gateway, Strongswan]> => {
    charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), theirs(ike, esp, child))
    gateway = await Gateway.start(lab, 'a', ours(lab, ike, esp, more))
    return [gateway, charon]
  }

  const attempt = (side: Side, ...argv: string[]): string =>
    spawnSync('ip', ['netns', 'exec', lab.namespace(side), ...argv], { encoding: 'utf8' }).stdout

  /** The first packet may be lost while the other side still installs its SAs. */
  const flows = (): void => {
    attempt('a', 'ping', '-c', '1', '-W', '3', THEIRS)
    expect(attempt('a', 'ping', '-c', '5', '-i', '0.2', '-W', '2', THEIRS)).toContain(' 0% packet loss')
    const back = attempt('b', 'ping', '-c', '5', '-i', '0.2', '-W', '2', '-I', THEIRS, OURS)
    expect(back).toContain(' 0% packet loss')
  }

  const proposals: [string, string][] = [
    ['aes128-sha256-modp2048', 'aes128-sha256'],
    ['aes256-sha384-ecp384', 'aes256-sha512-ecp256'],
    ['aes128-sha1-ecp256', 'aes128gcm16'],
    ['aes192-sha512-x25519', 'aes256gcm16-x25519'],
    ['aes256-sha512-modp3072', 'aes256-sha384'],
    ['aes128-sha256-modp4096', 'aes128ccm16-modp3072'],
    ['aes256-sha256-ecp521', 'aes128ctr-sha256'],
    ['aes128-sha384-ecp256', 'aes128-aesxcbc'],
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

  test.each(['we', 'strongSwan'])('fragments, %s initiate', { timeout: 60_000 }, async (who) => {
    const [ike, esp] = ['aes128-sha256-modp2048', 'aes128gcm16-modp2048'] as const
    const conf = theirs(ike, esp).replace('encap = yes', 'encap = yes\n  fragmentation = yes')
    charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), conf, {
      settings: 'fragment_size = 300',
    })
    const small = ours(lab, ike, esp).replace('version: 1', 'version: 1, fragment_size: 300')
    gateway = await Gateway.start(lab, 'a', small)
    if (who === 'strongSwan') charon.swanctl('--initiate', '--child', 'interop')
    flows()
    const log = charon.log()
    // Main Mode's messages 3 and 4 and Quick Mode's first two have a public value of 256 octets each.
    expect(log.match(/received fragment #\d/g)?.length).toBeGreaterThanOrEqual(4)
    expect(log.match(/splitting IKE message/g)?.length).toBeGreaterThanOrEqual(2)
  })

  test('we rekey the CHILD_SA before its end, packets go on', { timeout: 60_000 }, async () => {
    const [mine] = await start('aes128-sha256-modp2048', 'aes128gcm16', '', ', lifetime: { time: 10s }')
    flows()
    const before = established(mine.log())
    const stdout = attempt('a', 'ping', '-c', '60', '-i', '0.2', '-W', '2', THEIRS)
    expect(stdout).toContain(' 0% packet loss')
    expect(established(mine.log())).toBeGreaterThan(before)
  })

  test.each(['we', 'strongSwan'])(
    'two lanes here, %s initiate: strongSwan gets one CHILD_SA, and carries the flows of both',
    { timeout: 90_000 },
    async (who) => {
      const [ike, esp] = ['aes128-sha256-modp2048', 'aes128gcm16'] as const
      const addresses = [1, 2, 3, 4, 5, 6].map((i) => `10.88.2.${i + 100}`)
      for (const address of addresses) lab.exec('b', 'ip', 'address', 'add', `${address}/32`, 'dev', 'lo')
      const block = (text: string): string => text.replace(`${THEIRS}/32`, '10.88.2.0/24')
      // It would delete what it takes for the predecessor of a second SA.
      const settings = 'delete_rekeyed = yes'
      const conf = block(theirs(ike, esp))
      charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), conf, { settings })
      gateway = await Gateway.start(lab, 'a', block(ours(lab, ike, esp, ', lifetime: { time: 20s }', 2)))
      if (who === 'strongSwan') charon.swanctl('--initiate', '--child', 'interop')
      // The first packet may be lost while the other side still installs its SAs.
      attempt('a', 'ping', '-c', '1', '-W', '3', addresses[0]!)
      for (let round = 0; round < 3; round++) {
        for (const address of addresses) {
          const answer = attempt('a', 'ping', '-c', '4', '-i', '0.2', '-W', '5', address)
          expect(answer, address).toContain(' 0% packet loss')
        }
        // Flows of TCP are spread by their ports.
        for (let i = 0; i < 4; i++) {
          const way = { from: OURS, to: THEIRS }
          const moved = await transferImage(lab, { ...way, octets: 1 << 18, deadlineMs: 10_000 })
          expect(moved.sha256Received).toBe(moved.sha256Sent)
        }
        if (round === 0) charon.swanctl('--rekey', '--child', 'interop')
      }
      const { drops, counters, peers } = await gateway.status()
      expect(counters.handedOver).toBeGreaterThan(10)
      expect(new Set(peers[0]!.children[0]!.sas.map((sa) => sa.lane))).toEqual(new Set([0]))
      for (const cause of ['unknown-spi', 'no-sa', 'lane-busy']) expect(drops[cause] ?? 0, cause).toBe(0)
      expect(charon.swanctl('--list-sas').match(/INSTALLED/g)).toHaveLength(1)
    },
  )

  test('another key: neither side has an SA, and our log names the cause', { timeout: 60_000 }, async () => {
    lab.file('k.psk', 'psk: something-else-entirely\n')
    const [mine] = await start('aes128-sha256-modp2048', 'aes128gcm16')
    attempt('a', 'ping', '-c', '2', '-W', '2', THEIRS)
    await sleep(1_000)
    expect(established(mine.log())).toBe(0)
    expect(mine.log()).toMatch(/key/i)
  })
})

const established = (log: string): number => log.match(/CHILD_SA established/g)?.length ?? 0
