import { describe, expect, test } from 'vitest'
import type { FirstState } from '../../../src/ike/v2/first-states.js'
import { headOf, type Keying } from '../../../src/ike/v2/keying.js'
import type { Sealer } from '../../../src/ike/v2/protection.js'
import { EXCHANGE, IKE_HEADER_LEN } from '../../../src/wire/ike/header.js'
import { emitPayloads } from '../../../src/wire/ike/payloads.js'
import type { FragmentPlace } from '../../../src/wire/ike/v2/encrypted.js'
import { FLAG, PAYLOAD } from '../../../src/wire/ike/v2/numbers.js'
import { firstMessage, raw, toB, unharmed } from '../attacker-v1.js'
import { halfway, ikeV2 } from '../attacker-v2.js'
import { convergence, type IkeEnds } from '../ike-ends.js'

// CVE-2013-6076 for IKEv2, RFC 7383: fragments are authentic before they are kept, which leaves whoever has exchanged keys
// and not yet proved who it is.

const fragmenting = (): IkeEnds => ikeV2({ config: { fragmentSize: 300 } })

/** B has answered IKE_SA_INIT; A's IKE_AUTH is lost for now. */
function waiting(): { ends: IkeEnds; keying: Keying } {
  const ends = fragmenting()
  ends.network.impairment = (d) => (d.message[18] === EXCHANGE.IKE_SA_INIT ? [5] : [])
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(50)
  const s = halfway(ends.a) as Extract<FirstState, { kind: 'AUTH_SENT' }>
  expect(s.kind).toBe('AUTH_SENT')
  expect(s.keying.sealer.cut).toBeDefined()
  return { ends, keying: s.keying }
}

interface SealsPieces {
  sealOne(
    header: ReturnType<typeof headOf>,
    first: number,
    chain: Uint8Array,
    place?: FragmentPlace,
  ): Uint8Array
}
/** One authentic fragment of A's IKE_AUTH, whatever is in it. */
function piece(k: Keying, number: number, total: number, chain: Uint8Array, first = 35): Uint8Array {
  const sealer = k.sealer as Sealer & object as unknown as SealsPieces
  const header = headOf(k.role, k.spiI, k.spiR, EXCHANGE.IKE_AUTH, 1, false)
  return sealer.sealOne(header, first, chain, { number, total })
}

/** What A sends for itself then arrives, and is answered. */
function goesOn(ends: IkeEnds): void {
  expect(ends.b.established()).toEqual([])
  expect(ends.b.env.counted('ike.internal')).toBe(0)
  ends.network.impairment = () => [5]
  expect(ends.network.runUntil(() => convergence(ends).length === 0, 30_000)).toBe(true)
  unharmed(ends)
}

const octets = (n: number): Uint8Array => new Uint8Array(n).fill(7)

describe('CVE-2013-6076: authentic fragments', () => {
  test.each<[string, (k: Keying) => Uint8Array[], malformed?: number]>([
    ['number 0, or above the total', (k) => [piece(k, 0, 2, octets(9)), piece(k, 3, 2, octets(9))], 2],
    ['a total of 0', (k) => [piece(k, 0, 0, octets(9)), piece(k, 1, 0, octets(9))], 2],
    ['a total of 65535', (k) => [1, 2, 65_535].map((n) => piece(k, n, 65_535, octets(9))), 3],
    ['alone, with nothing in it', (k) => [piece(k, 1, 1, octets(0), 0)]],
    ['without a first one', (k) => [2, 3, 4].map((n) => piece(k, n, 4, octets(50)))],
    ['none of which says what comes first', (k) => [1, 2].map((n) => piece(k, n, 2, octets(50), 0))],
    ['all of which are empty', (k) => [1, 2, 3].map((n) => piece(k, n, 3, octets(0)))],
    ['whose chain is none', (k) => [1, 2].map((n) => piece(k, n, 2, octets(50)))],
    ['with fragments inside', (k) => [piece(k, 1, 1, fragmentInside(k), PAYLOAD.SKF)]],
    ['twice, misordered', (k) => [3, 3, 1, 1, 3, 2].map((n) => piece(k, n, 3, octets(30)))],
    [
      'of more than the largest message',
      (k) => Array.from({ length: 60 }, (_, i) => piece(k, i + 2, 61, octets(1_400))),
    ],
    [
      'of a total that changes',
      (k) => [2, 3, 4, 9, 4, 3, 2, 9].map((total) => piece(k, 1, total, octets(60))),
    ],
  ])('%s', (_, make, malformed) => {
    const { ends, keying } = waiting()
    for (const message of make(keying)) toB(ends, message, 1)
    if (malformed !== undefined) expect(ends.b.env.counted('ike.malformed')).toBe(malformed)
    expect(ends.b.established()).toEqual([])
    // Its sender has the keys, and may spoil its own exchange; not the next one.
    unharmed(ends)
  })

  const fragmentInside = (k: Keying): Uint8Array =>
    emitPayloads([{ type: PAYLOAD.SKF, body: piece(k, 1, 2, octets(9)).subarray(IKE_HEADER_LEN + 4) }])
})

describe('CVE-2013-6076: fragments of somebody without keys', () => {
  test('are neither kept nor answered', () => {
    const { ends, keying } = waiting()
    const good = piece(keying, 1, 2, octets(60))
    for (let n = IKE_HEADER_LEN; n < good.length; n++) {
      const cut = good.slice(0, n)
      new DataView(cut.buffer).setUint32(24, n)
      expect(toB(ends, cut, 1)).toEqual([])
    }
    for (let at = 0; at < good.length; at++) {
      const forged = good.slice()
      forged[at]! ^= 0x11
      // Other SPIs belong to no IKE SA, which is told now and then.
      for (const answer of toB(ends, forged, 1)) expect(answer.length).toBeLessThan(forged.length)
    }
    goesOn(ends)
  })

  test('have no place before IKE_SA_INIT, nor in it', () => {
    const ends = fragmenting()
    const first = firstMessage(ends)
    for (const exchange of [EXCHANGE.IKE_SA_INIT, EXCHANGE.IKE_AUTH])
      for (const flags of [FLAG.INITIATOR, FLAG.RESPONSE])
        for (const [number, total] of [
          [1, 1],
          [1, 2],
          [0, 0],
        ]) {
          const body = Uint8Array.of(33, 0, 0, 60, 0, number!, 0, total!, ...octets(52))
          const message = raw(first, { exchange, flags, nextPayload: PAYLOAD.SKF }, body)
          // At most that there is no such IKE SA: INVALID_IKE_SPI.
          for (const answer of toB(ends, message, 1)) expect(answer.length).toBeLessThan(message.length)
        }
    expect(ends.b.peer.ikeSas).toEqual([])
    unharmed(ends)
  })
})
