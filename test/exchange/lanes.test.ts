import { describe, expect, test } from 'vitest'
import type { ChildConfig } from '../../src/ike/config.js'
import { lanePolicy } from '../../src/sadb/lane-policy.js'
import { childConfig, IkeEnd, ikePeer, mirroredPeer, type TwoIkes } from './ike-ends.js'
import { VirtualNetwork } from './virtual-network.js'

const inLanes = (count: number): ChildConfig[] =>
  count === 1
    ? [childConfig()]
    : Array.from({ length: count }, (_, index) =>
        childConfig({ policy: lanePolicy(1, index), lane: { index, count } }),
      )

function ends(a: number, b: number, o: TwoIkes = {}) {
  const network = new VirtualNetwork(o)
  const config = { dynamicPsk: 'off' as const, ...o.config }
  const peer = ikePeer({ ...config, children: inLanes(a) })
  const other = mirroredPeer({ ...peer, children: inLanes(b) })
  return {
    network,
    a: new IkeEnd(network, [peer], 'a', o.options),
    b: new IkeEnd(network, [other], 'b', o.options),
  }
}

/** Outbound SPIs that the newest SA of each policy has, and whether the other end receives on it in the lane that it names. */
function outboundLanes(from: IkeEnd, to: IkeEnd, lanes: number): (number | undefined)[] {
  return from.env.outbound().map((sa) => {
    const there = to.env.inbound().find((x) => x.spi === sa.spi)
    if (!there) return undefined
    const lane = Math.floor(there.policy / 65_536)
    expect(sa.spi % lanes).toBe(lane)
    return lane
  })
}

describe('CHILD_SAs for lanes', () => {
  test.each([2, 4, 3])('%i at both ends: one for each, lane to lane', (n) => {
    const { network, a, b } = ends(n, n)
    for (let lane = 0; lane < n; lane++) a.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(2_000)
    expect(a.current()).toHaveLength(n)
    expect(b.current()).toHaveLength(n)
    expect(a.established()).toHaveLength(1)
    for (const end of [a, b]) {
      expect(end.env.outbound().map((s) => s.policy)).toEqual(inLanes(n).map((c) => c.policy))
      expect(end.env.inbound()).toHaveLength(n)
    }
    // Both directions of a CHILD_SA are in the same lane of both.
    for (const [x, y] of [
      [a, b],
      [b, a],
    ] as const)
      expect(outboundLanes(x, y, n)).toEqual([...Array(n).keys()])
    expect(a.peer.wanted).toEqual([])
  })

  test('both ends begin at once, in all lanes', () => {
    const { network, a, b } = ends(2, 2, { config: { dynamicPsk: 'hardened' } })
    for (const end of [a, b]) for (const lane of [0, 1]) end.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(60_000)
    for (const end of [a, b]) {
      expect(end.current()).toHaveLength(2)
      expect(new Set(end.env.outbound().map((s) => s.policy)).size).toBe(2)
    }
  })

  test('each is rekeyed in its own lane', () => {
    const { network, a, b } = ends(2, 2)
    for (const lane of [0, 1]) a.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(2_000)
    const before = a.env.outbound().map((s) => s.spi)
    // Lane 1 first, so that it is not the oldest that happens to be right.
    for (const lane of [1, 0]) {
      const sa = a.env.outbound().find((s) => s.policy === lanePolicy(1, lane))!
      a.ike.expire(network.now, {
        direction: 'outbound',
        protocol: 'esp',
        spi: sa.spi,
        policy: sa.policy,
        limit: 'soft',
        cause: 'asked',
      })
      network.runFor(500)
    }
    network.runFor(60_000)
    for (const end of [a, b]) {
      expect(end.current()).toHaveLength(2)
      expect(end.peer.children).toHaveLength(2)
    }
    expect(a.env.outbound().filter((s) => before.includes(s.spi))).toEqual([])
    expect(outboundLanes(a, b, 2).sort()).toEqual([0, 1])
  })

  test.each([
    [2, 1],
    [1, 2],
    [4, 2],
    [2, 3],
  ])('%i lanes here, %i there: every lane has its SA, and keeps it', (n, m) => {
    const { network, a, b } = ends(n, m)
    for (let lane = 0; lane < n; lane++) a.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(2_000)
    for (let lane = 0; lane < m; lane++) b.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(2_000)
    const policies = (end: IkeEnd) => new Set(end.env.outbound().map((s) => s.policy)).size
    expect(policies(a)).toBe(n)
    expect(policies(b)).toBe(m)
    // What each sends on, the other receives on.
    for (const [x, y] of [
      [a, b],
      [b, a],
    ] as const)
      for (const sa of x.env.outbound()) expect(y.env.inbound().map((s) => s.spi)).toContain(sa.spi)
    const made = network.sent.length
    network.runFor(300_000)
    // Nothing is negotiated again and again.
    expect(network.sent.length - made).toBeLessThan(10)
    expect(policies(a)).toBe(n)
    expect(policies(b)).toBe(m)
  })
})
