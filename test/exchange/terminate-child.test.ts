import { describe, expect, test } from 'vitest'
import { childConfig, convergence, type IkeEnd, type IkeEnds, selector, twoIkes } from './ike-ends.js'

// `terminate` with a child's name ends that child's SAs and nothing else.

const CHILDREN = [
  childConfig({ name: 'migration', policy: 1 }),
  childConfig({
    name: 'storage',
    policy: 2,
    localTs: [selector('10.99.1.0/24')],
    remoteTs: [selector('10.99.2.0/24')],
  }),
]

function up(version: 1 | 2, children = CHILDREN): IkeEnds {
  const ends = twoIkes({ config: { version, dynamicPsk: 'off', children } })
  ends.a.ike.initiate(ends.network.now, 'b')
  ends.network.runFor(3_000)
  expect(convergence(ends, children.length)).toEqual([])
  return ends
}

const policies = (e: IkeEnd): number[] => [...new Set([...e.env.sas.values()].map((s) => s.policy))]

describe.each([1, 2] as const)('IKEv%i', (version) => {
  test.each(['a', 'b'] as const)('%s ends one child: the other stays, and so does the IKE SA', (side) => {
    const ends = up(version)
    const { network } = ends
    const ike = ends.a.established()[0]!.initiatorSpi
    ends[side].ike.terminate(network.now, side === 'a' ? 'b' : 'a', 'migration')
    expect(policies(ends[side])).toEqual([2])
    network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
    for (const e of [ends.a, ends.b]) {
      expect(policies(e)).toEqual([2])
      expect(e.established().map((s) => s.initiatorSpi)).toEqual([ike])
    }
    ends[side].ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(convergence(ends, 2)).toEqual([])
  })

  test('both end the same child at once', () => {
    const ends = up(version)
    ends.a.ike.terminate(ends.network.now, 'b', 'storage')
    ends.b.ike.terminate(ends.network.now, 'a', 'storage')
    ends.network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
    for (const e of [ends.a, ends.b]) expect(policies(e)).toEqual([1])
  })

  test('a child that starts by itself stays down where it was ended', () => {
    const children = CHILDREN.map((c) => ({ ...c, start: 'start' as const }))
    const { network, a } = up(version, children)
    a.ike.terminate(network.now, 'b', 'migration')
    network.runFor(100)
    expect(a.peer.wanted).toEqual([])
  })

  test('a name that is not configured', () => {
    const { network, a } = up(version)
    expect(() => a.ike.terminate(network.now, 'b', 'other')).toThrow('peer b has no child other')
  })

  // The peer cannot be told of what it is still being asked for: it ends when both have it.
  test('at any moment of a renewal by either end, and any message lost: nothing of it stays', () => {
    for (const renewer of ['a', 'b'] as const)
      for (let gap = 0; gap <= 24; gap += 2)
        for (let lost = -1; lost < 4; lost++) {
          const ends = up(version)
          const { network, a } = ends
          const before = network.sent.length
          network.impairment = (d) => (d.index === before + lost ? [] : [5])
          const { outboundSpi: spi } = ends[renewer].current().find((c) => c.child === 'migration')!
          const key = { direction: 'outbound', protocol: 'esp', spi, policy: 1 } as const
          ends[renewer].ike.expire(network.now, { ...key, limit: 'soft', cause: 'asked' })
          network.runFor(gap)
          a.ike.terminate(network.now, 'b', 'migration')
          network.runFor(100_000)
          const left = [ends.a, ends.b].map(policies)
          // IKEv1 cannot tell a renewal from a new SA: B's wish may come after A's.
          const stays = version === 1 && renewer === 'b' && left.some((p) => p.includes(1)) ? 2 : 1
          expect([renewer, gap, lost, ...convergence(ends, stays)]).toEqual([renewer, gap, lost])
          if (stays === 1) expect(left).toEqual([[2], [2]])
        }
  })

  test('at any moment of its negotiation', () => {
    for (let gap = 0; gap <= 60; gap += 2) {
      const ends = twoIkes({ config: { version, dynamicPsk: 'off', children: CHILDREN } })
      const { network, a } = ends
      a.ike.initiate(network.now, 'b')
      network.runFor(gap)
      a.ike.terminate(network.now, 'b', 'migration')
      network.runFor(100_000)
      expect([gap, ...[ends.a, ends.b].map(policies), ...convergence(ends)]).toEqual([gap, [2], [2]])
    }
  })
})
