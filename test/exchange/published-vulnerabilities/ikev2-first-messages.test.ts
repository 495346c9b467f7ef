import { getDiffieHellman } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { fromHex } from '../../../src/bytes/octets.js'
import { parseIkeProposal } from '../../../src/ike/proposals.js'
import { EXCHANGE, IKE_HEADER_LEN } from '../../../src/wire/ike/header.js'
import { numberAttribute } from '../../../src/wire/ike/v1/attributes.js'
import { ATTRIBUTE_KEY_LENGTH, PAYLOAD, TRANSFORM } from '../../../src/wire/ike/v2/numbers.js'
import { alter, firstMessage, raw, rebuilt, replaced, toB, unharmed, without } from '../attacker-v1.js'
import { established, ikeV2, refused, transforms } from '../attacker-v2.js'
import type { IkeEnds } from '../ike-ends.js'

// As in first-messages.test.ts, for IKEv2: what anybody can send.

const MODP2048 = getDiffieHellman('modp14').getPrime()

/** A notify without data. */
const NOTIFY_LEN = 8

const refusedWhenAltered = (change: (m: Uint8Array) => Uint8Array): void => {
  const ends = ikeV2()
  alter(ends, 0, change)
  refused(ends)
  unharmed(ends)
}

describe('IKE_SA_INIT', () => {
  test('CVE-2023-41913: public values of every length but the right one', () => {
    for (const length of [4, 5, 35, 37, 68, 4_096])
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(PAYLOAD.KE, (old) =>
            Uint8Array.of(...old.subarray(0, 4), ...new Uint8Array(length - 4).fill(9)),
          ),
        ),
      )
  })

  test('CVE-2014-9221: group numbers that are private, or that the proposal does not have', () => {
    for (const group of [0, 1, 2, 5, 22, 1024, 1025, 1040, 65_535]) {
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(PAYLOAD.KE, (old) => Uint8Array.of(group >>> 8, group & 0xff, ...old.subarray(2))),
        ),
      )
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(
            PAYLOAD.SA,
            transforms((t) => (t.type === TRANSFORM.KE ? { ...t, id: group } : t)),
          ),
        ),
      )
    }
  })

  test('CVE-2016-3071, CVE-2016-5391, CVE-2018-10811: algorithms that are not there, and proposals without one', () => {
    for (const type of [TRANSFORM.ENCR, TRANSFORM.PRF, TRANSFORM.INTEG, TRANSFORM.KE]) {
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(
            PAYLOAD.SA,
            transforms((t) => (t.type === type ? undefined : t)),
          ),
        ),
      )
      for (const id of [1, 6, 255, 1_024, 65_535])
        refusedWhenAltered((m) =>
          rebuilt(
            m,
            replaced(
              PAYLOAD.SA,
              transforms((t) => (t.type === type ? { ...t, id } : t)),
            ),
          ),
        )
    }
  })

  test('CVE-2013-6467, CVE-2013-7294: messages that lack a payload', () => {
    for (const type of [PAYLOAD.SA, PAYLOAD.KE, PAYLOAD.NONCE])
      refusedWhenAltered((m) => rebuilt(m, without(type)))
    refusedWhenAltered((m) => rebuilt(m, (p) => p.filter((x) => x.type === PAYLOAD.NOTIFY)))
    refusedWhenAltered((m) => rebuilt(m, () => []))
  })

  test('CVE-2015-3991: payload types that nobody knows, critical ones among them', () => {
    const ends = ikeV2()
    const first = firstMessage(ends)
    for (let type = 0; type < 256; type++)
      for (const critical of [false, true])
        toB(
          ends,
          rebuilt(first, (p) => [{ type, critical, body: new Uint8Array(8) }, ...p]),
          60,
        )
    unharmed(ends)
  })

  test('CVE-2011-3380, CVE-2005-3671: key lengths that the cipher does not have', () => {
    for (const bits of [0, 1, 64, 127, 129, 192, 512, 65_535])
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(
            PAYLOAD.SA,
            transforms((t) =>
              t.type === TRANSFORM.ENCR
                ? { ...t, attributes: [numberAttribute(ATTRIBUTE_KEY_LENGTH, bits)] }
                : t,
            ),
          ),
        ),
      )
  })

  describe.each([
    ['request', true],
    ['response', false],
  ])('CVE-2008-4551, CVE-2015-3240: public values that give the secret away, %s', (_, request) => {
    /** The first message of that end has another public value. */
    const degenerate = (ends: IkeEnds, change: (old: Uint8Array) => Uint8Array): void => {
      let changed = 0
      ends.network.impairment = (d) => {
        const isRequest = d.from.address[3] === 1
        if (isRequest !== request || d.message[18] !== EXCHANGE.IKE_SA_INIT || changed++ > 0) return [5]
        const body = (b: Uint8Array): Uint8Array =>
          Uint8Array.of(...b.subarray(0, 4), ...change(b.subarray(4)))
        ends.network.inject(d.from, d.to, rebuilt(d.message, replaced(PAYLOAD.KE, body)), 5)
        return []
      }
      refused(ends, request ? ends.b : ends.a)
      expect(changed).toBeGreaterThan(0)
      expect((request ? ends.b : ends.a).established()).toEqual([])
      unharmed(ends)
    }
    const all = (octet: number) => (old: Uint8Array) => new Uint8Array(old.length).fill(octet)
    const number = (last: number) => (old: Uint8Array) => {
      const out = new Uint8Array(old.length)
      out[out.length - 1] = last
      return out
    }
    /** The prime less a little: its last octet is all ones. */
    const below = (by: number) => (old: Uint8Array) => {
      const out = Uint8Array.from(MODP2048)
      out[out.length - 1]! -= by
      expect(out.length).toBe(old.length)
      return out
    }
    /** Points of order 1, 2, 4 and 8, RFC 7748 section 6.1; little-endian. */
    const SMALL_ORDER = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ]

    test.each<[string, ((old: Uint8Array) => Uint8Array)[]]>([
      ['x25519', SMALL_ORDER.map((p) => () => fromHex(p))],
      ['modp2048', [all(0), number(1), below(1), below(0), all(0xff)]],
      ['ecp256', [all(0), number(1), all(0xff), (old) => Uint8Array.of(...old.subarray(1), old[0]! ^ 1)]],
    ])('%s', (group, changes) => {
      for (const change of changes)
        degenerate(ikeV2({ config: { proposals: [parseIkeProposal(`aes128-sha256-${group}`)] } }), change)
    })
  })
})

