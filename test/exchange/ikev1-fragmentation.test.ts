import { describe, expect, test } from 'vitest'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { EXCHANGE, parseIkeHeader } from '../../src/wire/ike/header.js'
import { emitFragments, FRAGMENT_OVERHEAD } from '../../src/wire/ike/v1/fragment.js'
import { PAYLOAD } from '../../src/wire/ike/v1/numbers.js'
import { childConfig, convergence, type IkeEnds, twoIkes } from './ike-ends.js'
import { A, B } from './prephase-ends.js'
import type { Datagram, VirtualNetworkOptions } from './virtual-network.js'

const SIZE = 256
const IPV4_UDP = 28

const isFragment = (d: Datagram): boolean => parseIkeHeader(d.message).nextPayload === PAYLOAD.FRAGMENT

/** Ends whose public values of 256 octets fit into no message. */
const ends = (o: VirtualNetworkOptions = {}, b: { fragmentSize?: number } = {}): IkeEnds =>
  twoIkes({
    ...o,
    b,
    config: {
      fragmentSize: SIZE,
      dynamicPsk: 'off',
      encapsulation: 'raw',
      proposals: [parseIkeProposal('aes128-sha256-modp2048')],
      children: [childConfig({ proposals: [parseChildProposal('esp', 'aes128gcm16-modp2048')] })],
    },
  })

describe('fragments', () => {
  test('no message is larger than the peers allow, but the first of each', () => {
    const e = ends()
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(500)
    expect(convergence(e)).toEqual([])
    expect(e.network.sent.filter(isFragment).length).toBeGreaterThanOrEqual(8)
    for (const d of e.network.sent.slice(2)) expect(d.message.length).toBeLessThanOrEqual(SIZE - IPV4_UDP)
  })

  test('pieces of Quick Mode, which knows no message ID 0, are called Main Mode’s', () => {
    const e = ends()
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(500)
    const pieces = e.network.sent.filter(isFragment).map((d) => parseIkeHeader(d.message))
    expect(new Set(pieces.map((h) => `${h.exchange} ${h.messageId}`))).toEqual(
      new Set([`${EXCHANGE.MAIN_MODE} 0`]),
    )
  })

  test('nothing is cut for a peer that would not put it together', () => {
    const e = ends({}, { fragmentSize: 0 })
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(500)
    expect(convergence(e)).toEqual([])
    expect(e.network.sent.filter(isFragment)).toEqual([])
  })

  test('in any order, and twice', () => {
    for (let seed = 0; seed < 8; seed++) {
      const e = ends({ impairment: (d) => [5 + ((d.index * 7 + seed * 3) % 11), 30] })
      e.a.ike.acquire(e.network.now, 1)
      e.network.runFor(60_000)
      expect(convergence(e), `seed ${seed}`).toEqual([])
    }
  })

  test('every single loss is made up for', () => {
    const plain = ends()
    plain.a.ike.acquire(plain.network.now, 1)
    plain.network.runFor(500)
    const count = plain.network.sent.length
    for (let lost = 0; lost < count; lost++) {
      const e = ends({ impairment: (d) => (d.index === lost ? [] : [5]) })
      e.a.ike.acquire(e.network.now, 1)
      e.network.runFor(60_000)
      expect(convergence(e), `datagram ${lost} lost`).toEqual([])
    }
  })

  test('forged ones cost a retransmission at most', () => {
    const e = ends()
    const junk = new Uint8Array(600).fill(0xee)
    let forged = 0
    e.network.impairment = (d) => {
      if (isFragment(d) && forged < 5) {
        // Under the same cookies and number, before the true one, with other octets.
        junk.set(d.message.subarray(0, 28))
        const whole = new Uint8Array(junk)
        new DataView(whole.buffer).setUint32(24, whole.length)
        const to = d.to.address[3] === B.address[3] ? e.b : e.a
        for (const piece of emitFragments(whole, 1, 200)!) to.receive(e.network.now, d.to, d.from, piece)
        forged++
      }
      return [5]
    }
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(60_000)
    expect(forged).toBe(5)
    expect(convergence(e)).toEqual([])
  })

  test('a fragment of a fragment is refused', () => {
    const e = ends()
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(500)
    const inner = e.network.sent.find(isFragment)!
    const before = e.b.env.counted('ike.malformed')
    for (const piece of emitFragments(inner.message, 9, FRAGMENT_OVERHEAD + 100)!)
      e.b.receive(e.network.now, B, A, piece)
    expect(e.b.env.counted('ike.malformed')).toBe(before + 1)
  })
})
