import { rmSync } from 'node:fs'
import { join } from 'node:path'
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
    /** From when the victim serves again until packets arrive, at most. */
    readonly recoveryMs?: number
    /** What was on the victim's disk is lost. */
    readonly forgets?: boolean
  }
  const waiting = (version: 1 | 2, encapsulation: 'raw' | 'udp'): Omit<Case, 'name'> => {
    const ike = { version, dpd: '30s' }
    const settings: GatewaySettings = { ...tunnel, ike, peer: { encapsulation } }
    return {
      settings,
      again: { ...settings, child: { start: 'trap' } },
      ...{ sender: 'a', victim: 'b', seconds: 12, longestGapMs: 8_000, recoveryMs: 1_500 },
    }
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
    // Nobody begins anew at the victim: the sender is told that its packets are not known, asks, and has the proof at once.
    { name: 'IKEv2, raw, the receiver’s gateway, which waits for packets', ...waiting(2, 'raw') },
    { name: 'IKEv2 in UDP, the receiver’s gateway, which waits for packets', ...waiting(2, 'udp') },
    // Without proof it asks in vain for a second.
    {
      name: 'IKEv2, the receiver’s gateway, which waits for packets and has lost its disk',
      ...waiting(2, 'raw'),
      forgets: true,
      recoveryMs: 3_000,
    },
    {
      name: 'IKEv1, the receiver’s gateway, which waits for packets',
      ...waiting(1, 'raw'),
      recoveryMs: 3_000,
    },
  ])(
    '$name',
    async ({ name, settings, sender, victim, again, seconds, longestGapMs, recoveryMs, forgets }) => {
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
      const killedAt = performance.now()
      running[victim]?.kill9()
      await sleep(2_000)
      if (forgets) rmSync(join(lab.path(`${victim}.state`), 'crash-secret'))
      running[victim] = await Gateway.start(lab, victim, again ?? settings)
      const downMs = performance.now() - killedAt
      const result = await probe
      const { frames } = await lab.wire.report()
      // ICMP is what a kernel says of IKE messages to a port on which nobody listens any more.
      for (const plain of PLAIN_KINDS.filter((kind) => kind !== 'icmp'))
        expect(frames[plain] ?? 0, plain).toBe(0)
      const took = result.longestGapMs - downMs
      console.log(`${name}: ${took.toFixed(0)} ms after the gateway was there again`)
      if (recoveryMs !== undefined) expect(took).toBeLessThan(recoveryMs)
      // What came before the crash and after the recovery, which took its time.
      expect(result.longestGapMs).toBeGreaterThan(1_000)
      expect(result.longestGapMs).toBeLessThan(longestGapMs)
      expect(result.received).toBeGreaterThan(result.sent / 5)
      expect(result.duplicates).toBe(0)
    },
    60_000,
  )
})
