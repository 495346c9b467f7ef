import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings, keyLogOf } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { udpProbe } from '../lab/udp-probe.js'
import { PLAIN_KINDS } from '../lab/wire/frame.js'
import { tsharkFields, whyNoTshark } from '../replay/tshark.js'

const why = whyNoLab({ tun: true })
const [from, to] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]

describe.skipIf(why !== undefined)('IKEv2 between two gateways', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  /** @param watch what was seen of the wire before is forgotten */
  async function up(settings: GatewaySettings, watch = true): Promise<void> {
    const ike = { version: 2, proposals: ['aes128gcm16-prfsha256-x25519'], ...settings.ike }
    gateways = await Gateway.pair(lab, { ...settings, ike, child: { start: 'start', ...settings.child } })
    for (const gateway of gateways)
      await gateway.until('up', (s) => s.peers[0]!.children[0]!.sas.some((sa) => sa.direction === 'outbound'))
    if (watch) await lab.wire.watch()
  }

  test.each(['hardened', 'classic'])('dynamic_psk: %s', { timeout: 60_000 }, async (scheme) => {
    await up({ peer: { dynamic_psk: scheme } })
    const probe = await udpProbe(lab, { from, to, rate: 500, seconds: 3 })
    expect(probe).toMatchObject({ received: probe.sent, duplicates: 0 })
    const status = await gateways[0]!.status()
    expect(status.peers[0]!.ike).toMatchObject({ version: 2, phase: 'established' })
    expect(status.peers[0]!.ike!.sas[0]!.proposal).toBe('aes128gcm16-prfsha256-x25519')
    const { frames } = await lab.wire.report()
    for (const plain of PLAIN_KINDS) expect(frames[plain] ?? 0, plain).toBe(0)
  })

  test('both renew both many times and no packet is lost, repeated or overtaken', async () => {
    await up({
      ike: { lifetime: '12s' },
      child: { lifetime: { time: '5s' }, proposals: ['aes128gcm16-x25519'] },
    })
    const both = await Promise.all([
      udpProbe(lab, { from, to, rate: 1500, seconds: 20 }),
      udpProbe(lab, { side: 'b', from: to, to: from, rate: 500, seconds: 20 }),
    ])
    for (const probe of both)
      expect(probe).toMatchObject({ received: probe.sent, duplicates: 0, reordered: 0 })
    const status = await gateways[0]!.status()
    expect(status.events['ike.child-established']).toBeGreaterThanOrEqual(4)
    expect(status.events['ike.rekeyed']).toBeGreaterThanOrEqual(1)
    // An IKE SA that takes another one's place needs no new pre-phase.
    expect(status.events['ike.established']).toBe(1)
    expect(status.peers[0]!.ike!.sas.filter((sa) => !sa.replaced)).toHaveLength(1)
  }, 60_000)

  test.skipIf(whyNoTshark() !== undefined).each([
    ['aes128gcm16-prfsha256-x25519', 'aes128gcm16-x25519'],
    ['aes256-sha256-ecp256', 'aes128-sha256'],
  ])('tshark reads and decrypts every message, %s', { timeout: 60_000 }, async (ike, esp) => {
    const file = lab.path(`${ike}.pcapng`)
    await lab.wire.watch({ capture: file })
    await up({ ike: { proposals: [ike] }, child: { proposals: [esp] }, keyLog: `keys-${ike}` }, false)
    await gateways[0]!.rekey()
    await sleep(500)
    await gateways[0]!.rekeyIke()
    await sleep(500)
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    await lab.wire.report()
    await lab.wire.watch()
    const keys = keyLogOf(lab, `keys-${ike}`, 'a')
    const read = (filter: string, ...fields: string[]) => tsharkFields(file, keys, filter, ...fields)
    expect(read('_ws.malformed || _ws.short', 'frame.number')).toEqual([])
    expect(read('_ws.expert.severity == "Error"', 'frame.number', '_ws.expert.message')).toEqual([])
    // What is inside can be told by whoever has the keys alone: SK (46) and what it holds.
    const exchanges = read('isakmp.version == 0x20', 'isakmp.exchangetype', 'isakmp.typepayload')
    expect(exchanges.filter((x) => x.startsWith('34'))).toHaveLength(2)
    const auth = exchanges.filter((x) => x.startsWith('35'))
    expect(auth.length).toBeGreaterThanOrEqual(2)
    for (const x of auth) expect(x).toMatch(/\b46\b.*\b39\b.*\b44\b.*\b45\b/)
    const create = exchanges.filter((x) => x.startsWith('36'))
    expect(create).toHaveLength(4)
    for (const x of create) expect(x).toMatch(/\b46\b.*\b33\b/)
    expect(exchanges.filter((x) => /^37.*\b42\b/.test(x)).length).toBeGreaterThanOrEqual(2)
  })

  test('one gateway goes down, the other knows at once; it comes back', { timeout: 60_000 }, async () => {
    await up({})
    await gateways[1]!.stop()
    await gateways[0]!.until('told', (s) => s.peers[0]!.ike!.sas.length === 0, 3_000)
    const again = await Gateway.start(lab, 'b', {
      ike: { version: 2, proposals: ['aes128gcm16-prfsha256-x25519'] },
      child: { start: 'start' },
    })
    gateways = [gateways[0]!, again]
    await again.until('up', (s) => s.peers[0]!.children[0]!.sas.length > 0)
    const probe = await udpProbe(lab, { from, to, rate: 200, seconds: 2 })
    expect(probe).toMatchObject({ received: probe.sent })
  })
})
