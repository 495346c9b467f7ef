import { describe, expect, test } from 'vitest'
import { equalOctets, hex } from '../../src/bytes/octets.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { FLAG } from '../../src/wire/ike/v1/numbers.js'
import { vendorOf } from '../../src/wire/ike/v1/vendor-ids.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { rebuilt } from './attacker-v1.js'
import { renewChild } from './collide.js'
import { childConfig, convergence, disagreement, type IkeEnds, twoIkes } from './ike-ends.js'
import { WISHES } from './model/wishes.js'
import { A, B } from './prephase-ends.js'
import { type Datagram, unreliable } from './virtual-network.js'

function up(over: Parameters<typeof twoIkes>[0] = {}): IkeEnds {
  const ends = twoIkes(over)
  ends.a.ike.acquire(ends.network.now, 1)
  // Long enough that both ends may begin.
  ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

/** Both ends are told at once that their SA has reached its soft limit. */
function renewBoth({ network, a, b }: IkeEnds, gap = 0): void {
  for (const e of [a, b]) {
    const spi = e.current()[0]!.outboundSpi
    e.ike.expire(network.now, {
      direction: 'outbound',
      protocol: 'esp',
      spi,
      policy: 1,
      limit: 'soft',
      cause: 'packets',
    })
    network.runFor(gap)
  }
}

const quick = (d: Datagram): boolean => d.message[18] === EXCHANGE.QUICK_MODE

describe('both ends renew a child at once', () => {
  test('one new SA remains, whatever message is lost', () => {
    for (let lost = -1; lost < 8; lost++) {
      const ends = up({ seed: lost })
      const first = ends.network.sent.length
      ends.network.impairment = (d) => (d.index === first + lost ? [] : [5])
      const old = ends.a.current()[0]!.inboundSpi
      renewBoth(ends)
      ends.network.runFor(120_000)
      expect([lost, ...convergence(ends)]).toEqual([lost])
      expect(ends.a.current()[0]!.inboundSpi).not.toBe(old)
      for (const e of [ends.a, ends.b]) expect(e.env.sas.size).toBe(2)
    }
  })

  test('within one round trip', () => {
    for (let gap = 0; gap < 30; gap += 3) {
      const ends = up({ seed: gap })
      renewBoth(ends, gap)
      ends.network.runFor(120_000)
      expect([gap, ...convergence(ends)]).toEqual([gap])
    }
  })

  test('it takes a bounded number of messages', () => {
    const ends = up()
    const before = ends.network.sent.length
    renewBoth(ends)
    ends.network.runFor(60_000)
    expect(ends.network.sent.length - before).toBeLessThanOrEqual(8)
    expect(ends.a.env.counted('ike.simultaneous') + ends.b.env.counted('ike.simultaneous')).toBe(1)
  })
})

test('a peer that knows of no precedence gets message 3 of a Quick Mode that gave way', () => {
  let gaveWay = 0
  for (let seed = 0; seed < 8; seed++) {
    // Neither end says that it is a sallyport.
    const strip = (d: Datagram): Uint8Array =>
      rebuilt(d.message, (all) => all.filter((p) => vendorOf(p.body) !== 'EXTENDED_NUMBERS'))
    const ends = twoIkes({ seed, config: { dynamicPsk: 'off' } })
    const { network, a, b } = ends
    network.impairment = (d) => {
      if (d.message[18] !== EXCHANGE.MAIN_MODE || (d.message[19]! & FLAG.ENCRYPTION) !== 0) return [5]
      network.inject(d.from, d.to, strip(d), 5)
      return []
    }
    a.ike.acquire(network.now, 1)
    network.runFor(3_000)
    expect(convergence(ends)).toEqual([])
    const before = network.sent.length
    // B answers, which is lost, and asks as well.
    network.impairment = (d) => (quick(d) && sameIp(d.from.address, B.address) ? [] : [5])
    renewChild(a, network.now)
    network.runFor(10)
    network.impairment = () => [5]
    WISHES['v1: renews the child twice'].run(b, network.now)
    network.runFor(20)
    if (!a.env.logged('YIELDED')) continue
    gaveWay++
    const id = network.sent[before]!.message.subarray(20, 24)
    network.runFor(3_000)
    const ours = network.sent.slice(before).filter((d) => sameIp(d.from.address, A.address))
    const under = ours.filter((d) => equalOctets(d.message.subarray(20, 24), id))
    expect(new Set(under.map((d) => hex(d.message))).size).toBe(2)
    network.runFor(120_000)
    expect([seed, ...convergence(ends)]).toEqual([seed])
  }
  expect(gaveWay).toBeGreaterThan(0)
})

describe('Quick Mode message 3', () => {
  test('lost for good: traffic on the new SA confirms as well', () => {
    const { network, a, b } = twoIkes()
    let quicks = 0
    // Every third message is lost, and so is every repetition of message 2.
    network.impairment = (d) => (quick(d) && ++quicks > 2 ? [] : [5])
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(b.env.outbound()).toEqual([])
    for (const s of b.env.inbound()) b.env.inboundAt.set(s.spi, network.now)
    network.runFor(2_000)
    expect(b.env.outbound().length).toBe(1)
  })

  test('never confirmed: the responder takes its half SA back', () => {
    const { network, a, b } = twoIkes()
    let quicks = 0
    network.impairment = (d) => (quick(d) && ++quicks > 2 ? [] : [5])
    a.ike.acquire(network.now, 1)
    network.runFor(60_000)
    expect(b.env.sas.size).toBe(0)
    expect(b.peer.children).toEqual([])
  })
})

describe('replay', () => {
  test('every message of a session, sent again much later, is counted and changes nothing', () => {
    const ends = up()
    const { network, a, b } = ends
    network.runFor(100_000)
    const [sas, dh] = [[...a.env.sas.keys(), ...b.env.sas.keys()], network.sent.length]
    for (const d of [...network.sent]) network.inject(d.from, d.to, d.message)
    network.runFor(1_000)
    expect([...a.env.sas.keys(), ...b.env.sas.keys()]).toEqual(sas)
    expect(convergence(ends)).toEqual([])
    expect(b.env.counted('ike.message-id-reused')).toBeGreaterThan(0)
    // Message 5 is answered again with the same octets, and nothing else.
    for (const d of network.sent.slice(dh))
      expect(network.sent.slice(0, dh).some((old) => equalOctets(old.message, d.message))).toBe(true)
  })

  test('an IKE SA is renewed before its message IDs run out', () => {
    const ends = up({ config: { dpdDelaySeconds: 1 }, options: { limits: { messageIds: 40 } } })
    const cookie = ends.a.established()[0]!.initiatorSpi
    ends.network.runFor(120_000)
    expect(ends.a.established()[0]!.initiatorSpi).not.toBe(cookie)
    expect(convergence(ends)).toEqual([])
    expect(ends.b.env.counted('ike.message-id-limit')).toBe(0)
  })
})

test('a peer that opens SAs without end gets a bounded number', () => {
  const ends = up({
    config: { children: [childConfig({ lifetime: { hardSeconds: 3_600, hardPackets: 1_000 } })] },
  })
  const { network, a, b } = ends
  for (let i = 0; i < 30; i++) {
    const spi = a.current()[0]!.outboundSpi
    a.ike.expire(network.now, {
      direction: 'outbound',
      protocol: 'esp',
      spi,
      policy: 1,
      limit: 'soft',
      cause: 'packets',
    })
    network.runFor(100)
  }
  for (const e of [a, b]) expect(e.peer.children.length).toBeLessThanOrEqual(8)
  network.runFor(120_000)
  expect(convergence(ends)).toEqual([])
})

describe('short lifetimes over a bad link', () => {
  test.each(['off', 'classic', 'hardened'] as const)('dynamic_psk: %s', (dynamicPsk) => {
    for (let seed = 0; seed < 6; seed++) {
      const bad = unreliable(`${dynamicPsk} ${seed}`, { loss: 0.1, duplication: 0.1, delayMs: [1, 200] })
      const child = childConfig({ lifetime: { hardSeconds: 60 } })
      const ends = twoIkes({
        seed,
        config: { dynamicPsk, ikeLifetimeSeconds: 100, dpdDelaySeconds: 15, children: [child] },
      })
      const { network, a, b } = ends
      a.ike.acquire(network.now, 1)
      network.runFor(500)
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