describe('messages without an exchange', () => {
  test('CVE-2013-4564: headers that are cut, lie about their length or have another version', () => {
    const ends = ikeV2()
    const first = firstMessage(ends)
    for (let n = 0; n <= IKE_HEADER_LEN; n++) expect(toB(ends, first.subarray(0, n), 1)).toEqual([])
    for (const length of [0, 1, 27, 28, first.length - 1, first.length + 1, 0x7fff_ffff, 0xffff_ffff])
      expect(toB(ends, raw(first, { length }), 1)).toEqual([])
    for (let version = 0; version < 256; version++)
      if (version >>> 4 !== 2) toB(ends, raw(first, { version }, first.slice(IKE_HEADER_LEN)), 1)
    expect(ends.b.established()).toEqual([])
    unharmed(ends)
  })

  test('CVE-2022-23094, CVE-2009-0790: messages of every exchange that have no state here', () => {
    const ends = ikeV2()
    const first = firstMessage(ends)
    const body = new Uint8Array(64).fill(5)
    let said = 0
    for (let exchange = 0; exchange < 256; exchange++)
      for (const flags of [0, 0x08, 0x20, 0x28, 0xff])
        for (const spi of [0, 7])
          for (const nextPayload of [PAYLOAD.SK, PAYLOAD.SKF]) {
            const responderSpi = new Uint8Array(8).fill(spi)
            const lone = raw(first, { exchange, flags, nextPayload, responderSpi, messageId: 1 }, body)
            const answers = toB(ends, lone, 1)
            said += answers.length
            for (const answer of answers) expect(answer.length).toBeLessThanOrEqual(lone.length)
          }
    // Of what seems to be under an SA of before, a few are told that there is none: INVALID_IKE_SPI.
    expect(said).toBeLessThan(20)
    expect(ends.b.peer.ikeSas).toEqual([])
    unharmed(ends)
  })

  test('CVE-2009-0790: unprotected and forged messages under an IKE SA that there is', () => {
    const ends = established()
    const { message } = ends.network.sent.findLast((d) => d.from.address[3] === 1)!
    for (const exchange of [EXCHANGE.INFORMATIONAL, EXCHANGE.CREATE_CHILD_SA, EXCHANGE.IKE_AUTH])
      for (const flags of [0x08, 0x28])
        for (const messageId of [0, 1, 2, 3, 0xffff_ffff])
          for (const nextPayload of [0, PAYLOAD.NOTIFY, PAYLOAD.DELETE, PAYLOAD.SK, PAYLOAD.SKF]) {
            const forged = raw(
              message,
              { exchange, flags, messageId, nextPayload },
              new Uint8Array(64).fill(9),
            )
            expect(toB(ends, forged, 1)).toEqual([])
          }
    expect(ends.b.established().length).toBe(1)
    expect(ends.b.current().length).toBe(1)
    unharmed(ends)
  })

  test('CVE-2016-5361: one forged message is answered once, with a notify more than it had at the most', () => {
    const ends = ikeV2()
    const first = firstMessage(ends)
    const answers = toB(ends, first, 60_000)
    expect(answers.length).toBe(1)
    // CHILDLESS_IKEV2_SUPPORTED is the responder's alone (RFC 6023).
    expect(answers[0]!.length).toBeLessThanOrEqual(first.length + NOTIFY_LEN)
    const again = Array.from({ length: 100 }, () => toB(ends, first, 10)).flat()
    expect(again.length).toBeLessThanOrEqual(20)
    unharmed(ends)
  })

  test('CVE-2021-41991: a full table gives its oldest entry away, and goes on', () => {
    const ends = ikeV2()
    const first = firstMessage(ends)
    for (let i = 0; i < 60; i++) {
      const flood = first.slice()
      flood.set([1, 2, 3, 4, 5, 6, 7, i + 1])
      for (const answer of toB(ends, flood, 300))
        expect(answer.length).toBeLessThanOrEqual(flood.length + NOTIFY_LEN)
      expect(ends.b.peer.ikeSas.length).toBeLessThanOrEqual(8)
    }
    unharmed(ends)
  })
})
