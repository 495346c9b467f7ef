import { describe, expect, test } from 'vitest'
import { equalOctets } from '../../src/bytes/octets.js'
import { up, WISHES } from './collide.js'
import { childConfig, convergence, disagreement } from './ike-ends.js'
import { type Impairment, unreliable } from './virtual-network.js'

// What collisions.test.ts does not drive: how often, how long, and on bad links.

test('both renew at once: the lowest nonce loses, at both ends alike, in a bounded number of messages', () => {
  for (let seed = 0; seed < 20; seed++) {
    const ends = up(seed)
    const { network, a, b } = ends
    const before = network.sent.length
    for (const e of [a, b]) WISHES['renews the child'](e, network.now)
    network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
    // Two exchanges, the Delete of the old one and of the one too much.
    expect(network.sent.length - before).toBeLessThanOrEqual(8)
    expect(a.env.counted('ike.simultaneous') + b.env.counted('ike.simultaneous')).toBe(2)
  }
})

test('what RFC 7296 section 2.25 wants put off is put off, and asked again', () => {
  const ends = up('put off')
  const { network, a, b } = ends
  WISHES['renews the IKE SA'](a, network.now)
  WISHES['renews the child'](b, network.now)
  network.runFor(100)
  for (const e of [a, b]) expect(e.env.counted('ike.temporary-failure')).toBe(1)
  network.runFor(10_000)
  expect(convergence(ends)).toEqual([])
})

test('a peer that renews the same SA without end gets a bounded number', () => {
  const ends = up('without end')
  const { network, a, b } = ends
  for (let i = 0; i < 40; i++) {
    WISHES['renews the child'](a, network.now)
    network.runFor(100)
  }
  for (const e of [a, b]) expect(e.peer.children.length).toBeLessThanOrEqual(8)
  for (let i = 0; i < 40; i++) {
    WISHES['renews the IKE SA'](a, network.now)
    network.runFor(100)
  }
  for (const e of [a, b]) expect(e.peer.ikeSas.length).toBeLessThanOrEqual(9)
  network.runFor(120_000)
  expect(convergence(ends)).toEqual([])
})

test('replay: every message of a session, sent again much later, changes nothing', () => {
  const ends = up('replay')
  const { network, a, b } = ends
  WISHES['renews both'](a, network.now)
  network.runFor(100_000)
  const sas = [...a.env.sas.keys(), ...b.env.sas.keys()]
  const count = network.sent.length
  for (const d of [...network.sent]) network.inject(d.from, d.to, d.message)
  network.runFor(1_000)
  expect([...a.env.sas.keys(), ...b.env.sas.keys()]).toEqual(sas)
  expect(convergence(ends)).toEqual([])
  // The last request of each end is answered again with the same octets; the first message of all begins nothing that lasts.
  for (const d of network.sent.slice(count)) {
    const known = network.sent.slice(0, count).some((old) => equalOctets(old.message, d.message))
    expect(known || d.message[18] === 34).toBe(true)
  }
  network.runFor(60_000)
  expect(convergence(ends)).toEqual([])
})

describe('short lifetimes over a bad link', () => {
  test.each(['off', 'hardened'] as const)('dynamic_psk: %s', (dynamicPsk) => {
    for (let seed = 0; seed < 6; seed++) {
      const bad: Impairment = unreliable(`${dynamicPsk} ${seed}`, {
        loss: 0.1,
        duplication: 0.1,
        delayMs: [1, 200],
      })
      const child = childConfig({ lifetime: { hardSeconds: 60 } })
      const ends = up(seed, {
        config: { dynamicPsk, ikeLifetimeSeconds: 100, dpdDelaySeconds: 15, children: [child] },
      })
      const { network, a, b } = ends
      network.impairment = bad
      const found = new Set<string>()
      for (let i = 0; i < 3_000; i++) {
        network.runFor(200)
        for (const d of disagreement(ends)) found.add(d)
        // Packets flow on the newest SAs: the data path knows.
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          const sa = from.env.newestOutbound(1)
          if (sa === undefined) found.add(`${network.now}: no SA`)
          else if (to.env.inbound().some((s) => s.spi === sa.spi)) to.env.inboundAt.set(sa.spi, network.now)
        }
      }
      expect([seed, ...found]).toEqual([seed])
      network.impairment = () => [5]
      network.runFor(100_000)
      expect([seed, ...convergence(ends)]).toEqual([seed])
      expect(a.peer.ikeSas.length).toBeLessThanOrEqual(2)
    }
  })
})
