import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GatewayStatus } from '../../src/daemon/status.js'
import { Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { transferImage } from '../lab/transfer.js'
import { udpProbe } from '../lab/udp-probe.js'
import { Dice, ipPayload, udpPayload, withIpPayload, withUdpPayload } from '../lab/wire/craft.js'
import { IKE_KINDS } from '../lab/wire/frame.js'

const why = whyNoLab({ tun: true })
const EACH = 2500
/** So many frames at a time; then the gateway gets the time to have counted them. */
const BURST = 100
const STRANGER = Uint8Array.of(192, 0, 2, 77)
/** What a gateway counts when something has been accepted. */
const ACCEPTED = ['ike.established', 'ike.child-established', 'prephase.finished']
/** Of MiB that a heap which is collected now and then may differ by. */
const RSS_SLACK = 24 << 20

type Counts = Readonly<Record<string, number>>

function difference(after: Counts, before: Counts): Record<string, number> {
  const names = new Set([...Object.keys(after), ...Object.keys(before)])
  const pairs = [...names].map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)] as const)
  return Object.fromEntries(pairs.filter(([, n]) => n !== 0))
}

/** What was dropped of what came in: the kernel's own multicast into the TUN device is another matter. */
const inboundDrops = ({ drops }: GatewayStatus): Counts =>
  Object.fromEntries(Object.entries(drops).filter(([cause]) => cause !== 'no-policy'))

const sum = (counts: Counts): number => Object.values(counts).reduce((total, n) => total + n, 0)

