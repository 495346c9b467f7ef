import { describe, expect, test } from 'vitest'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { renewChild } from './collide.js'
import { childConfig, convergence } from './ike-ends.js'
import { watchGaps } from './model/gaps.js'
import { established } from './model/pair.js'
import { A } from './prephase-ends.js'
import type { Datagram } from './virtual-network.js'

// Both ends renew a child with IKEv1 at about the same time, over a path that loses the first copies of what each of them says.

const ALL = process.env.EXCHANGE_TESTS === 'all'
const SEEDS = [...Array(ALL ? 12 : 3).keys()]
/** Of the whole run: both Quick Modes, with all that is repeated, and the Delete of the old SA. */
const MESSAGES_MAX = 18

const quick = (d: Datagram): boolean => d.message[18] === EXCHANGE.QUICK_MODE

/** Loses the first Quick Mode messages of each end. */
function losing(first: Readonly<Record<'a' | 'b', number>>): (d: Datagram) => number[] {
  const sent = { a: 0, b: 0 }
  return (d) => {
    if (!quick(d)) return [5]
    const side = sameIp(d.from.address, A.address) ? 'a' : 'b'
    return sent[side]++ < first[side] ? [] : [5]
  }
}

describe.each([0, 2, 500, 1_500])('the second end begins after %i ms', (gap) => {
  test.each(['a', 'b'] as const)('the first messages of %s are lost: one SA, no gap', (side) => {
    for (let lost = 0; lost <= 5; lost++)
      for (let others = 0; others <= 2; others++)
        for (const seed of SEEDS) {
          const child = childConfig({ start: 'start' })
          const p = established({ seed, config: { version: 1, dynamicPsk: 'off', children: [child] } })
          const { network, a, b, traffic } = p
          const [before, gaps] = [network.sent.length, watchGaps(p)]
          network.impairment = losing(side === 'a' ? { a: lost, b: others } : { a: others, b: lost })
          renewChild(a, network.now)
          network.runFor(gap)
          renewChild(b, network.now)
          network.runFor(120_000)
          const name = `${lost} and ${others} lost, seed ${seed}`
          expect([...convergence(p), ...gaps()], name).toEqual([])
          expect(traffic.a.counts.lost + traffic.b.counts.lost, name).toBe(0)
          expect(network.sent.length - before, name).toBeLessThanOrEqual(MESSAGES_MAX)
          for (const e of [a, b])
            expect([e.peer.children.length, e.peer.lastError], name).toEqual([1, undefined])
        }
  })
})
