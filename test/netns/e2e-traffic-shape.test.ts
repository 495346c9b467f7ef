import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { udpProbe } from '../lab/udp-probe.js'

const why = whyNoLab({ tun: true })

describe.skipIf(why !== undefined)('what the length and number of packets tell a listener', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  test.each([
    ['udp', 'esp-udp'],
    ['raw', 'esp'],
  ] as const)(
    'with padding and dummy packets, %s: one length, and traffic where there is none',
    async (encapsulation, kind) => {
      gateways = await Gateway.pair(lab, {
        peer: { encapsulation },
        child: { tfc_padding: 'mtu', dummy_rate: 50, start: 'start' },
      })
      const [mine, theirs] = gateways as [Gateway, Gateway]
      await mine.until('established', (s) => s.peers[0]!.children[0]!.sas.length > 0)
      await lab.wire.watch({ keep: 200 })
      await sleep(1_000)
      const idle = await lab.wire.frames(kind, 'a-to-b')
      expect(idle.length).toBeGreaterThan(20)
      const [from, to] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]
      const probe = await udpProbe(lab, { from, to, rate: 100, seconds: 0.5, sizes: [10, 300, 1000] })
      expect(probe).toMatchObject({ received: probe.sent, damaged: 0, reordered: 0 })
      const frames = await lab.wire.frames(kind, 'a-to-b')
      expect(frames.length).toBeGreaterThan(idle.length)
      expect(new Set(frames.map((frame) => frame.length)).size).toBe(1)
      // They end at the gateway, which says so.
      const { drops, counters } = await theirs.status()
      expect(drops.dummy).toBeGreaterThan(20)
      expect(counters.tunWritePackets).toBeLessThan(probe.sent + 20)
      expect((await mine.status()).counters.dummies).toBeGreaterThan(20)
    },
  )
})