describe.skipIf(why !== undefined)('a hostile wire against a running gateway', () => {
  let lab: Lab
  let gateways: readonly Gateway[]
  let target: Gateway
  const dice = new Dice(20_260_101)
  const seen: Record<'esp' | 'ah' | 'prephase' | 'ike', Buffer[]> = { esp: [], ah: [], prephase: [], ike: [] }

  beforeAll(async () => {
    lab = await Lab.create()
    await lab.wire.watch({ keep: 40 })
    gateways = await Gateway.pair(lab, {
      peer: { encapsulation: 'raw' },
      ike: { dpd: 'off' },
      log: { level: 'warn' },
      children: (mine, theirs) => ({
        authenticated: { protocol: 'ah', mode: 'tunnel', local: [mine.inner6], remote: [theirs.inner6] },
      }),
    })
    target = gateways[1]!
    for (const inner of ['inner4', 'inner6'] as const) {
      const [from, to] = [ADDRESSES.a[inner], ADDRESSES.b[inner]]
      await udpProbe(lab, { from, to, rate: 200, seconds: 0.5 })
    }
    const frames = async (...kinds: Parameters<typeof lab.wire.frames>[0][]): Promise<Buffer[]> =>
      (await Promise.all(kinds.map((kind) => lab.wire.frames(kind, 'a-to-b')))).flat()
    seen.esp = await frames('esp')
    seen.ah = await frames('ah')
    seen.prephase = await frames('prephase')
    seen.ike = await frames(...IKE_KINDS)
    for (const [kind, list] of Object.entries(seen)) expect(list.length, kind).toBeGreaterThan(1)
  })
  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    lab.close()
  })

  /** Sends the frames to dom0-b and waits until all of them have been counted, or time is up. */
  async function assault(frames: readonly Buffer[], counted: (s: GatewayStatus) => number): Promise<void> {
    const before = counted(await target.status())
    for (let at = 0; at < frames.length; at += BURST) {
      const burst = frames.slice(at, at + BURST)
      expect(await lab.wire.inject('a-to-b', burst)).toBe(burst.length)
      const due = at + burst.length
      for (let tries = 0; tries < 100; tries++) {
        if (counted(await target.status()) - before >= due) break
        await sleep(5)
      }
    }
  }

  /** What all packets of the data path must show: dropped, each under one cause, and nothing came out. */
  async function dropsAll(frames: readonly Buffer[]): Promise<Record<string, number>> {
    const before = await target.status()
    await assault(frames, (s) => sum(inboundDrops(s)))
    const after = await target.status()
    expect(after.counters.tunWritePackets).toBe(before.counters.tunWritePackets)
    const drops = difference(inboundDrops(after), inboundDrops(before))
    expect(sum(drops), JSON.stringify(drops)).toBe(frames.length)
    return drops
  }

  function espVariants(): Record<string, Buffer[]> {
    const make = (n: number, f: (frame: Buffer, payload: Buffer) => Buffer): Buffer[] =>
      Array.from({ length: n }, () => {
        const frame = dice.pick(seen.esp)
        return f(frame, Buffer.from(ipPayload(frame)))
      })
    return {
      replayed: make(600, (frame) => frame),
      forged: make(600, (frame, p) => {
        p.writeUInt32BE(1_000_000 + dice.below(1_000_000), 4) // a sequence number that was never used
        return withIpPayload(frame, dice.spoil(p, 8))
      }),
      'unknown SPI': make(500, (frame, p) => {
        p.writeUInt32BE(256 + dice.below(100_000), 0)
        return withIpPayload(frame, p)
      }),
      truncated: make(500, (frame, p) => {
        p.writeUInt32BE(3_000_000 + dice.below(1_000_000), 4)
        return withIpPayload(frame, dice.cut(p))
      }),
      noise: make(300, (frame) => withIpPayload(frame, dice.octets(dice.below(200)))),
    }
  }

  test(`${EACH} ESP packets: replayed, forged, unknown, truncated, noise`, async () => {
    const variants = espVariants()
    const replayed = await dropsAll(variants.replayed!)
    expect(replayed).toEqual({ replayed: 600 })
    expect(await dropsAll(variants.forged!)).toEqual({ 'bad-icv': 600 })
    expect(await dropsAll(variants['unknown SPI']!)).toEqual({ 'unknown-spi': 500 })
    const truncated = await dropsAll(variants.truncated!)
    expect(
      Object.keys(truncated).every((cause) => ['bad-icv', 'bad-length', 'malformed-outer'].includes(cause)),
    ).toBe(true)
    const noise = await dropsAll(variants.noise!)
    expect(
      Object.keys(noise).every((cause) => ['unknown-spi', 'bad-length', 'malformed-outer'].includes(cause)),
    ).toBe(true)
  }, 60_000)

  test(`${EACH} AH packets: replayed, forged, unknown, truncated, noise`, async () => {
    const make = (n: number, f: (frame: Buffer, payload: Buffer) => Buffer): Buffer[] =>
      Array.from({ length: n }, () => {
        const frame = dice.pick(seen.ah)
        return f(frame, Buffer.from(ipPayload(frame)))
      })
    expect(await dropsAll(make(600, (frame) => frame))).toEqual({ replayed: 600 })
    const forged = make(600, (frame, p) => {
      p.writeUInt32BE(1_000_000 + dice.below(1_000_000), 8)
      return withIpPayload(frame, dice.spoil(p, 12))
    })
    expect(await dropsAll(forged)).toEqual({ 'bad-icv': 600 })
    const otherSource = make(200, (frame, p) => {
      p.writeUInt32BE(2_500_000 + dice.below(100_000), 8)
      return withIpPayload(frame, p, { source: STRANGER })
    })
    expect(await dropsAll(otherSource)).toEqual({ 'bad-icv': 200 })
    const unknown = make(400, (frame, p) => {
      p.writeUInt32BE(256 + dice.below(100_000), 4)
      return withIpPayload(frame, p)
    })
    expect(await dropsAll(unknown)).toEqual({ 'unknown-spi': 400 })
    const rest = [
      ...make(400, (frame, p) => {
        p.writeUInt32BE(3_000_000 + dice.below(1_000_000), 8)
        return withIpPayload(frame, dice.cut(p))
      }),
      ...make(300, (frame) => withIpPayload(frame, dice.octets(dice.below(200)))),
    ]
    const drops = await dropsAll(rest)
    const causes = ['bad-icv', 'bad-length', 'malformed-outer', 'unknown-spi']
    expect(Object.keys(drops).filter((cause) => !causes.includes(cause))).toEqual([])
  }, 60_000)

  function ikeVariants(from: readonly Buffer[], n: number): Buffer[] {
    return Array.from({ length: n }, (_, i) => {
      const frame = dice.pick(from)
      const message = Buffer.from(udpPayload(frame))
      const exchange = (): Buffer => {
        dice.octets(8).copy(message, 0) // an initiator cookie that nobody knows
        return message
      }
      switch (i % 6) {
        case 0:
          return frame
        case 1:
          return withUdpPayload(frame, dice.spoil(message, 28))
        case 2:
          return withUdpPayload(frame, dice.spoil(exchange(), 28))
        case 3:
          return withUdpPayload(frame, dice.cut(message))
        case 4:
          return withUdpPayload(frame, dice.octets(dice.below(300)))
        default:
          return withUdpPayload(frame, dice.spoil(exchange()), STRANGER)
      }
    })
  }

  /** What messages of key management must show: each counted under a cause, and nothing was agreed. */
  async function refusesAll(frames: readonly Buffer[]): Promise<void> {
    const before = await target.status()
    const children = before.peers[0]!.children.flatMap((child) => child.sas.map((sa) => sa.spi))
    await assault(frames, (s) => sum(s.events) + sum(inboundDrops(s)))
    const after = await target.status()
    const events = difference(after.events, before.events)
    for (const name of ACCEPTED) expect(events[name] ?? 0, name).toBe(0)
    expect(sum(events), JSON.stringify(events)).toBeGreaterThanOrEqual(frames.length)
    const now = after.peers[0]!.children.flatMap((child) => child.sas.map((sa) => sa.spi))
    expect(now.sort()).toEqual(children.sort())
  }

  test(`${EACH} pre-phase messages`, () => refusesAll(ikeVariants(seen.prephase, EACH)), 60_000)

  test(`${EACH} IKE messages`, () => refusesAll(ikeVariants(seen.ike, EACH)), 60_000)

  test('it has stayed up, does not grow, and carries on', async () => {
    const everything = (): Buffer[] => [
      ...Object.values(espVariants()).flat(),
      ...ikeVariants([...seen.prephase, ...seen.ike], EACH),
    ]
    const all = (s: GatewayStatus): number => sum(s.events) + sum(inboundDrops(s))
    await assault(everything(), all)
    const before = target.rss()
    await assault(everything(), all)
    expect(target.rss() - before).toBeLessThan(RSS_SLACK)
    expect(target.ended).toBe(false)
    const [from, to] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]
    const moved = await transferImage(lab, { from, to, octets: 4 << 20 })
    expect(moved.sha256Received).toBe(moved.sha256Sent)
    // The answers to all of that, if any, are not more than what was sent, and only key management answers.
    const { frames } = await lab.wire.report()
    expect(
      Object.keys(frames).filter(
        (kind) => !['arp', 'neighbour', 'esp', 'ah', 'prephase', ...IKE_KINDS].includes(kind),
      ),
    ).toEqual([])
  }, 60_000)
})
