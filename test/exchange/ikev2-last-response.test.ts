import { describe, expect, test } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import { parseIkeProposal } from '../../src/ike/proposals.js'
import { EXCHANGE, parseIkeHeader } from '../../src/wire/ike/header.js'
import { FLAG, PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import {
  childConfig,
  convergence,
  type IkeEnds,
  ikePeer,
  mirroredPeer,
  type TwoIkes,
  twoIkes,
} from './ike-ends.js'
import { Insider } from './insider.js'
import { B } from './prephase-ends.js'
import type { Datagram } from './virtual-network.js'

// RFC 7296 section 2.1: each response is remembered, also the one with which an IKE SA ends. Lost, it is asked for again.

const two = (o: TwoIkes = {}): IkeEnds =>
  twoIkes({ ...o, config: { version: 2, dynamicPsk: 'off', ...o.config } })

function up(o: TwoIkes = {}): IkeEnds {
  const ends = two(o)
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(8_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

/** The child comes back by itself at a's end alone. */
function startedByA(): IkeEnds {
  const config = ikePeer({ version: 2, dynamicPsk: 'off', children: [childConfig({ start: 'start' })] })
  const children = mirroredPeer(config).children.map((c) => ({ ...c, start: 'trap' as const }))
  return up({ config, b: { children } })
}

const isResponse = (d: Datagram, exchange: number): boolean => {
  const h = parseIkeHeader(d.message)
  return h.exchange === exchange && (h.flags & FLAG.RESPONSE) !== 0
}

/** Loses the first so many that a condition holds for. */
function losingFirst(ends: IkeEnds, count: number, which: (d: Datagram) => boolean): void {
  let left = count
  ends.network.impairment = (d) => (left > 0 && which(d) && left-- > 0 ? [] : [5])
}

const warnings = (ends: IkeEnds): string[] =>
  [ends.a, ends.b].flatMap((e) => e.env.lines.filter((l) => l.level === 'warn').map((l) => l.message))

const crashes = (ends: IkeEnds): number =>
  ends.a.env.counted('ike.crash-detected') + ends.b.env.counted('ike.crash-detected')

test.each([1, 2, 4])('terminate is not undone when %i responses to the Delete are lost', (lost) => {
  const ends = startedByA()
  const { network, a, b } = ends
  losingFirst(ends, lost, (d) => isResponse(d, EXCHANGE.INFORMATIONAL))
  a.ike.terminate(network.now, 'b')
  network.runFor(90_000)
  for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
  expect(crashes(ends)).toBe(0)
  expect(b.env.counted('ike.repeated')).toBe(lost)
  expect(b.env.counted('ike.unknown-spi-answered')).toBe(0)
  expect(warnings(ends)).toEqual([])
})

test('a renewal whose last response is lost is no crash', () => {
  const ends = up()
  const { network, a } = ends
  const old = a.established()[0]!.initiatorSpi
  losingFirst(ends, 1, (d) => isResponse(d, EXCHANGE.INFORMATIONAL) && hex(d.message.subarray(0, 8)) === old)
  a.ike.rekey(network.now, 'b')
  network.runFor(60_000)
  expect(convergence(ends)).toEqual([])
  expect(crashes(ends)).toBe(0)
  expect(warnings(ends)).toEqual([])
})

test('a refusal in IKE_AUTH that is lost comes again, and is what the operator is told', () => {
  const ends = two({ b: { key: new Uint8Array(32).fill(3) } })
  const { network, a, b } = ends
  losingFirst(ends, 1, (d) => isResponse(d, EXCHANGE.IKE_AUTH))
  a.ike.acquire(network.now, 1)
  network.runFor(3_000)
  expect(a.peer.lastError?.message).toContain('AUTHENTICATION_FAILED')
  expect(b.env.counted('ike.half-open-failed')).toBe(1)
  expect(b.env.counted('ike.unknown-spi-answered')).toBe(0)
})

test('a refusal in IKE_INTERMEDIATE that is lost comes again', () => {
  const ends = two({ config: { proposals: [parseIkeProposal('aes128gcm16-prfsha256-x25519-ke1_mlkem768')] } })
  const { network, a } = ends
  const insider = new Insider()
  try {
    // ML-KEM-1024 where ML-KEM-768 was agreed.
    insider.change = (m) =>
      m.isRequest && m.exchange === EXCHANGE.IKE_INTERMEDIATE
        ? m.payloads.map((p) => (p.type === PAYLOAD.KE ? { ...p, body: p.body.with(1, 37) } : p))
        : m.payloads
    losingFirst(ends, 1, (d) => isResponse(d, EXCHANGE.IKE_INTERMEDIATE))
    a.ike.acquire(network.now, 1)
    network.runFor(3_000)
  } finally {
    insider.end()
  }
  expect(a.peer.lastError?.message).toContain('INVALID_SYNTAX')
})

describe('what is kept for that', () => {
  test('goes when the peer repeats nothing any more, and is no IKE SA', () => {
    const ends = up()
    const { network, a, b } = ends
    a.ike.terminate(network.now, 'b')
    network.runFor(100)
    expect(b.peer.ikeSas).toEqual([])
    expect(b.ike.nextDeadline()).toBeGreaterThan(network.now + 30_000)
    network.runFor(41_000)
    expect(b.ike.nextDeadline()).toBeUndefined()
  })

  test('answers a repetition with the same octets, so often; anything else as under SPIs that nobody knows', () => {
    const ends = up()
    const { network, a, b } = ends
    const before = network.sent.length
    a.ike.terminate(network.now, 'b')
    network.runFor(100)
    const [request, response] = network.sent.slice(before)
    const other = new Uint8Array(request!.message)
    other[other.length - 1]! ^= 1
    network.impairment = () => []
    for (let i = 0; i < 20; i++) network.inject(request!.from, request!.to, request!.message)
    network.inject(request!.from, request!.to, other)
    network.runFor(100)
    const again = network.sent.slice(before + 2)
    expect(again.pop()!.message[16]).toBe(PAYLOAD.NOTIFY)
    expect(b.env.counted('ike.unknown-spi-answered')).toBe(1)
    expect(again.map((d) => hex(d.message))).toEqual(Array(16).fill(hex(response!.message)))
    expect(b.env.counted('ike.repeat-limit')).toBe(4)
    expect(b.env.counted('ike.unknown-cookie')).toBe(1)
  })

  test('is bounded: of many ends the latest', () => {
    const ends = up({ options: { limits: { endedPerPeer: 2, retryMs: 0 } } })
    const { network, a, b } = ends
    const requests: Datagram[] = []
    for (let i = 0; i < 4; i++) {
      const before = network.sent.length
      a.ike.terminate(network.now, 'b')
      network.runFor(100)
      requests.push(network.sent[before]!)
      a.ike.initiate(network.now, 'b')
      network.runFor(2_000)
      expect(convergence(ends)).toEqual([])
    }
    for (const d of requests) network.inject(d.from, B, d.message)
    network.runFor(100)
    expect(b.env.counted('ike.repeated')).toBe(2)
  })
})

test('a peer that has forgotten an IKE SA that is being deleted ends it without a word of a crash', () => {
  // Nothing is kept to repeat: the answer is INVALID_IKE_SPI with the token.
  const ends = (() => {
    const config = ikePeer({ version: 2, dynamicPsk: 'off', children: [childConfig({ start: 'start' })] })
    const children = mirroredPeer(config).children.map((c) => ({ ...c, start: 'trap' as const }))
    return up({ config, b: { children }, options: { limits: { endedPerPeer: 0 } } })
  })()
  const { network, a, b } = ends
  losingFirst(ends, 1, (d) => isResponse(d, EXCHANGE.INFORMATIONAL))
  a.ike.terminate(network.now, 'b')
  network.runFor(60_000)
  expect(b.env.counted('ike.unknown-spi-answered')).toBe(1)
  for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
  expect(crashes(ends)).toBe(0)
  expect(warnings(ends)).toEqual([])
})
