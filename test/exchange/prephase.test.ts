import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import type { PrephaseResult } from '../../src/ike/prephase/types.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { emitMessage } from '../../src/wire/ike/payloads.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { A, B, type Ends, PrephaseEnd, peerConfig, twoEnds } from './prephase-ends.js'
import { type Impairment, losing, seededRandom, unreliable } from './virtual-network.js'

const SCHEMES = ['classic', 'hardened'] as const

/** The initiator's result and the responder's of the same exchange agree in every octet. */
function expectAgreement(one: PrephaseResult, other: PrephaseResult): void {
  expect(hex(one.initiatorCookie)).toBe(hex(other.initiatorCookie))
  expect(hex(one.responderCookie)).toBe(hex(other.responderCookie))
  expect(hex(one.psk)).toBe(hex(other.psk))
  expect(one.psk.length).toBe(64)
  expect(one.ppk && hex(one.ppk)).toBe(other.ppk && hex(other.ppk))
}

/** Numbers of all messages sent, by message ID: [step 1, step 2, step 3, step 4]. */
function stepsSent({ network }: Ends): number[] {
  const counts = [0, 0, 0, 0]
  for (const d of network.sent) counts[d.message[23]! - 1]!++
  return counts
}

/** As soon as one end has finished as initiator, it sends something that stands for the first IKE message. */
function withIke({ network, a, b }: Ends): void {
  const first = (cookie: Uint8Array) =>
    emitMessage(
      {
        initiatorSpi: cookie,
        responderSpi: new Uint8Array(8),
        version: 0x10,
        exchange: 2,
        flags: 0,
        messageId: 0,
      },
      [],
    )
  a.onFinished = (_now, r) => r.role === 'initiator' && network.send(A, B, first(r.initiatorCookie))
  b.onFinished = (_now, r) => r.role === 'initiator' && network.send(B, A, first(r.initiatorCookie))
}

