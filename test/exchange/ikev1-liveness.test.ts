import { describe, expect, test } from 'vitest'
import { fromHex } from '../../src/bytes/octets.js'
import type { Endpoint } from '../../src/ike/environment.js'
import { clearNotify } from '../../src/ike/v1/informational.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { NOTIFY } from '../../src/wire/ike/v1/numbers.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { two } from './attacker-v1.js'
import { renewChild } from './collide.js'
import { convergence, type IkeEnd, type IkeEnds } from './ike-ends.js'
import { A, B } from './prephase-ends.js'

// Whether the peer is alive, in IKEv1: what counts as a sign of life, and what does not (RFC 3706).

const DELAY_MS = 10_000
/** From the first question on, with its repetitions. */
const ASKING_MS = 15_000

/** A asks, B does not. */
function up(): IkeEnds {
  const ends = two({ config: { dpdDelaySeconds: DELAY_MS / 1000 }, b: { dpdDelaySeconds: 0 } })
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

/** A packet has come in on every SA just now. */
function packetIn({ env }: IkeEnd, now: number): void {
  for (const s of env.inbound()) env.inboundAt.set(s.spi, now)
}

const died = (e: IkeEnd): boolean => e.env.counted('ike.dead-peer') > 0

describe('dead peer detection', () => {
  test.each([false, true])(
    'the peer dies, after traffic: %s; it is found after delay and questions',
    (traffic) => {
      const { network, a } = up()
      if (traffic) packetIn(a, network.now)
      network.impairment = () => []
      const from = network.now
      expect(network.runUntil(() => died(a), 60_000)).toBe(true)
      expect(network.now - from).toBeLessThanOrEqual(DELAY_MS + ASKING_MS)
      expect(a.env.sas.size).toBe(0)
    },
  )

  test('a packet that comes after the question answers it, and the next delay begins with it', () => {
    const { network, a } = up()
    network.impairment = () => []
    const asked = network.sent.length
    expect(network.runUntil(() => network.sent.length > asked, 2 * DELAY_MS)).toBe(true)
    network.runFor(500)
    packetIn(a, network.now)
    network.runFor(DELAY_MS - 100)
    expect(network.sent).toHaveLength(asked + 1)
    network.runFor(200)
    expect(network.sent).toHaveLength(asked + 2)
  })
})

describe('somebody says in the clear that the peer has forgotten us', () => {
  test.each([1_500, 3_000, 9_000])(
    '%i ms after the last packet: the peer is asked, and nothing is lost',
    (idle) => {
      const ends = up()
      const { network, a } = ends
      packetIn(a, network.now)
      network.runFor(idle)
      const [sa, child] = [a.established()[0]!, a.current()[0]!.inboundSpi]
      const before = network.sent.length
      const none = new Uint8Array(0)
      const forged = clearNotify(
        fromHex(sa.initiatorSpi),
        fromHex(sa.responderSpi!),
        NOTIFY.INVALID_COOKIE,
        none,
      )
      network.inject(B, A, forged)
      network.runFor(5_000)
      const exchanges = network.sent.slice(before).map((d) => d.message[18])
      expect(exchanges.slice(0, 2)).toEqual([EXCHANGE.INFORMATIONAL_V1, EXCHANGE.INFORMATIONAL_V1])
      expect(exchanges).not.toContain(EXCHANGE.MAIN_MODE)
      expect(a.current()[0]!.inboundSpi).toBe(child)
      expect(a.established()[0]!.initiatorSpi).toBe(sa.initiatorSpi)
      expect(convergence(ends)).toEqual([])
    },
  )
})

describe('our own messages, sent back to us', () => {
  /** The peer is gone, and somebody sends back whatever we send. */
  function reflecting({ network }: IkeEnds, from?: Endpoint): void {
    network.impairment = (d) => {
      if (sameIp(d.from.address, A.address)) network.inject(from ?? d.to, d.from, d.message, 5)
      return []
    }
  }

  test('the peer is dead all the same', () => {
    const ends = up()
    reflecting(ends)
    ends.network.runFor(DELAY_MS + ASKING_MS)
    expect(died(ends.a)).toBe(true)
    expect(ends.a.env.counted('ike.reflected')).toBeGreaterThan(0)
  })

  test('from another address, behind a NAT: nothing is sent there', () => {
    const ends = two({ config: { dpdDelaySeconds: DELAY_MS / 1000, encapsulation: 'udp' } })
    const { network, a } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(3_000)
    const there = { address: Uint8Array.of(203, 0, 113, 66), port: 4444 }
    reflecting(ends, there)
    network.runFor(DELAY_MS)
    expect(a.env.counted('ike.reflected')).toBeGreaterThan(0)
    expect(a.env.outbound().map((s) => s.remote)).toEqual([B.address])
    expect(network.sent.filter((d) => sameIp(d.to.address, there.address))).toEqual([])
  })

  test('message 1 of a Quick Mode that the peer never answered begins none', () => {
    const { network, a } = two({ config: { dpdDelaySeconds: 0 } })
    a.ike.acquire(network.now, 1)
    network.runFor(3_000)
    network.impairment = () => []
    const before = network.sent.length
    renewChild(a, network.now)
    network.runFor(32_000)
    expect(a.env.counted('ike.child-failed')).toBe(1)
    const sent = network.sent.length
    network.inject(B, A, network.sent[before]!.message)
    network.runFor(10)
    expect(a.env.counted('ike.reflected')).toBe(1)
    expect(network.sent).toHaveLength(sent)
  })

  test('an IKE SA whose own message IDs are used up ends', () => {
    const ends = two({ config: { dpdDelaySeconds: 1 }, options: { limits: { messageIds: 20 } } })
    const { network, a } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(3_000)
    const cookie = a.established()[0]!.initiatorSpi
    // No Main Mode comes through: it cannot be renewed in time.
    network.impairment = (d) => (d.message[18] === EXCHANGE.MAIN_MODE ? [] : [5])
    network.runFor(60_000)
    expect(a.peer.ikeSas.map((s) => s.initiatorSpi)).not.toContain(cookie)
    network.impairment = () => [5]
    a.ike.initiate(network.now, 'b')
    network.runFor(20_000)
    expect(convergence(ends)).toEqual([])
  })
})
