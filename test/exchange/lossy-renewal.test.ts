import { describe, expect, test } from 'vitest'
import { equalOctets, hex } from '../../src/bytes/octets.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { childConfig, convergence } from './ike-ends.js'
import { watchGaps } from './model/gaps.js'
import { established, flow, type Pair } from './model/pair.js'
import { B } from './prephase-ends.js'
import { type Datagram, unreliable } from './virtual-network.js'

// A path that loses messages, and SAs that live for half a minute: renewing has to begin so early that it may be repeated.

const LIFE = 30

function start(version: 1 | 2, seed: string | number): Pair {
  const lifetime = { hardSeconds: LIFE }
  return established({
    seed,
    config: { version, dynamicPsk: 'off', children: [childConfig({ start: 'start', lifetime })] },
  })
}

const exchangeOf = (d: Datagram): number => d.message[18]!
const isResponse = (d: Datagram): boolean => (d.message[19]! & 0x20) !== 0

/** Loses one of the two messages each time that a CHILD_SA is asked for; the exchange after these succeeds. */
function losingAnswers(p: Pair, what: readonly ('request' | 'response')[]): () => number {
  const left = [...what]
  p.network.impairment = (d) => {
    const renews = exchangeOf(d) === EXCHANGE.CREATE_CHILD_SA
    if (!renews || left[0] !== (isResponse(d) ? 'response' : 'request')) return [5]
    left.shift()
    return []
  }
  return () => left.length
}

const WAYS = ['request', 'response'] as const
const THREE = WAYS.flatMap((x) => WAYS.flatMap((y) => WAYS.map((z) => [x, y, z] as const)))

const lost = (p: Pair): number => p.traffic.a.counts.lost + p.traffic.b.counts.lost

describe('IKEv2: a CHILD_SA of 30 seconds', () => {
  test.each(THREE)('%s, %s and %s of its renewal lost: no gap, no packet lost', (...what) => {
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const p = start(2, seed)
      const gaps = watchGaps(p)
      const left = losingAnswers(p, what)
      p.network.runFor(1.5 * LIFE * 1000)
      expect(left(), `seed ${seed}`).toBe(0)
      expect([gaps(), lost(p)], `seed ${seed}`).toEqual([[], 0])
    }
  })

  test('what an exchange takes is not missing in the next one', () => {
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const p = start(2, seed)
      const gaps = watchGaps(p)
      for (let i = 0; i < 4; i++) {
        // The responder has the new SA seven seconds before the initiator.
        const left = losingAnswers(p, ['response', 'response', 'response'])
        expect(
          p.network.runUntil(() => left() === 0, LIFE * 1000),
          `seed ${seed}`,
        ).toBe(true)
        p.network.runFor(10_000)
      }
      expect([gaps(), lost(p)], `seed ${seed}`).toEqual([[], 0])
    }
  })

  test('its time is over at one end first: what the other end still sends on it is received', () => {
    const p = start(2, 1)
    const gaps = watchGaps(p)
    const left = losingAnswers(p, ['response', 'response', 'response'])
    p.network.runUntil(() => left() === 0, LIFE * 1000)
    p.network.runFor(10_000)
    const installed = [p.a, p.b].map((end) => end.current()[0]!.installedAt) as [number, number]
    expect(Math.abs(installed[0] - installed[1])).toBeGreaterThan(6_900)
    p.network.impairment = (d) => (exchangeOf(d) === EXCHANGE.CREATE_CHILD_SA ? [] : [5])
    p.network.runUntil(() => gaps().length > 0, LIFE * 1000)
    for (let i = 0; i < 49; i++) {
      p.network.runFor(100)
      // Each end sends now, too, and not only when something happens.
      flow(p, p.policies)
    }
    expect(gaps()).toHaveLength(1)
    expect(lost(p)).toBe(0)
  })

  test('packets that wait have the request repeated, and not when it would be its turn', () => {
    const p = start(2, 1)
    const gaps = watchGaps(p)
    let cut = true
    p.network.impairment = (d) => (cut && exchangeOf(d) === EXCHANGE.CREATE_CHILD_SA ? [] : [5])
    const send = (ms: number): void => {
      for (const end = p.network.now + ms; p.network.now < end; p.network.runFor(100)) flow(p, p.policies)
    }
    expect(p.network.runUntil(() => gaps().length === 2, 2 * LIFE * 1000)).toBe(true)
    send(1_500)
    cut = false
    send(1_200)
    expect(convergence(p)).toEqual([])
  })
})

/** Quick Mode: which of its messages a datagram is, repetitions included; undefined for all else. */
function quickModeMessages(): (d: Datagram) => 1 | 2 | 3 | undefined {
  const firsts = new Map<string, Datagram>()
  return (d) => {
    if (exchangeOf(d) !== EXCHANGE.QUICK_MODE) return undefined
    const id = hex(d.message.subarray(20, 24))
    const first = firsts.get(id) ?? d
    firsts.set(id, first)
    if (equalOctets(first.message, d.message)) return 1
    return sameIp(first.from.address, d.from.address) ? 3 : 2
  }
}

