import { describe, expect, test } from 'vitest'
import { deletePayload } from '../../../src/ike/v1/informational.js'
import { EXCHANGE, IKE_HEADER_LEN } from '../../../src/wire/ike/header.js'
import { PAYLOAD, PHASE1, PROTOCOL } from '../../../src/wire/ike/v1/numbers.js'
import {
  alter,
  established,
  firstMessage,
  ikeSaOf,
  lacking,
  message5,
  quickModePayloads,
  raw,
  rebuilt,
  refused,
  replaced,
  sealedBy,
  toB,
  transforms,
  two,
  unharmed,
  withNumber,
} from '../attacker-v1.js'
import { convergence, type IkeEnds } from '../ike-ends.js'

// One test for each class of fault that published vulnerabilities of strongSwan, libreswan, Openswan and FreeS/WAN had, as
// far as it could exist here. The numbers say where the class is from; what is done is this program's own protocol.

describe('the attacker', () => {
  let ends: IkeEnds

  test('changes nothing when it is told to change nothing', () => {
    for (const [number, change] of [
      [
        0,
        (m: Uint8Array) =>
          rebuilt(
            m,
            replaced(
              PAYLOAD.SA,
              transforms((t) => t),
            ),
          ),
      ],
      [1, (m: Uint8Array) => rebuilt(m, (p) => p)],
      [2, (m: Uint8Array) => message5(ends, m, (p) => p)],
    ] as const) {
      ends = two()
      alter(ends, number, change)
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(500)
      expect(convergence(ends)).toEqual([])
    }
  })

  test('is believed where it keeps to the rules', () => {
    ends = established()
    toB(ends, sealedBy(ends.a, quickModePayloads(ends), { exchange: EXCHANGE.QUICK_MODE }), 20)
    expect(ends.b.env.inbound().length).toBe(2)
    toB(ends, sealedBy(ends.a, [deletePayload(PROTOCOL.ISAKMP, [ikeSaOf(ends)])]), 20)
    expect(ends.b.established()).toEqual([])
  })
})

