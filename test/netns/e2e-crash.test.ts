import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab, other, type Side } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { udpProbe } from '../lab/udp-probe.js'
import { PLAIN_KINDS } from '../lab/wire/frame.js'

const why = whyNoLab({ tun: true })
const tunnel: GatewaySettings = { ike: { dpd: '2s' }, child: { start: 'start' } }
const transparent: GatewaySettings = {
  ...tunnel,
  transparent: true,
  child: { protocol: 'ah', mode: 'transport', proposals: ['sha256'], start: 'start' },
}

describe.skipIf(why !== undefined)('kill -9 of a gateway under traffic', () => {
  let lab: Lab
  let running: Partial<Record<Side, Gateway>> = {}

  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterEach(async () => {
    await Promise.all(Object.values(running).map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  interface Case {
    readonly name: string
    readonly settings: GatewaySettings
    readonly sender: Side
    readonly victim: Side
    /** Settings of the one that is started again, where they are others. */
    readonly again?: GatewaySettings
    readonly seconds: number
    readonly longestGapMs: number
  }
  const soon = { seconds: 10, longestGapMs: 5_000 }

  test.each<Case>([
    { name: 'ESP tunnel, the sender’s gateway', settings: tunnel, sender: 'a', victim: 'a', ...soon },
    { name: 'ESP tunnel, the receiver’s gateway', settings: tunnel, sender: 'a', victim: 'b', ...soon },
    {
      name: 'AH of the hosts’ own addresses, the sender’s gateway',
      settings: transparent,
      sender: 'a',
      victim: 'a',
      ...soon,
    },
    {
      name: 'AH of the hosts’ own addresses, the receiver’s gateway',
      settings: transparent,
      sender: 'b',
      victim: 'a',
      ...soon,
    },
    {
      // It waits for packets of its own, so the sender must find out by dead peer detection: 2 s, and 15 s of repeats.
      name: 'the receiver’s gateway, and nobody there begins anew',
      settings: tunnel,
      sender: 'a',
      victim: 'b',
      again: { ...tunnel, child: { start: 'trap' } },
      seconds: 26,
      longestGapMs: 21_000,
    },
  ])(
    '$name',
    async ({ settings, sender, victim, again, seconds, longestGapMs }) => {
      const [a, b] = await Gateway.pair(lab, settings)
      running = { a, b }
      for (const gateway of [a, b])
        await gateway.until('up', (s) =>
          s.peers[0]!.children[0]!.sas.some((sa) => sa.direction === 'outbound'),
        )
      const which = settings.transparent ? 'v4' : 'inner4'
      await lab.wire.watch()
      const probe = udpProbe(lab, {
        side: sender,
        from: ADDRESSES[sender][which],
        to: ADDRESSES[other(sender)][which],
        rate: 500,
        seconds,
      })
      await sleep(2_000)
      running[victim]?.kill9()
      await sleep(2_000)
      running[victim] = await Gateway.start(lab, victim, again ?? settings)
      const result = await probe
      const { frames } = await lab.wire.report()
      // ICMP is what a kernel says of IKE messages to a port on which nobody listens any more.
      for (const plain of PLAIN_KINDS.filter((kind) => kind !== 'icmp'))
        expect(frames[plain] ?? 0, plain).toBe(0)
      // What came before the crash and after the recovery, which took its time.
      expect(result.longestGapMs).toBeGreaterThan(1_000)
      expect(result.longestGapMs).toBeLessThan(longestGapMs)
      expect(result.received).toBeGreaterThan(result.sent / 5)
      expect(result.duplicates).toBe(0)
    },
    60_000,
  )
})