const QUICK = [1, 2] as const
const QUICK_THREE = QUICK.flatMap((x) => QUICK.flatMap((y) => QUICK.map((z) => [x, y, z] as const)))

describe('IKEv1: a CHILD_SA of 30 seconds', () => {
  test.each(QUICK_THREE)('messages %i, %i and %i of its renewal lost: no gap, no packet lost', (...what) => {
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const p = start(1, seed)
      const gaps = watchGaps(p)
      const left: number[] = [...what]
      const numberOf = quickModeMessages()
      p.network.impairment = (d) => {
        if (numberOf(d) !== left[0]) return [5]
        left.shift()
        return []
      }
      p.network.runFor(1.5 * LIFE * 1000)
      expect([left, gaps(), lost(p)], `seed ${seed}`).toEqual([[], [], 0])
    }
  })

  test('message 3 never comes, or every first message 2', () => {
    for (const number of [2, 3])
      for (const seed of [1, 2, 3, 4, 5, 6]) {
        const p = start(1, seed)
        const gaps = watchGaps(p)
        const numberOf = quickModeMessages()
        const seen = new Set<string>()
        p.network.impairment = (d) => {
          const id = hex(d.message.subarray(20, 24))
          const loses = numberOf(d) === number && (number === 3 || !seen.has(id))
          if (loses) seen.add(id)
          return loses ? [] : [5]
        }
        p.network.runFor(10 * LIFE * 1000)
        expect([gaps(), lost(p)], `message ${number}, seed ${seed}`).toEqual([[], 0])
      }
  })

  test('every fifth message lost, for ten minutes: no gap, no packet lost', () => {
    for (let seed = 0; seed < 25; seed++) {
      const p = start(1, seed)
      const gaps = watchGaps(p)
      p.network.impairment = unreliable(`fifth ${seed}`, { loss: 0.2, delayMs: [5, 5] })
      p.network.runFor(600_000)
      expect([gaps(), lost(p)], `seed ${seed}`).toEqual([[], 0])
    }
  })

  test('packets that wait have message 1 repeated, and not when it would be its turn', () => {
    const p = start(1, 1)
    const gaps = watchGaps(p)
    let cut = true
    p.network.impairment = (d) => (cut && exchangeOf(d) === EXCHANGE.QUICK_MODE ? [] : [5])
    const send = (ms: number): void => {
      for (const end = p.network.now + ms; p.network.now < end; p.network.runFor(100)) flow(p, p.policies)
    }
    expect(p.network.runUntil(() => gaps().length === 2, 2 * LIFE * 1000)).toBe(true)
    send(1_500)
    cut = false
    send(1_200)
    expect(convergence(p)).toEqual([])
  })
})

describe('IKEv2: a request without an answer', () => {
  /** Loses b's answers to a's Deletes, and nothing else: b goes on, and renews the CHILD_SA by itself. */
  const deaf = (d: Datagram): number[] =>
    isResponse(d) && exchangeOf(d) === EXCHANGE.INFORMATIONAL && equalOctets(d.from.address, B.address)
      ? []
      : [5]

  test('a peer that is heard is not dead: it is asked some more times', () => {
    const p = start(2, 1)
    const gaps = watchGaps(p)
    p.network.impairment = deaf
    p.network.runFor(70_000)
    p.network.impairment = () => [5]
    p.network.runFor(30_000)
    expect(p.a.env.counted('ike.dead-peer')).toBe(0)
    expect(p.a.env.counted('ike.established')).toBe(1)
    expect(convergence(p)).toEqual([])
    expect(gaps()).toEqual([])
  })

  test('it ends all the same when it never comes', () => {
    const p = start(2, 1)
    p.network.impairment = deaf
    p.network.runFor(110_000)
    expect(p.a.env.counted('ike.dead-peer')).toBe(1)
  })

  test('a peer of which nothing is heard is dead after the schedule', () => {
    const p = start(2, 1)
    flow(p, [])
    p.network.impairment = () => []
    p.a.ike.rekey(p.network.now, 'b')
    p.network.runFor(30_900)
    expect(p.a.env.counted('ike.dead-peer')).toBe(0)
    p.network.runFor(200)
    expect(p.a.env.counted('ike.dead-peer')).toBe(1)
  })

  test('TEMPORARY_FAILURE: what the peer has to wait for is repeated at once', () => {
    const p = start(2, 1)
    let cut = true
    p.network.impairment = (d) =>
      cut && isResponse(d) && exchangeOf(d) === EXCHANGE.INFORMATIONAL ? [] : [5]
    p.b.ike.terminate(p.network.now, 'a', 'migration')
    // Its Delete goes out after 0, 1, 3 and then 7 seconds.
    p.network.runFor(4_100)
    cut = false
    p.a.ike.rekey(p.network.now, 'b')
    p.network.runFor(20)
    expect(p.b.env.counted('ike.temporary-failure')).toBe(1)
    expect(p.b.env.logged('CHILD_SAs deleted')).toBe(true)
  })
})