describe('first messages', () => {
  test('CVE-2021-41991: a full table gives its oldest entry away, and goes on', () => {
    const ends = two()
    const first = firstMessage(ends)
    for (let i = 0; i < 60; i++) {
      const flood = first.slice()
      flood.set([1, 2, 3, 4, 5, 6, 7, i + 1])
      toB(ends, flood, 300)
      expect(ends.b.peer.ikeSas.length).toBeLessThanOrEqual(8)
    }
    expect(ends.b.env.counted('ike.half-open-limit')).toBeGreaterThan(30)
    unharmed(ends)
  })

  test('CVE-2016-5361: one forged message is answered once, with no more octets than it had', () => {
    const ends = two()
    const first = firstMessage(ends)
    const answers = toB(ends, first, 60_000)
    expect(answers.length).toBe(1)
    expect(answers[0]!.length).toBeLessThanOrEqual(first.length)
    const again = Array.from({ length: 100 }, () => toB(ends, first, 10)).flat()
    expect(again.length).toBeLessThanOrEqual(20)
    unharmed(ends)
  })

  test('CVE-2016-5361: the pre-phase does not answer whoever cannot prove to have the key', () => {
    const ends = two({ config: { dynamicPsk: 'hardened' } })
    const first = firstMessage(ends)
    for (const at of [40, 60, first.length - 1]) {
      const forged = first.slice()
      forged[at]! ^= 1
      expect(toB(ends, forged, 5_000)).toEqual([])
    }
    unharmed(ends)
  })

  test('CVE-2013-4564: headers that are cut, lie about their length or have another version', () => {
    const ends = two()
    const first = firstMessage(ends)
    for (let n = 0; n <= IKE_HEADER_LEN; n++) expect(toB(ends, first.subarray(0, n), 1)).toEqual([])
    for (const length of [0, 1, 27, 28, first.length - 1, first.length + 1, 0x7fff_ffff, 0xffff_ffff])
      expect(toB(ends, raw(first, { length }), 1)).toEqual([])
    for (const version of [0, 1, 0x0f, 0x11, 0x20, 0x30, 0xf0, 0xff])
      toB(ends, raw(first, { version }, first.slice(IKE_HEADER_LEN)), 1)
    for (let exchange = 0; exchange < 256; exchange++) toB(ends, raw(first, { exchange, nextPayload: 0 }), 1)
    expect(ends.b.established()).toEqual([])
    unharmed(ends)
  })

  test('CVE-2015-3991: payload types that nobody knows', () => {
    const ends = two()
    const first = firstMessage(ends)
    for (let type = 0; type < 256; type++)
      for (const body of [new Uint8Array(0), new Uint8Array(40)]) {
        toB(
          ends,
          rebuilt(first, (p) => [{ type, body }, ...p]),
          150,
        )
        toB(
          ends,
          rebuilt(first, (p) => [...p, { type, body }]),
          150,
        )
      }
    unharmed(ends)
  })

  test('CVE-2015-3204: DOI and situation with bits that are not assigned', () => {
    for (const at of [0, 4])
      for (const value of [0, 2, 3, 0x100, 0x8000_0001, 0xffff_ffff]) {
        const ends = two()
        refused(ends, 0, (m) =>
          rebuilt(
            m,
            replaced(PAYLOAD.SA, (old) => {
              const body = old.slice()
              new DataView(body.buffer).setUint32(at, value)
              return body
            }),
          ),
        )
        unharmed(ends)
      }
  })

  test('CVE-2014-9221: group numbers that are private, assigned to others or to nobody', () => {
    for (const group of [0, 1, 2, 5, 22, 23, 24, 1024, 1025, 1040, 32_768, 65_535]) {
      const ends = two()
      refused(ends, 0, (m) => rebuilt(m, replaced(PAYLOAD.SA, transforms(withNumber(PHASE1.GROUP, group)))))
      unharmed(ends)
    }
  })

  test('CVE-2018-10811: hash algorithms that there is no PRF for', () => {
    for (const hash of [0, 1, 3, 7, 255, 65_535]) {
      const ends = two()
      refused(ends, 0, (m) => rebuilt(m, replaced(PAYLOAD.SA, transforms(withNumber(PHASE1.HASH, hash)))))
      unharmed(ends)
    }
  })

  test('CVE-2016-5391: transforms that lack an algorithm, proposals that lack transforms', () => {
    const { ENCRYPTION, HASH, AUTHENTICATION, GROUP, KEY_LENGTH } = PHASE1
    for (const type of [ENCRYPTION, HASH, AUTHENTICATION, GROUP, KEY_LENGTH]) {
      const ends = two()
      refused(ends, 0, (m) => rebuilt(m, replaced(PAYLOAD.SA, transforms(lacking(type)))))
      unharmed(ends)
    }
    for (const cut of [8, 16, 24]) {
      const ends = two()
      refused(ends, 0, (m) =>
        rebuilt(
          m,
          replaced(PAYLOAD.SA, (body) => body.subarray(0, cut)),
        ),
      )
      unharmed(ends)
    }
  })

  test('CVE-2024-2357: a peer for which there is no key to take', () => {
    const ends = two({ config: { dynamicPsk: 'off' }, b: { dynamicPsk: 'hardened' } })
    const first = firstMessage(ends)
    expect(toB(ends, first, 10_000)).toEqual([])
    expect(ends.b.env.counted('ike.no-prephase')).toBe(1)
    expect(ends.b.env.counted('ike.internal')).toBe(0)
    expect(ends.b.peer.ikeSas).toEqual([])
  })

  test('CVE-2023-30570: Aggressive Mode, whatever its cookies are', () => {
    const ends = two()
    const first = firstMessage(ends)
    const cookie = new Uint8Array(8).fill(9)
    for (const responderSpi of [new Uint8Array(8), cookie])
      for (const flags of [0, 1, 7, 0xff]) {
        const aggressive = raw(
          first,
          { exchange: EXCHANGE.AGGRESSIVE, responderSpi, flags },
          first.slice(IKE_HEADER_LEN),
        )
        expect(toB(ends, aggressive)).toEqual([])
      }
    expect(ends.b.peer.ikeSas).toEqual([])
    expect(ends.b.env.counted('ike.aggressive-mode')).toBeGreaterThan(0)
    unharmed(ends)
  })

  test('CVE-2022-23094: messages of exchanges that have no state here', () => {
    const ends = two()
    const first = firstMessage(ends)
    const body = new Uint8Array(64).fill(0x5a)
    const INVALID_COOKIE = [0, 0, 0, 12, 0, 0, 0, 1, 1, 0, 0, 4]
    let said = 0
    for (const exchange of [EXCHANGE.MAIN_MODE, EXCHANGE.QUICK_MODE, EXCHANGE.INFORMATIONAL_V1])
      for (const flags of [0, 1])
        for (const nextPayload of [0, 1, 4, 5, 8, 11, 12, 132])
          for (const responderSpi of [new Uint8Array(8), new Uint8Array(8).fill(7)]) {
            const lone = raw(first, { exchange, flags, nextPayload, responderSpi, messageId: 0x1234 }, body)
            // Of what seems to be under an SA of before, a few are told that there is none: INVALID-COOKIE.
            const answers = toB(ends, lone, 10)
            said += answers.length
            for (const answer of answers) expect([...answer.subarray(28)]).toEqual(INVALID_COOKIE)
          }
    expect(said).toBeLessThanOrEqual(5)
    expect(ends.b.peer.ikeSas).toEqual([])
    unharmed(ends)
  })
})
