import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GatewayStatus } from '../../src/daemon/status.js'
import { missingStrongswan, Strongswan } from '../interop/peers/strongswan.js'
import { controlSocket, Gateway, type GatewaySettings, keyLogOf } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { tsharkFields } from './tshark.js'

// Every exchange of both versions, from the first message to the Delete, as tshark reads it with our key log.

const why = whyNoLab({ tun: true, programs: ['tshark'] })
if (why) console.log(`exchanges of IKE read by tshark: ${why}`)
const noStrongswan = missingStrongswan()

const [A, B] = [ADDRESSES.a, ADDRESSES.b]
const SECRET = 'tshark-0123456789abcdef'

/** Exchange types (RFC 2408, RFC 2409, RFC 7296, RFC 9242) by what an encrypted message of them may begin with. */
const EXCHANGE = {
  MAIN: 2,
  INFORMATIONAL_V1: 5,
  QUICK: 32,
  AUTH: 35,
  CREATE: 36,
  INFORMATIONAL: 37,
  INTERMEDIATE: 43,
}

/** Wireshark reads every CERT payload as a certificate, raw public keys (RFC 7670) too. */
const RAW_KEY_AS_CERTIFICATE = /^\d+\tBER Error: Wrong field in SEQUENCE/

describe.skipIf(why !== undefined)('exchanges of IKE, read by tshark with the key log', () => {
  let lab: Lab
  let ends: { stop(): Promise<unknown> }[] = []

  beforeEach(async () => {
    lab = await Lab.create()
    await lab.wire.watch({ capture: lab.path('wire.pcapng') })
  })
  afterEach(async () => {
    await Promise.all(ends.map((end) => end.stop()))
    ends = []
    lab.close()
  })

  const spi = (s: GatewayStatus): number | undefined =>
    s.peers[0]!.children[0]!.sas.findLast((sa) => sa.direction === 'outbound')?.spi
  const ikeSpi = (s: GatewayStatus): string | undefined => s.peers[0]!.ike!.sas.at(-1)?.initiatorSpi

  /** First exchanges, liveness, renewals of both, Deletes of both. */
  async function live(a: Gateway): Promise<void> {
    const ping = ['netns', 'exec', lab.namespace('a'), 'ping', '-c', '1', '-W', '2', '-I', A.inner4, B.inner4]
    spawnSync('ip', ping)
    const first = await a.until('up', (s) => spi(s) !== undefined)
    await sleep(2_500)
    await a.rekey(first.peers[0]!.children[0]!.name)
    const second = await a.until('with another pair', (s) => spi(s) !== spi(first))
    if (second.peers[0]!.ike!.sas[0]!.version === 2) {
      await a.rekeyIke(first.peers[0]!.name)
      await a.until('with another IKE SA', (s) => ikeSpi(s) !== ikeSpi(first))
      await sleep(200)
    }
    for (const end of ends) await end.stop()
    ends = []
    // The wire writes what it has seen in large pieces.
    await lab.wire.watch()
  }

  /**
   * Payload types of all encrypted messages by exchange. With a key that does not fit there would be none of them.
   * @param unread exchange whose keys are not in the log
   */
  function payloads(unread = 0): Map<number, string[]> {
    const [wire, keys] = [lab.path('wire.pcapng'), keyLogOf(lab, 'keys', 'a')]
    const read = `isakmp && isakmp.exchangetype != ${unread}`
    for (const bad of ['(_ws.malformed || _ws.short)', '_ws.expert.severity == "Error"']) {
      const lines = tsharkFields(wire, keys, `${read} && ${bad}`, 'frame.number', '_ws.expert.message')
      expect(lines.filter((line) => !RAW_KEY_AS_CERTIFICATE.test(line))).toEqual([])
    }
    const found = new Map<number, string[]>()
    const encrypted = '(isakmp.flag_e == 1 || isakmp.typepayload == 46 || isakmp.typepayload == 53)'
    const fields = ['isakmp.exchangetype', 'isakmp.typepayload'] as const
    for (const line of tsharkFields(wire, keys, `${read} && ${encrypted}`, ...fields)) {
      const [exchange = '', types = ''] = line.split('\t')
      // Of a message in fragments there is one in each of them, and the whole is shown at the last.
      const type = Number(exchange.split(',')[0])
      found.set(type, [...(found.get(type) ?? []), types])
    }
    return found
  }

  function expectAll(version: 1 | 2, unread?: number): Map<number, string[]> {
    const found = payloads(unread)
    const of = (type: number): string[] => found.get(type) ?? []
    if (version === 1) {
      // ID and HASH; HASH and SA; HASH and a notification of DPD, HASH and Delete.
      expect(of(EXCHANGE.MAIN).filter((t) => /(^|,)5,(11,)?8/.test(t))).toHaveLength(2)
      expect(of(EXCHANGE.QUICK).filter((t) => /(^|,)8,1,/.test(t)).length).toBeGreaterThanOrEqual(4)
      expect(of(EXCHANGE.INFORMATIONAL_V1).filter((t) => /8,11$/.test(t)).length).toBeGreaterThanOrEqual(2)
      expect(of(EXCHANGE.INFORMATIONAL_V1).filter((t) => /8,12$/.test(t)).length).toBeGreaterThanOrEqual(1)
      return found
    }
    const withAll =
      (...types: number[]) =>
      (t: string) =>
        types.every((x) => t.split(',').includes(`${x}`))
    // AUTH, SA and selectors; SA and nonce, of a CHILD_SA and of the IKE SA; Delete, and nothing at all.
    expect(of(EXCHANGE.AUTH).filter(withAll(39, 33, 44, 45))).toHaveLength(2)
    expect(of(EXCHANGE.CREATE).filter(withAll(33, 40, 44, 45)).length).toBeGreaterThanOrEqual(2)
    expect(
      of(EXCHANGE.CREATE).filter((t) => withAll(33, 40, 34)(t) && !withAll(44)(t)).length,
    ).toBeGreaterThanOrEqual(2)
    expect(of(EXCHANGE.INFORMATIONAL).filter(withAll(42)).length).toBeGreaterThanOrEqual(2)
    expect(of(EXCHANGE.INFORMATIONAL).filter((t) => t === '46').length).toBeGreaterThanOrEqual(2)
    return found
  }

  const shapes: readonly (readonly [string, 1 | 2, GatewaySettings])[] = [
    ['CBC', 2, { ike: { proposals: ['aes256-sha512-modp2048'] } }],
    ['CTR', 2, { ike: { proposals: ['aes128ctr-sha256-ecp256'] } }],
    ['GCM', 2, { ike: { proposals: ['aes256gcm16-prfsha384-x25519'] } }],
    ['public keys', 2, { identities: true, peer: { auth: 'pubkey' } }],
    ['fragments', 2, { ike: { proposals: ['aes128gcm16-prfsha256-modp4096'], fragment_size: 300 } }],
    ['CBC', 1, {}],
    ['fragments', 1, { ike: { proposals: ['aes128-sha256-modp4096'], fragment_size: 300 } }],
  ]
  test.each(shapes)('%s, IKEv%i', { timeout: 60_000 }, async (name, version, settings) => {
    const [a, b] = await Gateway.pair(lab, {
      keyLog: 'keys',
      ...settings,
      ike: { version, dpd: '1s', ...settings.ike },
    })
    ends = [a, b]
    await live(a)
    const found = expectAll(version)
    const pieces = version === 2 ? /(^|,)53/ : /(^|,)132/
    expect([...found.values()].flat().some((types) => pieces.test(types))).toBe(name === 'fragments')
  })

  test('a second key exchange, ML-KEM-768: all that is behind it', { timeout: 60_000 }, async () => {
    const ike = { version: 2, dpd: '1s', proposals: ['aes128gcm16-prfsha256-x25519-ke1_mlkem768'] }
    const [a, b] = await Gateway.pair(lab, { keyLog: 'keys', ike })
    ends = [a, b]
    await live(a)
    // Wireshark has one line of keys for an IKE SA, and those before the second exchange are others.
    expectAll(2, EXCHANGE.INTERMEDIATE)
  })

  const ours = (version: 1 | 2, ike: string): string => `
host: { id: ${A.v4}, state: ${lab.path('a.state')}, control: ${controlSocket(lab, 'a')} }
log: { level: debug, format: json }
tun: { name: sally0, addresses: [${A.inner4}/32] }
key_log: { directory: ${keyLogOf(lab, 'keys', 'a')} }
peers:
  strongswan:
    id: ${B.v4}
    local: ${A.v4}
    remote: ${B.v4}
    key_file: ${lab.file('k.psk', `psk: ${SECRET}\n`)}
    dynamic_psk: off
    encapsulation: udp
    ike: { version: ${version}, proposals: [${ike}], dpd: 1s }
    children:
      interop: { local: [${A.inner4}/32], remote: [${B.inner4}/32], proposals: [aes128gcm16-x25519] }
`
  const theirs = (version: 1 | 2, ike: string): string => `
connections { interop {
  version = ${version}
  local_addrs = ${B.v4}
  remote_addrs = ${A.v4}
  encap = yes
  fragmentation = yes
  proposals = ${ike}
  local { auth = psk\n id = ${B.v4} }
  remote { auth = psk\n id = ${A.v4} }
  children { interop { local_ts = ${B.inner4}/32\n remote_ts = ${A.inner4}/32\n esp_proposals = aes128gcm16-x25519 } }
} }
secrets { ike-1 { secret = "${SECRET}" } }
`

  test.skipIf(noStrongswan !== undefined).each([
    [2, 'aes128-sha256-modp2048', 'fragment_size = 300'],
    [2, 'aes256gcm16-prfsha384-ecp384', ''],
    [1, 'aes128-sha256-modp2048', ''],
    [1, 'aes256-sha512-ecp521', 'fragment_size = 300'],
  ] as const)('with strongSwan, IKEv%i %s %s', { timeout: 60_000 }, async (version, ike, settings) => {
    lab.exec('b', 'ip', 'address', 'add', `${B.inner4}/32`, 'dev', 'lo')
    const charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), theirs(version, ike), {
      settings,
    })
    ends = [charon]
    const a = await Gateway.start(lab, 'a', ours(version, ike))
    ends = [a, charon]
    await live(a)
    expectAll(version)
  })
})
