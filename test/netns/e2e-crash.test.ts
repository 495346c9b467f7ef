import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab, other, type Side } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { udpProbe } from '../lab/udp-probe.js'
import { PLAIN_KINDS } from '../lab/wire/frame.js'

const why = whyNoLab({ tun: true })
const SECONDS = 14

const tunnel: GatewaySettings = { ike: { dpd: '2s' } }
const transparent: GatewaySettings = {
  ...tunnel,
  transparent: true,
  child: { protocol: 'ah', mode: 'transport', proposals: ['sha256'] },
}

describe.skipIf(why !== undefined)('kill -9 of a gateway under traffic', () => {
  let lab: Lab
  let running: Record<Side, Gateway>

  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterEach(async () => {
    await Promise.all(Object.values(running).map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  test.each<[string, GatewaySettings, Side, Side]>([
    ['ESP tunnel, the sender’s gateway', tunnel, 'a', 'a'],
    ['ESP tunnel, the receiver’s gateway', tunnel, 'a', 'b'],
    ['AH transport of the hosts’ own addresses, the sender’s gateway', transparent, 'a', 'a'],
    ['AH transport of the hosts’ own addresses, the receiver’s gateway', transparent, 'b', 'a'],
  ])(
    '%s',
    async (_, settings, sender, victim) => {
      const [a, b] = await Gateway.pair(lab, { ...settings, child: { ...settings.child, start: 'start' } })
      running = { a, b }
      for (const gateway of [a, b])
        await gateway.until('up', (s) =>
          s.peers[0]!.children[0]!.sas.some((sa) => sa.direction === 'outbound'),
        )
      const which = settings.transparent ? 'v4' : 'inner4'
      await lab.wire.watch({ secretTag: 'ZZZZZZZZZZZZZZZZ' })
      const probe = udpProbe(lab, {
        side: sender,
        from: ADDRESSES[sender][which],
        to: ADDRESSES[other(sender)][which],
        rate: 500,
        seconds: SECONDS,
      })
      await sleep(2_000)
      running[victim].kill9()
      await sleep(2_000)
      running[victim] = await Gateway.start(lab, victim, settings)
      const result = await probe
      const { frames } = await lab.wire.report()
      for (const plain of PLAIN_KINDS.filter((kind) => kind !== 'icmp'))
        expect(frames[plain] ?? 0, plain).toBe(0)
      // What came before the crash and after the recovery, which took its time.
      expect(result.longestGapMs).toBeGreaterThan(1_000)
      expect(result.longestGapMs).toBeLessThan(9_000)
      expect(result.received).toBeGreaterThan(result.sent / 4)
      expect(result.duplicates).toBe(0)
    },
    60_000,
  )
})
