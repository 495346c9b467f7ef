import { describe, expect, test } from 'vitest'
import { parseChildProposal, parseIkeProposal } from '../../../src/ike/proposals.js'
import { explainProposals } from '../../../src/ike/v2/mismatch.js'
import {
  accepted,
  answerTo,
  childRequirement,
  choose,
  chosen,
  ikeRequirement,
  offer,
  settled,
} from '../../../src/ike/v2/offer.js'
import { numberAttribute } from '../../../src/wire/ike/v1/attributes.js'
import { PROTOCOL, TRANSFORM } from '../../../src/wire/ike/v2/numbers.js'
import type { Proposal, Transform } from '../../../src/wire/ike/v2/sa.js'

const none = new Uint8Array(0)
const spi = Uint8Array.of(1, 2, 3, 4)
const t = (type: number, id: number, keyBits?: number): Transform => ({
  type,
  id,
  attributes: keyBits === undefined ? [] : [numberAttribute(14, keyBits)],
})
const { ENCR, PRF, INTEG, KE, ESN } = TRANSFORM
const ike = (...transforms: Transform[]): Proposal[] => [
  { number: 1, protocol: PROTOCOL.IKE, spi: none, transforms },
]
const esp = (...transforms: Transform[]): Proposal[] => [
  { number: 7, protocol: PROTOCOL.ESP, spi, transforms },
]
const ours = (...texts: string[]) => texts.map((x) => ikeRequirement(parseIkeProposal(x)))
const child = (text: string, keyExchange = true) =>
  childRequirement(parseChildProposal('esp', text), keyExchange)

describe('an IKE SA', () => {
  const many = ike(
    t(ENCR, 12, 128),
    t(ENCR, 12, 256),
    t(INTEG, 12),
    t(INTEG, 14),
    t(PRF, 5),
    t(PRF, 7),
    t(KE, 14),
    t(KE, 31),
  )
  test('one of each of a proposal’s alternatives, in the order of our preference', () => {
    const found = choose(ours('aes256-sha384-x25519', 'aes256-sha512-x25519'), PROTOCOL.IKE, many)!
    expect(found.index).toBe(1)
    expect(answerTo(found, none)).toEqual(ike(t(ENCR, 12, 256), t(INTEG, 14), t(PRF, 7), t(KE, 31)))
  })
  test('a key length is part of the algorithm, and one without is another one', () => {
    expect(choose(ours('aes192-sha256-x25519'), PROTOCOL.IKE, many)).toBeUndefined()
    const bare = ike(t(ENCR, 12), t(INTEG, 12), t(PRF, 5), t(KE, 31))
    expect(choose(ours('aes128-sha256-x25519'), PROTOCOL.IKE, bare)).toBeUndefined()
  })
  test('an attribute that nobody knows makes another transform of it', () => {
    const odd: Transform = {
      ...t(ENCR, 12, 128),
      attributes: [numberAttribute(14, 128), numberAttribute(99, 1)],
    }
    expect(
      choose(ours('aes128-sha256-x25519'), PROTOCOL.IKE, ike(odd, t(INTEG, 12), t(PRF, 5), t(KE, 31))),
    ).toBeUndefined()
  })
  test('an AEAD with integrity NONE offered beside it, or nothing', () => {
    for (const extra of [[], [t(INTEG, 0)], [t(INTEG, 0), t(INTEG, 12)]]) {
      const found = choose(
        ours('aes128gcm16-prfsha256-x25519'),
        PROTOCOL.IKE,
        ike(t(ENCR, 20, 128), ...extra, t(PRF, 5), t(KE, 31)),
      )
      expect(found).toBeDefined()
    }
    const only = ike(t(ENCR, 20, 128), t(INTEG, 12), t(PRF, 5), t(KE, 31))
    expect(choose(ours('aes128gcm16-prfsha256-x25519'), PROTOCOL.IKE, only)).toBeUndefined()
  })
  test('a transform type that we do not know: only if NONE is an alternative (RFC 9370)', () => {
    const base = [t(ENCR, 12, 128), t(INTEG, 12), t(PRF, 5), t(KE, 31)]
    expect(
      choose(ours('aes128-sha256-x25519'), PROTOCOL.IKE, ike(...base, t(6, 36), t(6, 0)))!.transforms,
    ).toContainEqual(t(6, 0))
    expect(choose(ours('aes128-sha256-x25519'), PROTOCOL.IKE, ike(...base, t(6, 36)))).toBeUndefined()
  })
})

