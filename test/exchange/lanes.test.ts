import { describe, expect, test } from 'vitest'
import type { ChildConfig } from '../../src/ike/config.js'
import { lanePolicy } from '../../src/sadb/lane-policy.js'
import { childConfig, disagreement, IkeEnd, ikePeer, mirroredPeer, type TwoIkes } from './ike-ends.js'
import { VirtualNetwork } from './virtual-network.js'

const inLanes = (count: number): ChildConfig[] =>
  count === 1
    ? [childConfig()]
    : Array.from({ length: count }, (_, index) =>
        childConfig({ policy: lanePolicy(1, index), lane: { index, count } }),
      )

function endsOf(version: 1 | 2, a: number, b: number, o: TwoIkes = {}) {
  const network = new VirtualNetwork(o)
  const config = { version, dynamicPsk: 'off' as const, ...o.config }
  const peer = ikePeer({ ...config, children: inLanes(a) })
  const other = mirroredPeer({ ...peer, children: inLanes(b) })
  return {
    network,
    peer,
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

describe.each([1, 2] as const)('CHILD_SAs for lanes, IKEv%i', (version) => {
  const ends = (a: number, b: number, o?: TwoIkes) => endsOf(version, a, b, o)

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
  ])('%i lanes here, %i there: SAs for the lanes that both have, and no more', (n, m) => {
    const { network, a, b } = ends(n, m, { config: { ikeLifetimeSeconds: 3_600 } })
    const shared = Math.min(n, m)
    const served = inLanes(n).slice(0, shared)
    // The highest first: its packets are what the peer has no lane for.
    for (let lane = n - 1; lane >= 0; lane--) a.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(2_000)
    for (let lane = m - 1; lane >= 0; lane--) b.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(2_000)
    for (const end of [a, b]) {
      expect(end.current()).toHaveLength(shared)
      expect(
        end.env
          .outbound()
          .map((s) => s.policy)
          .sort(),
      ).toEqual(served.map((c) => c.policy))
      expect(end.peer.wanted).toEqual([])
    }
    // Both directions in the same lane, whatever the ends' remainders are.
    for (const [x, y, lanes] of [
      [a, b, m],
      [b, a, n],
    ] as const)
      expect(outboundLanes(x, y, lanes).sort()).toEqual([...Array(shared).keys()])
    expect(a.env.sharedLanes).toEqual(n === 1 ? undefined : { peer: 'b', lanes: shared })
    expect(b.env.sharedLanes).toEqual(m === 1 ? undefined : { peer: 'a', lanes: shared })
    // Many lifetimes later it is the same, and no lane was ever without.
    for (let i = 0; i < 40; i++) {
      network.runFor(600_000)
      for (const end of [a, b])
        expect(new Set(end.env.outbound().map((s) => s.policy)).size, `after ${i + 1} times`).toBe(shared)
    }
    expect(disagreement({ network, a, b })).toEqual([])
  })

  test('the peer deletes an SA that a lane uses: the lane gets another one', () => {
    const { network, a, b } = ends(1, 2)
    for (const lane of [0, 1]) b.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(2_000)
    const [sa] = b.env.inbound()
    b.ike.expire(network.now, {
      direction: 'inbound',
      protocol: 'esp',
      spi: sa!.spi,
      policy: sa!.policy,
      limit: 'hard',
      cause: 'time',
    })
    network.runFor(100)
    expect(a.env.outbound()).toEqual([])
    a.ike.acquire(network.now, 1)
    network.runFor(2_000)
    expect(a.env.outbound()).toHaveLength(1)
    expect(disagreement({ network, a, b })).toEqual([])
  })

  test('a child that starts by itself starts in the lanes that both have', () => {
    const start = (count: number) => inLanes(count).map((c) => ({ ...c, start: 'start' as const }))
    const network = new VirtualNetwork()
    const peer = ikePeer({ version, dynamicPsk: 'off', children: start(4) })
    const other = mirroredPeer({ ...peer, children: start(2) })
    const a = new IkeEnd(network, [peer], 'a')
    const b = new IkeEnd(network, [other], 'b')
    network.runFor(10_000)
    for (const end of [a, b]) expect(end.current()).toHaveLength(2)
    network.runFor(300_000)
    for (const end of [a, b]) expect(end.env.outbound()).toHaveLength(2)
  })

  test('a peer that comes back with another number of lanes', () => {
    const { network, a, peer } = ends(4, 4)
    for (let lane = 0; lane < 4; lane++) a.ike.acquire(network.now, lanePolicy(1, lane))
    network.runFor(2_000)
    expect(a.env.outbound()).toHaveLength(4)
    for (const lanes of [2, 3]) {
      const again = new IkeEnd(network, [mirroredPeer({ ...peer, children: inLanes(lanes) })], `b ${lanes}`)
      again.ike.acquire(network.now, lanePolicy(1, 1))
      network.runFor(2_000)
      // INITIAL_CONTACT has ended what was before.
      expect(a.env.outbound().map((s) => s.policy)).toEqual([lanePolicy(1, 1)])
      expect(a.env.sharedLanes?.lanes).toBe(lanes)
      for (let lane = 0; lane < 4; lane++) a.ike.acquire(network.now, lanePolicy(1, lane))
      network.runFor(2_000)
      expect(new Set(a.env.outbound().map((s) => s.policy)).size).toBe(lanes)
      expect(disagreement({ network, a, b: again })).toEqual([])
    }
  })
})
