import { expect } from 'vitest'
import type { IkePeerConfig } from '../../src/ike/config.js'
import { convergence, disagreement, type IkeEnd, type IkeEnds, twoIkes } from './ike-ends.js'
import type { Datagram } from './virtual-network.js'

// Both ends of an established IKE SA want something of it at the same time, and what is wrong afterwards.

/** One IKE SA and one CHILD_SA, and both ends have had their say. */
export function up(seed: number | string, over: Parameters<typeof twoIkes>[0] = {}): IkeEnds {
  const ends = twoIkes({
    seed,
    ...over,
    config: { version: 2, dynamicPsk: 'off', ...over.config },
  })
  ends.a.ike.acquire(ends.network.now, 1)
  // Long enough that both ends may begin.
  ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

export const peerOf = (e: IkeEnd): string => e.peer.peer

type Wish = (e: IkeEnd, now: number) => void

export function renewChild(e: IkeEnd, now: number): void {
  const spi = e.current()[0]?.outboundSpi
  if (spi === undefined) return
  e.ike.expire(now, {
    direction: 'outbound',
    protocol: 'esp',
    spi,
    policy: 1,
    limit: 'soft',
    cause: 'asked',
  })
}

export const WISHES = {
  'renews the child': renewChild,
  'renews the IKE SA': (e, now) => void e.ike.rekey(now, peerOf(e)),
  'renews both': (e, now) => {
    renewChild(e, now)
    e.ike.rekey(now, peerOf(e))
  },
  'ends the child': (e, now) => {
    const spi = e.current()[0]?.inboundSpi
    if (spi === undefined) return
    const key = { direction: 'inbound', protocol: 'esp', spi, policy: 1 } as const
    e.ike.expire(now, { ...key, limit: 'hard', cause: 'sequence' })
  },
} satisfies Record<string, Wish>
export type WishName = keyof typeof WISHES

/** Runs; without an SA that is ended on purpose there is always one to send on, and whatever one end sends on, the other receives. */
export function watch(ends: IkeEnds, ms: number, step: number, gapless: boolean): Set<string> {
  const found = new Set<string>()
  for (let t = 0; t < ms; t += step) {
    ends.network.runFor(step)
    if (!gapless) continue
    for (const d of disagreement(ends)) found.add(d)
    for (const [name, e] of [
      ['a', ends.a],
      ['b', ends.b],
    ] as const)
      if (e.env.newestOutbound(1) === undefined) found.add(`${name} has nothing to send on`)
  }
  return found
}

/**
 * What is wrong after both wishes, however the messages went.
 * @param gap milliseconds between the wishes @param impair a datagram's fate, by its number since the first wish
 * @param config of both ends
 */
export function collide(
  seed: string,
  first: WishName,
  second: WishName,
  gap: number,
  impair: (index: number, d: Datagram) => readonly number[],
  config: Partial<IkePeerConfig> = {},
): string[] {
  const ends = up(seed, { config })
  const { network, a, b } = ends
  const before = network.sent.length
  const old = { ike: a.established()[0]!.initiatorSpi, child: a.current()[0]!.inboundSpi }
  network.impairment = (d) => impair(d.index - before, d)
  WISHES[first](a, network.now)
  const ends1 = first === 'ends the child' || second === 'ends the child'
  const found = watch(ends, gap, 1, !ends1)
  WISHES[second](b, network.now)
  for (const f of watch(ends, 300, 1, !ends1)) found.add(f)
  for (const f of watch(ends, 60_000, 50, !ends1)) found.add(f)
  if (ends1) a.ike.acquire(network.now, 1)
  network.runFor(60_000)
  const out = [...found, ...convergence(ends)]
  for (const [name, e] of [
    ['a', a],
    ['b', b],
  ] as const) {
    if (e.env.sas.size !== 2) out.push(`${name} has ${e.env.sas.size} SAs in the data path`)
    if (e.peer.ikeSas.length !== 1) out.push(`${name} has ${e.peer.ikeSas.length} IKE SAs`)
    if (e.env.counted('ike.internal') > 0) out.push(`${name}: internal fault`)
    if (e.env.counted('ike.malformed-authentic') > 0) out.push(`${name}: malformed`)
  }
  // One wish at least has come true; a child that was ended meanwhile has nothing to renew.
  const wishes = `${first}, ${second}`
  if (wishes.includes('IKE SA') && a.established()[0]?.initiatorSpi === old.ike) out.push('the old IKE SA')
  if (wishes.includes('the child') && a.current()[0]?.inboundSpi === old.child) out.push('the old CHILD_SA')
  const messages = network.sent.length - before
  if (messages > 60) out.push(`${messages} messages`)
  return out
}

/** Everything that A and B may want. */
export const PAIRS: [WishName, WishName][] = (Object.keys(WISHES) as WishName[]).flatMap((x) =>
  (Object.keys(WISHES) as WishName[]).map((y): [WishName, WishName] => [x, y]),
)
