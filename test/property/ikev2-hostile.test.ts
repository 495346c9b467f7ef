import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { IKE_LIMITS } from '../../src/ike/limits.js'
import { convergence, type IkeEnd, twoIkes } from '../exchange/ike-ends.js'
import { mutate, mutation } from './mutations.js'

function expectBounded(e: IkeEnd): void {
  const { halfOpenPerPeer, ikeSasPerPeer, childSasPerPolicy } = IKE_LIMITS
  expect(e.peer.ikeSas.length).toBeLessThanOrEqual(halfOpenPerPeer + ikeSasPerPeer + 1)
  expect(e.peer.children.length).toBeLessThanOrEqual(childSasPerPolicy)
  expect(e.env.counted('ike.internal')).toBe(0)
  // Nobody who has not the keys makes an end believe that its peer speaks nonsense.
  expect(e.env.counted('ike.malformed-authentic')).toBe(0)
}

const config = (seed: number) => ({ version: 2, dynamicPsk: seed % 2 === 0 ? 'off' : 'hardened' }) as const

describe('a hostile network, IKEv2', () => {
  test('whatever arrives while SAs are up and are renewed is counted and changes nothing', () => {
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 20, maxLength: 60 }), fc.nat(1_000), (mutations, seed) => {
        const ends = twoIkes({ seed, config: config(seed) })
        const { network, a, b } = ends
        a.ike.acquire(network.now, 1)
        network.runFor(500)
        a.ike.expire(network.now, {
          ...{ direction: 'outbound', protocol: 'esp', spi: a.current()[0]!.outboundSpi, policy: 1 },
          ...{ limit: 'soft', cause: 'asked' },
        })
        b.ike.rekey(network.now, 'a')
        network.runFor(20_000)
        const sas = [...a.env.sas.keys(), ...b.env.sas.keys()]
        const real = [...network.sent]
        for (const m of mutations) {
          const d = real[m.index % real.length]!
          network.inject(d.from, d.to, mutate(d.message, m))
          network.inject(d.to, d.from, mutate(d.message, m))
        }
        network.runFor(100)
        for (const e of [a, b]) expectBounded(e)
        expect([...a.env.sas.keys(), ...b.env.sas.keys()]).toEqual(sas)
        expect(convergence(ends)).toEqual([])
        network.runFor(120_000)
        expect(convergence(ends)).toEqual([])
      }),
      { numRuns: 40 },
    )
  })

  test('mutated messages during an establishment throw nothing, and it comes up afterwards', () => {
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 5, maxLength: 30 }), fc.nat(1_000), (mutations, seed) => {
        const ends = twoIkes({ seed, config: config(seed) })
        const { network, a, b } = ends
        a.ike.acquire(network.now, 1)
        for (const m of mutations) {
          network.runFor(3)
          const d = network.sent[m.index % network.sent.length]!
          network.inject(d.from, d.to, mutate(d.message, m))
        }
        for (const e of [a, b]) expectBounded(e)
        for (let i = 0; i < 200; i++) {
          a.ike.acquire(network.now, 1)
          network.runFor(1_000)
        }
        for (const e of [a, b]) expectBounded(e)
        expect(convergence(ends)).toEqual([])
      }),
      { numRuns: 40 },
    )
  })
})
