import { describe, expect, test } from 'vitest'
import { equalOctets } from '../../src/bytes/octets.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { childConfig, convergence, disagreement, type IkeEnd, type IkeEnds, twoIkes } from './ike-ends.js'
import { A } from './prephase-ends.js'
import { type Datagram, type Impairment, unreliable } from './virtual-network.js'

// Both ends want something of the same SAs at the same time: RFC 7296 sections 2.8.1, 2.8.2 and 2.25.

function up(seed: number | string, over: Parameters<typeof twoIkes>[0] = {}): IkeEnds {
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

const peerOf = (e: IkeEnd): string => e.peer.peer

type Wish = (e: IkeEnd, now: number) => void

function renewChild(e: IkeEnd, now: number): void {
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

const WISHES = {
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
type WishName = keyof typeof WISHES

/** Runs; without an SA that is ended on purpose there is always one to send on, and whatever one end sends on, the other receives. */
function watch(ends: IkeEnds, ms: number, step: number, gapless: boolean): Set<string> {
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

/** What is wrong after both wishes, however the messages went. */
function collide(
  seed: string,
  first: WishName,
  second: WishName,
  gap: number,
  impair: (index: number, d: Datagram) => readonly number[],
): string[] {
  const ends = up(seed)
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

const PAIRS: [WishName, WishName][] = (Object.keys(WISHES) as WishName[]).flatMap((x) =>
  (Object.keys(WISHES) as WishName[]).map((y): [WishName, WishName] => [x, y]),
)

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
