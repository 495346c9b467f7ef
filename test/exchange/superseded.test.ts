import { describe, expect, test } from 'vitest'
import { convergence, type IkeEnds, ikePeer, mirroredPeer, twoIkes } from './ike-ends.js'
import { impairedEnd } from './impaired-ends.js'
import { B } from './prephase-ends.js'

// A peer that has lost everything and does not say so: it comes back without INITIAL_CONTACT, and is silent about SPIs that it
// does not know. The IKE SA of before stays here for a while beside the new one, and nobody answers on it.

function comesBack(dpdDelaySeconds: number, silentFirst: number): IkeEnds {
  const config = ikePeer({ version: 2, dynamicPsk: 'off', dpdDelaySeconds })
  const { network, a } = twoIkes({ config })
  a.ike.acquire(network.now, 1)
  network.runFor(5_000)
  network.detach(config.remote)
  network.runFor(silentFirst)
  const rules = [{ message: 'IKE_AUTH request', payload: 'N(INITIAL_CONTACT)', do: 'omit' }] as const
  const options = { limits: { hintsPerSecond: 0, hintsBurst: 0 } }
  const { end: b, impairer } = impairedEnd(network, mirroredPeer(config), rules, 'b again', options)
  b.ike.acquire(network.now, 1)
  network.runFor(500)
  const ends = { network, a, b }
  expect(impairer.done).toEqual(['omit N(INITIAL_CONTACT) in IKE_AUTH request'])
  expect(convergence(ends)).toEqual([])
  return ends
}

describe('a peer that comes back and does not say that it has lost everything', () => {
  test.each([
    ['without dead peer detection', 0, 0],
    ['with it', 10, 0],
    ['with it, and it is being asked', 10, 12_000],
  ])('silence on the old IKE SA does not end the new one, %s', (_, dpd, silentFirst) => {
    for (const traffic of [false, true]) {
      const ends = comesBack(dpd, silentFirst)
      const { network, a, b } = ends
      for (let i = 0; i < 100; i++) {
        const inbound = traffic ? [a, b].flatMap(({ env }) => env.inbound().map((s) => ({ env, s }))) : []
        for (const { env, s } of inbound) env.inboundAt.set(s.spi, network.now)
        network.runFor(1_000)
        expect([i, ...convergence(ends)]).toEqual([i])
      }
      // Nothing is left of the old one.
      expect([a.peer.ikeSas.length, a.env.sas.size]).toEqual([1, 2])
      expect(a.env.counted('ike.dead-peer') + b.env.counted('ike.dead-peer')).toBe(0)
    }
  })

  test('nothing is asked for on the old IKE SA until it is deleted', () => {
    const { network, a } = comesBack(0, 0)
    const sent = network.sent.length
    network.runFor(39_000)
    expect(network.sent.length).toBe(sent)
    network.runFor(40_000)
    expect(a.peer.ikeSas).toHaveLength(1)
  })

  test('one that is silent on the new IKE SA as well is dead', () => {
    const { network, a } = comesBack(10, 0)
    network.detach(B.address)
    network.runFor(60_000)
    expect([a.peer.ikeSas.length, a.env.sas.size, a.env.counted('ike.dead-peer')]).toEqual([0, 0, 1])
  })
})
