import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { udpProbe } from '../lab/udp-probe.js'
import { IKE_KINDS, PLAIN_KINDS } from '../lab/wire/frame.js'

const why = whyNoLab({ tun: true })
const [from, to] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]

describe.skipIf(why !== undefined)('rekey under traffic', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  /** Starts both gateways and has their tunnel up. */
  async function up(settings: GatewaySettings): Promise<void> {
    gateways = await Gateway.pair(lab, { ...settings, child: { start: 'start', ...settings.child } })
    for (const gateway of gateways)
      await gateway.until('up', (s) => s.peers[0]!.children[0]!.sas.some((sa) => sa.direction === 'outbound'))
    // Before the slower one of the two was up, its kernel may have told the other that nobody listens.
    await lab.wire.watch()
  }

  async function spis(): Promise<number[]> {
    return (await gateways[0]!.child()).sas.map((sa) => sa.spi)
  }

  test.each([1, 2])(
    'IKEv%s: both kinds of SA renew many times, no packet is lost, repeated or overtaken',
    async (version) => {
      await up({
        ike: { version, lifetime: '10s' },
        child: { lifetime: { time: '5s' }, proposals: ['aes128gcm16-x25519'] },
      })
      const before = await spis()
      const both = await Promise.all([
        udpProbe(lab, { from, to, rate: 1500, seconds: 20 }),
        udpProbe(lab, { side: 'b', from: to, to: from, rate: 500, seconds: 20 }),
      ])
      for (const probe of both)
        expect(probe).toMatchObject({ received: probe.sent, duplicates: 0, reordered: 0 })
      const status = await gateways[0]!.status()
      expect(status.events['ike.child-established']).toBeGreaterThanOrEqual(4)
      expect(status.events[version === 1 ? 'ike.established' : 'ike.rekeyed']).toBeGreaterThanOrEqual(2)
      // Every new IKE SA has a pre-phase of its own; IKEv2 renews one under its own keys.
      const finished = await Promise.all(
        gateways.map(async (g) => (await g.status()).events['prephase.finished'] ?? 0),
      )
      const established = await Promise.all(
        gateways.map(async (g) => (await g.status()).events['ike.established'] ?? 0),
      )
      const needed = version === 1 ? Math.max(...established) : 1
      if (version === 2) {
        expect(status.events['ike.established']).toBe(1)
        expect(status.peers[0]!.ike!.sas.filter((sa) => !sa.replaced)).toHaveLength(1)
      }
      expect(Math.max(...finished)).toBeGreaterThanOrEqual(needed)
      expect((await spis()).some((spi) => before.includes(spi))).toBe(false)
      const { frames } = await lab.wire.report()
      for (const plain of PLAIN_KINDS) expect(frames[plain] ?? 0, plain).toBe(0)
    },
    60_000,
  )

  test('a limit of packets is renewed before it is reached', async () => {
    await up({ child: { lifetime: { time: '1h', packets: 2000 } } })
    const probe = await udpProbe(lab, { from, to, rate: 1000, seconds: 8 })
    expect(probe).toMatchObject({ received: 8000, duplicates: 0 })
    const status = await gateways[0]!.status()
    expect(status.events['ike.child-established']).toBeGreaterThanOrEqual(4)
    expect(status.drops['sa-expired'] ?? 0).toBe(0)
  }, 60_000)

  test.each([1, 2])(
    'IKEv%s: a path that loses, repeats and reorders only costs what it loses',
    async (version) => {
      // Long enough that a rekey has four tries before its SA ends.
      await up({ ike: { version }, child: { lifetime: { time: '30s' } } })
      await lab.wire.impair([
        {
          kinds: ['prephase', ...IKE_KINDS],
          loss: 0.1,
          duplicate: 0.1,
          reorder: 0.1,
        },
        { kinds: ['esp', 'esp-udp'], duplicate: 0.05, reorder: 0.05 },
      ])
      try {
        const probe = await udpProbe(lab, { from, to, rate: 1000, seconds: 31 })
        // The replay window takes the repeated ones away, and lets the late ones through.
        const drops = await Promise.all(gateways.map(async (g) => (await g.status()).drops))
        expect(probe, JSON.stringify(drops)).toMatchObject({ received: probe.sent, duplicates: 0 })
      } finally {
        await lab.wire.impair()
      }
      const status = await gateways[1]!.status()
      expect(status.drops.replayed).toBeGreaterThan(100)
      expect(status.events['ike.child-established']).toBeGreaterThanOrEqual(2)
    },
    60_000,
  )
})
