import { execFile, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import { KE } from '../../src/crypto/algorithms.js'
import { generateKeyShare } from '../../src/crypto/key-exchange.js'
import { parseIkeProposal } from '../../src/ike/proposals.js'
import { headOf } from '../../src/ike/v2/keying.js'
import { ikeRequirement, offer } from '../../src/ike/v2/offer.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { emitMessage } from '../../src/wire/ike/payloads.js'
import { emitKe } from '../../src/wire/ike/v2/bodies.js'
import { PAYLOAD, PROTOCOL } from '../../src/wire/ike/v2/numbers.js'
import { emitSa } from '../../src/wire/ike/v2/sa.js'
import { controlSocket, Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, Strongswan, strongswanVersion } from './peers/strongswan.js'

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const execute = promisify(execFile)

const SECRET = 'interop-0123456789abcdef'
const [A, B] = [ADDRESSES.a.v4, ADDRESSES.b.v4]
const OURS = ADDRESSES.a.inner4
const THEIRS = ADDRESSES.b.inner4

/** sallyport's side, host a. */
const ours = (lab: Lab, ike: string, esp: string, more = '', ikeMore = ''): string => `
host: { id: ${A}, state: ${lab.path('a.state')}, control: ${controlSocket(lab, 'a')} }
log: { level: debug, format: json }
tun: { name: sally0, addresses: [${OURS}/32] }
peers:
  strongswan:
    id: ${B}
    local: ${A}
    remote: ${B}
    key_file: ${lab.path('k.psk')}
    dynamic_psk: off
    encapsulation: udp
    ike: { version: 2, proposals: [${ike}] ${ikeMore} }
    children:
      interop: { local: [${OURS}/32], remote: [${THEIRS}/32], proposals: [${esp}] ${more} }
`

/** strongSwan's side, host b. */
const theirs = (ike: string, esp: string, child = ''): string => `
connections { interop {
  version = 2
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

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()}, IKEv2`, () => {
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

  const start = async (
    ike: string,
    esp: string,
    child = '',
    more = '',
    ikeMore = '',
  ): Promise<[Gateway, Strongswan]> => {
    charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), theirs(ike, esp, child))
    gateway = await Gateway.start(lab, 'a', ours(lab, ike, esp, more, ikeMore))
    return [gateway, charon]
  }

  const attempt = (side: Side, ...argv: string[]): string =>
    spawnSync('ip', ['netns', 'exec', lab.namespace(side), ...argv], { encoding: 'utf8' }).stdout

  /** In the background. */
  const ping = async (side: Side, count: number): Promise<string> => {
    const [from, to] = side === 'a' ? [OURS, THEIRS] : [THEIRS, OURS]
    const argv = ['ping', '-c', String(count), '-i', '0.2', '-W', '2', '-I', from, to]
    const { stdout } = await execute('ip', ['netns', 'exec', lab.namespace(side), ...argv]).catch(
      (error: { stdout: string }) => error,
    )
    return stdout
  }

  /** The first packet may be lost while the other side still installs its SAs. */
  const flows = (): void => {
    attempt('a', 'ping', '-c', '1', '-W', '3', THEIRS)
    expect(attempt('a', 'ping', '-c', '3', '-i', '0.1', '-W', '2', THEIRS)).toContain(' 0% packet loss')
    const back = attempt('b', 'ping', '-c', '3', '-i', '0.1', '-W', '2', '-I', THEIRS, OURS)
    expect(back).toContain(' 0% packet loss')
  }

  const proposals: [string, string][] = [
    ['aes128-sha256-modp2048', 'aes128-sha256'],
    ['aes256-sha384-ecp384', 'aes256-sha512'],
    ['aes128-sha1-modp3072', 'aes128gcm16'],
    ['aes192-sha512-x25519', 'aes256gcm16'],
    ['aes128gcm16-prfsha256-ecp256', 'chacha20poly1305'],
    ['aes256gcm16-prfsha512-ecp521', 'aes128-sha1'],
    ['chacha20poly1305-prfsha384-modp4096', 'aes128ctr-sha256'],
    ['aes128ccm8-prfsha256-x25519', 'aes128ccm16'],
    ['aes128ctr-aesxcbc-prfaesxcbc-ecp256', 'aes128-aesxcbc'],
    ['aes128-aescmac-prfaescmac-x25519', 'aes256-sha384'],
  ]

  test.each(proposals)('either end initiates, %s, %s', { timeout: 60_000 }, async (ike, esp) => {
    const [mine, swan] = await start(ike, esp)
    swan.swanctl('--initiate', '--child', 'interop')
    flows()
    swan.swanctl('--terminate', '--ike', 'interop')
    await mine.until('ended', (status) => status.peers[0]!.ike!.sas.length === 0)
    flows()
    expect((await mine.status()).peers[0]!.ike!.sas.map((sa) => sa.initiator)).toEqual([true])
  })

  test.each(['we', 'strongSwan'])('fragments, %s initiate and rekey', { timeout: 60_000 }, async (who) => {
    const [ike, esp] = ['aes128-sha256-modp2048', 'aes128gcm16-modp2048'] as const
    const conf = theirs(ike, esp).replace('encap = yes', 'encap = yes\n  fragmentation = force')
    charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), conf, {
      settings: 'fragment_size = 300',
    })
    gateway = await Gateway.start(lab, 'a', ours(lab, ike, esp, '', ', fragment_size: 300'))
    if (who === 'strongSwan') charon.swanctl('--initiate', '--child', 'interop')
    flows()
    // IKE_AUTH, then requests and responses with a public value of 256 octets.
    if (who === 'strongSwan') {
      charon.swanctl('--rekey', '--child', 'interop')
      await sleep(1_000)
      charon.swanctl('--rekey', '--ike', 'interop')
    } else await gateway.rekeyIke('strongswan')
    await sleep(1_500)
    flows()
    const log = charon.log()
    expect(log.match(/received fragment #\d of \d/g)?.length).toBeGreaterThanOrEqual(2)
    expect(log.match(/splitting IKE message/g)?.length).toBeGreaterThanOrEqual(1)
    expect(log).not.toContain('retransmit')
    expect(gateway.log()).toContain('IKE SA renewed')
    expect(gateway.log()).not.toContain('malformed')
  })

  const IKE = 'aes128gcm16-prfsha256-ecp256'
  const PFS = 'aes128gcm16-x25519'

  test('strongSwan rekeys CHILD_SA and IKE SA, packets go on', { timeout: 60_000 }, async () => {
    const [mine, swan] = await start(IKE, PFS)
    swan.swanctl('--initiate', '--child', 'interop')
    flows()
    const ikeSpi = async () => (await mine.status()).peers[0]!.ike!.sas.map((sa) => sa.initiatorSpi)
    const before = await ikeSpi()
    const pinging = ping('a', 60)
    swan.swanctl('--rekey', '--child', 'interop')
    await sleep(2_000)
    swan.swanctl('--rekey', '--ike', 'interop')
    await sleep(2_000)
    swan.swanctl('--rekey', '--child', 'interop')
    expect(await pinging).toContain(' 0% packet loss')
    flows()
    expect(swan.swanctl('--list-sas').match(/ESTABLISHED/g)).toHaveLength(1)
    const after = await ikeSpi()
    expect(after).toHaveLength(1)
    expect(after).not.toEqual(before)
    expect(mine.log()).toContain('IKE SA renewed')
    expect(established(mine.log())).toBe(3)
  })

  test('we rekey CHILD_SA and IKE SA before their end, packets go on', { timeout: 90_000 }, async () => {
    const [mine, swan] = await start(IKE, PFS, '', ', lifetime: { time: 10s }', ', lifetime: 14s')
    flows()
    const stdout = await ping('a', 150)
    expect(stdout).toContain(' 0% packet loss')
    expect(established(mine.log())).toBeGreaterThan(2)
    expect(mine.log()).toContain('IKE SA renewed')
    expect(swan.swanctl('--list-sas').match(/INSTALLED/g)).toHaveLength(1)
  })

  test('traffic the other way alone while we rekey: nothing is lost', { timeout: 60_000 }, async () => {
    const [mine] = await start(IKE, PFS, '', ', lifetime: { time: 8s }')
    flows()
    const stdout = await ping('b', 100)
    expect(stdout).toContain(' 0% packet loss')
    expect(established(mine.log())).toBeGreaterThan(2)
  })

  test('both begin at once: packets flow, and one IKE SA is left', { timeout: 120_000 }, async () => {
    const [mine, swan] = await start(IKE, PFS)
    const first = ping('a', 1)
    try {
      swan.swanctl('--initiate', '--child', 'interop')
    } catch (error) {
      // Ours was first: it has what it was asked for.
      expect(String(error)).toContain('existing duplicate')
    }
    await first
    flows()
    // What was made too much goes when the other end is sure to have moved.
    await mine.until('with one IKE SA', (s) => s.peers[0]!.ike!.sas.length === 1, 60_000)
    await sleep(500)
    expect(swan.swanctl('--list-sas').match(/ESTABLISHED/g)).toHaveLength(1)
    flows()
  })

  test('Deletes of CHILD_SA and IKE SA from strongSwan', { timeout: 60_000 }, async () => {
    const [mine, swan] = await start(IKE, PFS)
    flows()
    swan.swanctl('--terminate', '--child', 'interop')
    await mine.until('without CHILD_SA', (s) => s.peers[0]!.children[0]!.sas.length === 0)
    expect(swan.swanctl('--list-sas')).toContain('ESTABLISHED')
    flows()
    swan.swanctl('--terminate', '--ike', 'interop')
    await mine.until('without IKE SA', (s) => s.peers[0]!.ike!.sas.length === 0)
    flows()
  })

  test('our Delete when we go down', { timeout: 60_000 }, async () => {
    const [mine, swan] = await start(IKE, PFS)
    flows()
    await mine.stop()
    await sleep(500)
    expect(swan.swanctl('--list-sas')).toBe('')
  })

  test('strongSwan wants another group first: INVALID_KE_PAYLOAD', { timeout: 60_000 }, async () => {
    charon = await Strongswan.start(
      lab.namespace('b'),
      lab.path('charon'),
      theirs('aes128-sha256-modp2048', 'aes128gcm16'),
    )
    gateway = await Gateway.start(
      lab,
      'a',
      ours(lab, 'aes128-sha256-x25519, aes128-sha256-modp2048', 'aes128gcm16'),
    )
    flows()
    expect(charon.log()).toContain('INVAL_KE')
  })

  test('we want another group first, as responder', { timeout: 60_000 }, async () => {
    const [mine, swan] = await start('aes128-sha256-modp3072', PFS)
    await mine.stop()
    await swan.stop()
    charon = await Strongswan.start(
      lab.namespace('b'),
      lab.path('charon'),
      theirs('aes128-sha256-x25519-modp3072', 'aes128gcm16-x25519-modp2048'),
    )
    gateway = await Gateway.start(lab, 'a', ours(lab, 'aes128-sha256-modp3072', 'aes128gcm16-modp2048'))
    charon.swanctl('--initiate', '--child', 'interop')
    flows()
    charon.swanctl('--rekey', '--child', 'interop')
    await sleep(1_000)
    flows()
    expect(established(gateway.log())).toBe(2)
  })

  test('cookies of strongSwan', { timeout: 60_000 }, async () => {
    charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), theirs(IKE, PFS), {
      settings: 'cookie_threshold = 1',
    })
    // One exchange half open is enough.
    const send = `require('dgram').createSocket('udp4').send(Buffer.from('${hex(firstMessage())}', 'hex'), 500, '${B}', process.exit)`
    lab.exec('a', process.execPath, '-e', send)
    gateway = await Gateway.start(lab, 'a', ours(lab, IKE, PFS))
    flows()
    expect(charon.log()).toContain('COOKIE')
  })

  test('selectors are narrowed', { timeout: 60_000 }, async () => {
    const wide = theirs(IKE, PFS).replace(`remote_ts = ${OURS}/32`, 'remote_ts = 10.0.0.0/8')
    charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), wide)
    gateway = await Gateway.start(lab, 'a', ours(lab, IKE, PFS))
    charon.swanctl('--initiate', '--child', 'interop')
    flows()
    expect(charon.swanctl('--list-sas')).toContain(`remote ${OURS}/32`)
  })

  test('another key: neither side has an SA, and our log names the cause', { timeout: 60_000 }, async () => {
    lab.file('k.psk', 'psk: something-else-entirely\n')
    const [mine, swan] = await start(IKE, PFS)
    attempt('a', 'ping', '-c', '1', '-W', '2', THEIRS)
    await mine.until('told', (s) => /AUTHENTICATION_FAILED/.test(s.peers[0]!.ike?.lastError ?? ''))
    // With strongSwan as initiator we are the ones who find out.
    expect(() => swan.swanctl('--initiate', '--child', 'interop', '--timeout', '5')).toThrow()
    await mine.untilLogged("the peer's pre-shared key differs from ours")
    expect(established(mine.log())).toBe(0)
  })

  test('the peer is killed and comes back', { timeout: 90_000 }, async () => {
    const [mine, swan] = await start(IKE, PFS, '', '', ', dpd: 2s')
    flows()
    swan.kill9()
    await mine.until('aware of it', (s) => s.peers[0]!.ike!.sas.length === 0, 40_000)
    charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), theirs(IKE, PFS))
    flows()
  })
})

/** An IKE_SA_INIT that nobody follows up. */
function firstMessage(): Uint8Array {
  const share = generateKeyShare(KE.ECP256)
  const requirement = ikeRequirement(parseIkeProposal('aes128gcm16-prfsha256-ecp256'))
  const spi = new Uint8Array(8).fill(7)
  return emitMessage(headOf('initiator', spi, new Uint8Array(8), EXCHANGE.IKE_SA_INIT, 0, false), [
    { type: PAYLOAD.SA, body: emitSa(offer(PROTOCOL.IKE, new Uint8Array(0), [requirement])) },
    { type: PAYLOAD.KE, body: emitKe({ method: KE.ECP256, data: share.publicValue }) },
    { type: PAYLOAD.NONCE, body: new Uint8Array(32).fill(9) },
  ])
}

const established = (log: string): number => log.match(/CHILD_SA established/g)?.length ?? 0