describe.each(SCHEMES)('%s', (scheme) => {
  test('four messages, one result at each end, the same keys', () => {
    const ends = twoEnds(scheme)
    const { network, a, b } = ends
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    expect(stepsSent(ends)).toEqual([1, 1, 1, 1])
    expect(a.finished.map((f) => f.result.role)).toEqual(['initiator'])
    expect(b.finished.map((f) => f.result.role)).toEqual(['responder'])
    const [ours] = a.results('initiator')
    const [theirs] = b.results('responder')
    expectAgreement(ours!, theirs!)
    expect(ours!.peer).toBe('b')
    expect(theirs!.peer).toBe('a')
    expect(ours!.ppk?.length).toBe(scheme === 'hardened' ? 32 : undefined)
    expect(ours!.remote).toEqual(B)
    expect(theirs!.remote).toEqual(A)
  })

  test('the result is taken once, under its own cookie, within 60 s', () => {
    const { network, a, b } = twoEnds(scheme)
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    const cookie = a.results('initiator')[0]!.initiatorCookie
    const finishedAt = b.finished[0]!.at
    expect(b.prephase.take(network.now, seededRandom('other')(8))).toBeUndefined()
    expect(b.prephase.take(finishedAt + 60_000, cookie)).toBeUndefined()
    expect(b.prephase.peek(finishedAt + 59_999, cookie)?.peer).toBe('a')
    const taken = b.prephase.take(finishedAt + 59_999, cookie)
    expectAgreement(a.results('initiator')[0]!, taken!)
    expect(b.prephase.take(finishedAt + 59_999, cookie)).toBeUndefined()
    expect(b.prephase.peek(finishedAt + 59_999, cookie)).toBeUndefined()
    expect(b.nextDeadline()).toBeUndefined()
  })

  test('an unused result is wiped and forgotten', () => {
    const { network, a, b } = twoEnds(scheme)
    let kept: PrephaseResult | undefined
    b.onFinished = (_now, r) => {
      kept = r
    }
    a.prephase.start(network.now, 'b')
    network.runUntilIdle(61_000)
    expect(b.nextDeadline()).toBeUndefined()
    expect(b.env.counted('prephase.unused')).toBe(1)
    expect(kept!.psk.every((v) => v === 0)).toBe(true)
    expect(b.prephase.status()[0]).toMatchObject({ halfOpen: 0, finished: 0 })
  })

  test('every start has fresh numbers', () => {
    const { network, a, b } = twoEnds(scheme)
    for (let i = 0; i < 5; i++) {
      a.prephase.start(network.now, 'b')
      network.runFor(2_000)
    }
    const seen = new Set(a.results('initiator').map((r) => `${hex(r.initiatorCookie)} ${hex(r.psk)}`))
    expect(seen.size).toBe(5)
    expect(b.results('responder').length).toBe(5)
  })

  test('start does nothing while an attempt is under way', () => {
    const ends = twoEnds(scheme)
    ends.a.prephase.start(ends.network.now, 'b')
    ends.a.prephase.start(ends.network.now, 'b')
    ends.network.runFor(100)
    expect(stepsSent(ends)).toEqual([1, 1, 1, 1])
  })

  test.each([0, 1, 2, 3])('message %i lost once: repeated after 1 s, then finished', (index) => {
    const ends = twoEnds(scheme, { impairment: losing([index]) })
    const { network, a, b } = ends
    const began = network.now
    a.prephase.start(began, 'b')
    network.runFor(2_000)
    expectAgreement(a.results('initiator')[0]!, b.results('responder')[0]!)
    expect(a.finished.length).toBe(1)
    expect(b.finished.length).toBe(1)
    expect(a.finished[0]!.at - began).toBeLessThan(1_100)
    const [m1, m2, m3, m4] = stepsSent(ends)
    // What the initiator lost or missed the answer to goes out twice, and the answer with the same octets.
    expect([m1, m2, m3, m4]).toEqual(
      index === 0 ? [2, 1, 1, 1] : index === 1 ? [2, 2, 1, 1] : index === 2 ? [1, 1, 2, 1] : [1, 1, 2, 2],
    )
    const octets = new Map<number, Set<string>>()
    for (const d of network.sent) {
      const step = d.message[23]!
      octets.set(step, (octets.get(step) ?? new Set()).add(hex(d.message)))
    }
    expect([...octets.values()].map((s) => s.size)).toEqual([1, 1, 1, 1])
  })

  test.each([0, 1, 2, 3])('message %i doubled: no harm', (index) => {
    const impairment: Impairment = (d) => (d.index === index ? [5, 30] : [5])
    const { network, a, b } = twoEnds(scheme, { impairment })
    a.prephase.start(network.now, 'b')
    network.runFor(500)
    expect(a.finished.length).toBe(1)
    expect(b.finished.length).toBe(1)
  })

  test('a peer that does not answer is told of while the attempt goes on', () => {
    const { network, a } = twoEnds(scheme, { impairment: () => [] })
    const silence = (): string | undefined => a.prephase.status()[0]!.silence?.message
    a.prephase.start(network.now, 'b')
    network.runFor(900)
    expect(silence()).toBeUndefined()
    network.runFor(200)
    expect(silence()).toMatch(/no answer to step 1 yet: .*refuses us/)
    network.runFor(22_000) // in the second attempt, with its first sending
    expect(silence()).toMatch(/no answer to step 1 yet/)
    a.prephase.cancel('b')
    expect(silence()).toBeUndefined()
  })

  test('an answer that the peer does not follow is told of, until it does', () => {
    let deaf = true
    const ends = twoEnds(scheme, {
      impairment: (d) => (deaf && sameIp(d.from.address, B.address) ? [] : [5]),
    })
    const { network, a, b } = ends
    const silence = (): string | undefined => b.prephase.status()[0]!.silence?.message
    a.prephase.start(network.now, 'b')
    network.runFor(2_900)
    expect(silence()).toBeUndefined()
    network.runFor(200)
    expect(silence()).toMatch(/the peer repeats step 1 after our answer/)
    deaf = false
    network.runUntil(() => a.finished.length > 0, 10_000)
    expect([a, b].map((end) => end.prephase.status()[0]!.silence)).toEqual([undefined, undefined])
  })

  test('step 1 is repeated after 1, 2, 4 and 8 s, then everything starts again with fresh numbers', () => {
    const ends = twoEnds(scheme, { impairment: () => [] })
    const { network, a } = ends
    const began = network.now
    a.prephase.start(began, 'b')
    network.runUntil(() => a.failed.length > 0, 200_000)
    const times = network.sent.map((d) => (d.sentAt - began) / 1000)
    expect(times).toEqual([0, 1, 3, 7, 15, 23, 24, 26, 30, 38, 46, 47, 49, 53, 61])
    expect(new Set(network.sent.map((d) => hex(d.message))).size).toBe(3)
    expect(new Set(network.sent.map((d) => hex(d.message.subarray(0, 8)))).size).toBe(3)
    expect(a.failed).toHaveLength(1)
    expect(a.failed[0]!.at - began).toBe(69_000)
    expect(a.failed[0]!.reason).toMatch(/no answer to step 1 in 3 attempts/)
    expect(a.nextDeadline()).toBeUndefined()
    // And it can be started again.
    a.prephase.start(network.now, 'b')
    expect(network.sent.length).toBe(16)
  })

  test('step 3 is repeated the same way; a peer that lost it for good is started again', () => {
    const { network, a, b } = twoEnds(scheme, {
      impairment: (d) => (d.message[23] === 3 && d.sentAt < 20_000 ? [] : [5]),
    })
    a.prephase.start(network.now, 'b')
    network.runFor(40_000)
    expect(a.finished.length).toBe(1)
    expectAgreement(a.results('initiator')[0]!, b.results('responder').at(-1)!)
  })

  test('cancel stops the attempt', () => {
    const { network, a } = twoEnds(scheme, { impairment: () => [] })
    a.prephase.start(network.now, 'b')
    a.prephase.cancel('b')
    network.runFor(30_000)
    expect(network.sent.length).toBe(1)
    expect(a.nextDeadline()).toBeUndefined()
    expect(a.failed).toEqual([])
  })

  test('a responder that restarts between the steps is started again by the initiator', () => {
    const { network, a, b } = twoEnds(scheme)
    a.prephase.start(network.now, 'b')
    network.runUntil(() => b.prephase.status()[0]!.halfOpen === 1, 100)
    const again = new PrephaseEnd(network, [{ ...peerOf(b), name: 'a' }], 'b again', {}, b.env)
    network.runFor(60_000)
    expectAgreement(a.results('initiator').at(-1)!, again.results('responder').at(-1)!)
  })

  test('both ends start in the same instant: one pre-phase finishes at both, the other nowhere', () => {
    const winners = new Set<string>()
    for (let seed = 0; seed < 20; seed++) {
      const ends = twoEnds(scheme, { seed })
      withIke(ends)
      ends.a.prephase.start(ends.network.now, 'b')
      ends.b.prephase.start(ends.network.now, 'a')
      ends.network.runFor(30_000)
      winners.add(expectOne(ends))
      // The lower cookie of the two first messages goes first.
      const [one, two] = ends.network.sent.slice(0, 2).map((d) => hex(d.message.subarray(0, 8)))
      const result = ends.a.finished[0]!.result
      expect([one, two].sort()[0]).toBe(hex(result.initiatorCookie))
    }
    expect(winners).toEqual(new Set(['a', 'b']))
  })

  test('one end starts at any moment of the other’s exchange: still exactly one', () => {
    for (let delay = 0; delay <= 40; delay++) {
      const ends = twoEnds(scheme, { seed: `late ${delay}` })
      withIke(ends)
      ends.a.prephase.start(ends.network.now, 'b')
      ends.network.runFor(delay)
      // IKE above starts nothing while it answers the peer's IKE exchange.
      const underWay = ends.b.results('responder').length > 0 && ends.b.prephase.status()[0]!.finished === 0
      if (!underWay) ends.b.prephase.start(ends.network.now, 'a')
      ends.network.runFor(9_000)
      expectOne(ends)
      expect(ends.network.sent.length).toBeLessThanOrEqual(10)
    }
  })

  test('both start and any single message is lost: still exactly one', () => {
    for (let index = 0; index < 8; index++) {
      for (let seed = 0; seed < 6; seed++) {
        const impairment: Impairment = (d) =>
          d.index === index && d.message[18] === EXCHANGE.PREPHASE ? [] : [5]
        const ends = twoEnds(scheme, { seed: `${index} ${seed}`, impairment })
        withIke(ends)
        ends.a.prephase.start(ends.network.now, 'b')
        ends.b.prephase.start(ends.network.now, 'a')
        ends.network.runFor(9_500)
        expectOne(ends)
      }
    }
  })

  test('the peer starts while step 3 is lost again and again: ours, which it may have finished, is seen through', () => {
    for (let seed = 0; seed < 10; seed++) {
      const ends = twoEnds(scheme, { seed: `lost ${seed}` })
      const { network, a, b } = ends
      withIke(ends)
      network.impairment = (d) => (d.message[23] === 3 && d.sentAt < 5_000 ? [] : [5])
      a.prephase.start(network.now, 'b')
      network.runFor(100)
      expect(a.prephase.status()[0]!.initiator).toBe('STEP3_SENT')
      b.prephase.start(network.now, 'a')
      network.runFor(9_000)
      expect(expectOne(ends)).toBe('a')
      expect(a.env.counted('prephase.peer-waits')).toBeGreaterThan(0)
    }
  })

  test('the peer finishes first: our own attempt, still unanswered, stops and is not answered later', () => {
    for (let seed = 0; seed < 6; seed++) {
      const ends = twoEnds(scheme, { seed: `first ${seed}` })
      const { network, a, b } = ends
      network.impairment = (d) =>
        d.message[23] === 1 && d.sentAt < 1_500 && sameIp(d.from.address, B.address) ? [] : [5]
      a.prephase.start(network.now, 'b')
      network.runFor(7)
      b.prephase.start(network.now, 'a')
      network.runFor(5_000)
      expect([...a.results('initiator'), ...b.results('initiator')]).toHaveLength(1)
      expect(b.prephase.status()[0]!.initiator).toBe('HOLD')
    }
  })

  test('start just after the peer has finished waits for its IKE exchange', () => {
    const ends = twoEnds(scheme)
    const { network, a, b } = ends
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    b.prephase.start(network.now, 'a')
    expect(b.prephase.status()[0]!.initiator).toBe('HOLD')
    network.runFor(9_000)
    expect(stepsSent(ends)).toEqual([1, 1, 1, 1])
    expect(b.prephase.take(network.now, a.results('initiator')[0]!.initiatorCookie)).toBeDefined()
    expect(b.prephase.status()[0]!.initiator).toBe('IDLE')
    network.runFor(60_000)
    expect(stepsSent(ends)).toEqual([1, 1, 1, 1])
  })

  test('start just after the peer has finished goes ahead when no IKE exchange comes', () => {
    const { network, a, b } = twoEnds(scheme)
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    b.prephase.start(network.now, 'a')
    network.runFor(11_000)
    expect(b.results('initiator')).toHaveLength(1)
  })

  test('an end that stands back waits for the peer’s IKE from the moment that the peer finishes', () => {
    const ends = twoEnds(scheme, { impairment: (d) => (d.message[23] === 3 && d.sentAt < 6_000 ? [] : [5]) })
    const { network, a, b } = ends
    const began = network.now
    a.prephase.start(began, 'b')
    b.prephase.start(began, 'a')
    network.runFor(8_000)
    const held = a.prephase.status()[0]!.initiator === 'HOLD' ? a : b
    expect(held.results('responder')).toHaveLength(1)
    const finishedAt = held.finished[0]!.at
    network.runTo(finishedAt + 9_900)
    expect(held.prephase.status()[0]!.initiator).toBe('HOLD')
    network.runTo(finishedAt + 10_100)
    expect(held.results('initiator')).toHaveLength(1)
  })

  test('an end that stood back begins itself when the peer falls silent', () => {
    const ends = twoEnds(scheme)
    const { network, a, b } = ends
    a.prephase.start(network.now, 'b')
    b.prephase.start(network.now, 'a')
    network.runFor(6)
    const [yielding, silent, name] =
      a.prephase.status()[0]!.initiator === 'HOLD' ? ([a, b, 'b'] as const) : ([b, a, 'a'] as const)
    expect(yielding.prephase.status()[0]!.initiator).toBe('HOLD')
    network.impairment = (d) => (sameIp(d.from.address, (silent === a ? A : B).address) ? [] : [5])
    silent.prephase.cancel(silent === a ? 'b' : 'a')
    network.runFor(10_100)
    expect(yielding.prephase.status()[0]!.initiator).toBe('STEP1_SENT')
    network.impairment = () => [5]
    network.runFor(20_000)
    expect(yielding.results('initiator').map((r) => r.peer)).toEqual([name])
  })

  test('over a link that is bad for 40 s both ends end up with one and the same pre-phase, whoever starts', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.integer({ min: 0, max: 1_000_000 }),
          loss: fc.double({ min: 0, max: 0.4, noNaN: true }),
          duplication: fc.double({ min: 0, max: 0.5, noNaN: true }),
          delay: fc.integer({ min: 1, max: 900 }),
          starts: fc.constantFrom('a', 'b', 'both'),
          gap: fc.integer({ min: 0, max: 2_000 }),
        }),
        ({ seed, loss, duplication, delay, starts, gap }) => {
          const ends = twoEnds(scheme, {
            seed,
            impairment: unreliable(seed, { loss, duplication, delayMs: [1, delay] }),
          })
          const { network, a, b } = ends
          const bad = network.impairment
          network.impairment = (d) => (d.sentAt < 40_000 ? bad(d) : [5])
          if (starts !== 'b') a.prephase.start(network.now, 'b')
          network.runFor(gap)
          if (starts !== 'a') b.prephase.start(network.now, 'a')
          // A result at an initiator is worth something when the responder has it too.
          const done = (): boolean => [...a.results('initiator'), ...b.results('initiator')].length > 0
          expect(network.runUntil(done, 69_000)).toBe(true)
          const ours = a.results('initiator')[0] ?? b.results('initiator')[0]!
          const other = a.results('initiator').length > 0 ? b : a
          const theirs = other
            .results('responder')
            .find((r) => hex(r.initiatorCookie) === hex(ours.initiatorCookie))
          expectAgreement(ours, theirs!)
          expect(other.prephase.take(network.now, ours.initiatorCookie)).toBeDefined()
          for (const end of [a, b]) expect(end.env.counted('prephase.internal')).toBe(0)
        },
      ),
      { numRuns: 60 },
    )
  })
})

function peerOf(end: PrephaseEnd) {
  const config = peerConfig({ dynamicPsk: end.prephase.status()[0]!.scheme })
  return {
    ...config,
    localId: config.remoteId,
    remoteId: config.localId,
    local: B.address,
    remote: A.address,
  }
}

/** Exactly one exchange has finished, at both ends. Returns who began it. */
function expectOne({ a, b }: Ends): string {
  const initiated = [...a.results('initiator'), ...b.results('initiator')]
  const answered = [...a.results('responder'), ...b.results('responder')]
  expect(initiated.length).toBe(1)
  expect(answered.length).toBe(1)
  expectAgreement(initiated[0]!, answered[0]!)
  for (const end of [a, b]) {
    expect(end.prephase.status()[0]!.initiator).toBe('IDLE')
    expect(end.failed).toEqual([])
  }
  return a.results('initiator').length === 1 ? 'a' : 'b'
}
