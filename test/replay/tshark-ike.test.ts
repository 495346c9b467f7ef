import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { Dissected, live } from './tshark-exchanges.js'

// Every exchange of both versions between two sallyports, from the first message to the Delete, as tshark reads it with our key log.

const why = whyNoLab({ tun: true, programs: ['tshark'] })
if (why) console.log(`exchanges of IKE read by tshark: ${why}`)

const [A, B] = [ADDRESSES.a, ADDRESSES.b]

describe.skipIf(why !== undefined)('exchanges of IKE, read by tshark with the key log', () => {
  let lab: Lab
  let ends: { stop(): Promise<unknown> }[] = []

  const stop = async (): Promise<void> => {
    for (const end of ends) await end.stop()
    ends = []
  }

  beforeEach(async () => {
    lab = await Lab.create()
    await lab.wire.watch({ capture: lab.path('wire.pcapng') })
  })
  afterEach(async () => {
    await stop()
    lab.close()
  })

  /** Both up, all exchanges, and down. */
  async function life(version: 1 | 2, { ike, ...settings }: GatewaySettings): Promise<void> {
    const both = await Gateway.pair(lab, {
      keyLog: 'keys',
      ...settings,
      ike: { version, dpd: '1s', ...ike },
    })
    ends = [...both]
    const ping = ['netns', 'exec', lab.namespace('a'), 'ping', '-c', '1', '-W', '2', '-I', A.inner4, B.inner4]
    spawnSync('ip', ping)
    await live(lab, both[0], 'dom0-b', stop)
  }

  const shapes: readonly (readonly [string, 1 | 2, GatewaySettings])[] = [
    ['CBC', 2, { ike: { proposals: ['aes256-sha256-ecp256'] } }],
    ['CBC, long', 2, { ike: { proposals: ['aes256-sha512-modp2048'] } }],
    ['CBC, XCBC', 2, { ike: { proposals: ['aes128-aesxcbc-prfaesxcbc-x25519'] } }],
    ['CTR', 2, { ike: { proposals: ['aes128ctr-sha256-ecp256'] } }],
    ['CCM-8', 2, { ike: { proposals: ['aes128ccm8-prfsha256-x25519'] } }],
    ['GCM, over IPv6', 2, { outer: 6, ike: { proposals: ['aes256gcm16-prfsha384-x25519'] } }],
    ['public keys', 2, { identities: true, peer: { auth: 'pubkey' } }],
    ['the classic pre-phase', 2, { peer: { dynamic_psk: 'classic' } }],
    ['fragments', 2, { ike: { proposals: ['aes128gcm16-prfsha256-modp4096'], fragment_size: 300 } }],
    ['CBC', 1, {}],
    ['the classic pre-phase', 1, { peer: { dynamic_psk: 'classic' } }],
    ['over IPv6', 1, { outer: 6 }],
    ['fragments', 1, { ike: { proposals: ['aes128-sha256-modp4096'], fragment_size: 300 } }],
  ]
  test.each(shapes)('%s, IKEv%i', { timeout: 60_000 }, async (name, version, settings) => {
    await life(version, settings)
    new Dissected(lab).expectLife(version, name === 'fragments')
  })

  test('it would tell of a wrong ICV', { timeout: 60_000 }, async () => {
    await life(2, { ike: { proposals: ['aes128-sha256-x25519'] } })
    new Dissected(lab).expectClean()
    const { faults } = Dissected.withWrongIntegrity(lab)
    expect(faults.length).toBeGreaterThanOrEqual(2)
    expect(faults.join()).toMatch(/integrity|checksum|ICV/i)
  })

  test('a static post-quantum preshared key', { timeout: 60_000 }, async () => {
    const key_file = lab.file('k.psk', 'psk: tshark-0123456789abcdef\n')
    const ppk = { id: 'pair', key_file: lab.file('pair.ppk', `0x${'a5'.repeat(32)}\n`), required: true }
    await life(2, { peer: { dynamic_psk: 'off', key_file, ppk } })
    const dissected = new Dissected(lab)
    dissected.expectLife(2)
    // USE_PPK, PPK_IDENTITY (RFC 8784).
    expect([...dissected.notifications()]).toEqual(expect.arrayContaining([16_435, 16_436]))
  })

  test('a second key exchange, ML-KEM-768, at first and at renewals', { timeout: 60_000 }, async () => {
    await life(2, {
      ike: { proposals: ['aes128gcm16-prfsha256-x25519-ke1_mlkem768'] },
      child: { proposals: ['aes128gcm16-x25519-ke1_mlkem768'] },
    })
    const behind = Dissected.behind(lab)
    // Public values of 1184 octets.
    behind.expectLife(2, true)
    behind.expectFollowUps()
    Dissected.interim(lab).expectIntermediate()
  })
})
