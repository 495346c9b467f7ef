import { describe, expect, test } from 'vitest'
import { equalOctets } from '../../src/bytes/octets.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { collide, PAIRS, up, WISHES } from './collide.js'
import { childConfig, convergence, disagreement } from './ike-ends.js'
import { A } from './prephase-ends.js'
import { type Impairment, unreliable } from './virtual-network.js'

// Both ends want something of the same SAs at the same time: RFC 7296 sections 2.8.1, 2.8.2 and 2.25.

describe.each(PAIRS)('A %s, B %s', (first, second) => {
  test('within one round trip, every order', () => {
    for (let gap = 0; gap <= 24; gap += 4)
      expect([gap, ...collide(`${gap}`, first, second, gap, () => [5])]).toEqual([gap])
  })

  test('every single message lost', () => {
    for (const gap of [0, 7])
      for (let lost = 0; lost < 14; lost++) {
        const wrong = collide(`${gap} ${lost}`, first, second, gap, (i) => (i === lost ? [] : [5]))
        expect([gap, lost, ...wrong]).toEqual([gap, lost])
      }
  })

  test('one way slower than the other, one message slower than all', () => {
    for (const [toB, toA] of [
      [3, 40],
      [40, 3],
    ] as const)
      for (let late = 0; late < 10; late++) {
        const wrong = collide(`${toB} ${late}`, first, second, 0, (i, d) => {
          const delay = sameIp(d.from.address, A.address) ? toB : toA
          return [i === late ? delay + 70 : delay]
        })
        expect([toB, late, ...wrong]).toEqual([toB, late])
      }
  })

  test('every single message doubled, the copy late', () => {
    for (let twice = 0; twice < 12; twice++) {
      const wrong = collide(`${twice}`, first, second, 0, (i) => (i === twice ? [5, 35] : [5]))
      expect([twice, ...wrong]).toEqual([twice])
    }
  })
})

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