describe('a CHILD_SA', () => {
  test('64-bit sequence numbers are preferred, 32-bit ones accepted', () => {
    const both = choose([child('aes128gcm16')], PROTOCOL.ESP, esp(t(ENCR, 20, 128), t(ESN, 0), t(ESN, 1)))!
    expect(settled(parseChildProposal('esp', 'aes128gcm16'), both)).toMatchObject({ esn: true, group: 0 })
    const short = choose([child('aes128gcm16')], PROTOCOL.ESP, esp(t(ENCR, 20, 128), t(ESN, 0)))!
    expect(settled(parseChildProposal('esp', 'aes128gcm16'), short).esn).toBe(false)
    expect(choose([child('aes128gcm16-esn')], PROTOCOL.ESP, esp(t(ENCR, 20, 128), t(ESN, 0)))).toBeUndefined()
  })
  test('a peer that leaves ESN out means 32-bit numbers', () => {
    const found = choose([child('aes128gcm16')], PROTOCOL.ESP, esp(t(ENCR, 20, 128)))!
    expect(answerTo(found, spi)).toEqual(esp(t(ENCR, 20, 128)))
    expect(settled(parseChildProposal('esp', 'aes128gcm16'), found).esn).toBe(false)
  })
  test('PFS that only one of us wants', () => {
    const wants = esp(t(ENCR, 20, 128), t(KE, 31), t(ESN, 0))
    expect(choose([child('aes128gcm16')], PROTOCOL.ESP, wants)).toBeUndefined()
    const may = esp(t(ENCR, 20, 128), t(KE, 31), t(KE, 0), t(ESN, 0))
    expect(chosen(choose([child('aes128gcm16')], PROTOCOL.ESP, may)!, KE)).toBe(0)
    const without = esp(t(ENCR, 20, 128), t(ESN, 0))
    expect(choose([child('aes128gcm16-x25519')], PROTOCOL.ESP, without)).toBeUndefined()
    // In IKE_AUTH there is none.
    expect(choose([child('aes128gcm16-x25519', false)], PROTOCOL.ESP, without)).toBeDefined()
  })
  test('another protocol is another proposal', () => {
    const ah: Proposal[] = [{ ...esp(t(INTEG, 12), t(ESN, 0))[0]!, protocol: PROTOCOL.AH }]
    expect(choose([child('null-sha256')], PROTOCOL.ESP, ah)).toBeUndefined()
  })
})

describe('what the responder chose', () => {
  const mine = ours('aes128-sha256-x25519', 'aes256-sha512-ecp384')
  const good = ike(t(ENCR, 12, 256), t(INTEG, 14), t(PRF, 7), t(KE, 20))[0]!
  test('one of ours, by its number', () => {
    expect(accepted(mine, PROTOCOL.IKE, [{ ...good, number: 2 }])?.index).toBe(1)
    expect(accepted(mine, PROTOCOL.IKE, [{ ...good, number: 1 }])).toBeUndefined()
    expect(accepted(mine, PROTOCOL.IKE, [{ ...good, number: 3 }])).toBeUndefined()
  })
  test('not two, not several alternatives, not a downgrade', () => {
    const second = { ...good, number: 2 }
    expect(accepted(mine, PROTOCOL.IKE, [second, second])).toBeUndefined()
    expect(accepted(mine, PROTOCOL.IKE, [])).toBeUndefined()
    const twice = { ...second, transforms: [...second.transforms, t(KE, 31)] }
    expect(accepted(mine, PROTOCOL.IKE, [twice])).toBeUndefined()
    const weaker = { ...second, transforms: [t(ENCR, 12, 128), ...second.transforms.slice(1)] }
    expect(accepted(mine, PROTOCOL.IKE, [weaker])).toBeUndefined()
  })
})

test('why nothing fits, in words', () => {
  const why = explainProposals(
    offer(PROTOCOL.IKE, none, ours('aes256-sha256-x25519')),
    ike(t(ENCR, 3), t(ENCR, 12, 128), t(ENCR, 12, 256), t(INTEG, 12), t(PRF, 5), t(KE, 2), t(KE, 14)),
  )
  expect(why.difference).toBe('group: ours x25519, theirs modp1024 or modp2048')
  expect(why.theirs).toEqual([
    'protocol ike, encryption 3des or aes128 or aes256, integrity sha256, prf prfsha256, group modp1024 or modp2048',
  ])
})
