import { afterEach, describe, expect, test } from 'vitest'
import { concat, fromHex } from '../../../src/bytes/octets.js'
import { ed25519Spki } from '../../../src/crypto/ed25519.js'
import type { Signatures } from '../../../src/ike/config.js'
import { type HostIdentity, identityOf, signingKey } from '../../../src/ike/host-identity.js'
import { EXCHANGE } from '../../../src/wire/ike/header.js'
import { AUTH_METHOD, CERT_ENCODING, PAYLOAD } from '../../../src/wire/ike/v2/numbers.js'
import { replaced, unharmed, without } from '../attacker-v1.js'
import { type Change, honest, ikeV2, insider, refused } from '../attacker-v2.js'
import { convergence, type IkeEnds } from '../ike-ends.js'

// Signatures that a verifier has taken elsewhere, and keys that nobody vouches for. Either end is the victim.

afterEach(honest)

const [A, B, STRANGER] = [3, 4, 6].map((n) => identityOf(new Uint8Array(32).map((_, i) => i * n + 5))) as [
  HostIdentity,
  HostIdentity,
  HostIdentity,
]
const between = (own: HostIdentity, peer: HostIdentity): Signatures => ({
  sign: new Uint8Array(own.sign),
  own: signingKey(own.publicKey),
  peer: signingKey(peer.publicKey),
})
const ends = (a = between(A, B), b = between(B, A)): IkeEnds =>
  ikeV2({ config: { signatures: a }, b: { signatures: b } })

/** AUTH: method and reserved octets (4), length of the identifier (1), identifier (7), signature R (32) and S (32). */
const IDENTIFIER = 4
const SIGNATURE = 12
const S = SIGNATURE + 32
const head = (b: Uint8Array): Uint8Array => b.subarray(0, SIGNATURE)
/** Order of the group, little-endian, RFC 8032 section 5.1. */
const L = fromHex('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010')

/** S + L verifies where S does, unless somebody looks how large it is (RFC 8032 section 5.1.7). */
function malleable(b: Uint8Array): Uint8Array {
  const out = b.slice()
  let carry = 0
  for (let i = 0; i < L.length; i++) {
    const sum = out[S + i]! + L[i]! + carry
    out[S + i] = sum & 0xff
    carry = sum >>> 8
  }
  return out
}

const point = (...first: number[]): Uint8Array =>
  Uint8Array.of(...first, ...new Uint8Array(64 - first.length))

const FALSE: [string, (b: Uint8Array) => Uint8Array][] = [
  ['nothing', (b) => b.subarray(0, IDENTIFIER)],
  ['no signature', head],
  ['a signature of zeros', (b) => concat(head(b), new Uint8Array(64))],
  ['a signature of ones', (b) => concat(head(b), new Uint8Array(64).fill(0xff))],
  ['the neutral point and S = 0', (b) => concat(head(b), point(1))],
  [
    'a point of order two and S = 0',
    (b) => concat(head(b), fromHex(`ec${'ff'.repeat(30)}7f`), new Uint8Array(32)),
  ],
  ['S + L', malleable],
  ['an octet too few', (b) => b.subarray(0, b.length - 1)],
  ['an octet too many', (b) => Uint8Array.of(...b, 0)],
  ['the signature twice', (b) => concat(b, b.subarray(SIGNATURE))],
  [
    'an identifier of no length',
    (b) => concat(b.subarray(0, IDENTIFIER), Uint8Array.of(0), b.subarray(IDENTIFIER + 1)),
  ],
  [
    'an identifier that is longer than all',
    (b) => concat(b.subarray(0, IDENTIFIER), Uint8Array.of(255), b.subarray(IDENTIFIER + 1)),
  ],
  ['an identifier alone', (b) => concat(b.subarray(0, IDENTIFIER), Uint8Array.of(0))],
  [
    'parameters in the identifier',
    (b) =>
      concat(
        b.subarray(0, IDENTIFIER),
        Uint8Array.of(9, 0x30, 7),
        b.subarray(7, SIGNATURE),
        Uint8Array.of(5, 0),
        b.subarray(SIGNATURE),
      ),
  ],
  [
    'octets behind the identifier',
    (b) =>
      concat(
        b.subarray(0, IDENTIFIER),
        Uint8Array.of(9),
        b.subarray(5, SIGNATURE),
        Uint8Array.of(0, 0),
        b.subarray(SIGNATURE),
      ),
  ],
  [
    'another algorithm, Ed448',
    (b) => concat(b.subarray(0, SIGNATURE - 1), Uint8Array.of(0x71), b.subarray(SIGNATURE)),
  ],
  ['method RSA', (b) => Uint8Array.of(AUTH_METHOD.RSA, ...b.subarray(1))],
  ['method PSK', (b) => Uint8Array.of(AUTH_METHOD.SHARED_KEY, ...b.subarray(1))],
  ['method ECDSA', (b) => Uint8Array.of(9, ...b.subarray(1))],
  ['the null method', (b) => Uint8Array.of(13, ...b.subarray(1))],
]

describe.each([
  ['request', false],
  ['response', true],
])('IKE_AUTH %s', (_, response) => {
  const whose = { exchange: EXCHANGE.IKE_AUTH, response, fromResponder: response }
  const victimOf = (e: IkeEnds) => (response ? e.a : e.b)

  test.each(FALSE)(
    'CVE-2012-2388, CVE-2013-2944, CVE-2017-11185, CVE-2018-16151, CVE-2018-16152, CVE-2018-17540: %s',
    (_name, change) => {
      const e = ends()
      insider(whose, replaced(PAYLOAD.AUTH, change))
      refused(e, victimOf(e))
      expect(victimOf(e).established()).toEqual([])
      honest()
      unharmed(e)
    },
  )

  const shown = (encoding: number, key: Uint8Array) => ({
    type: PAYLOAD.CERT,
    body: concat(Uint8Array.of(encoding), key),
  })
  const strangers = ed25519Spki(signingKey(STRANGER.publicKey))
  const right = ed25519Spki(signingKey((response ? B : A).publicKey))
  test.each<[string, Change]>([
    ['its own key', (p) => p],
    [
      'the key that signed, instead of ours',
      (p) => [shown(CERT_ENCODING.RAW_PUBLIC_KEY, strangers), ...without(PAYLOAD.CERT)(p)],
    ],
    [
      'the right key and its own',
      (p) => [
        shown(CERT_ENCODING.RAW_PUBLIC_KEY, right),
        shown(CERT_ENCODING.RAW_PUBLIC_KEY, strangers),
        ...p,
      ],
    ],
    ['its own as a certificate', (p) => [shown(4, strangers), ...without(PAYLOAD.CERT)(p)]],
    ['no key', without(PAYLOAD.CERT)],
  ])('CVE-2023-26463, CVE-2020-16088: a stranger signs rightly, and shows %s', (_name, change) => {
    const e = response ? ends(undefined, between(STRANGER, A)) : ends(between(STRANGER, B))
    insider(whose, change)
    refused(e, victimOf(e))
    expect(victimOf(e).established()).toEqual([])
    expect(victimOf(e).env.counted('ike.established')).toBe(0)
  })

  test.each<[string, Change]>([
    ["a stranger's", (p) => [shown(CERT_ENCODING.RAW_PUBLIC_KEY, strangers), ...without(PAYLOAD.CERT)(p)]],
    [
      'one of no length',
      (p) => [shown(CERT_ENCODING.RAW_PUBLIC_KEY, new Uint8Array(0)), ...without(PAYLOAD.CERT)(p)],
    ],
    ['none', without(PAYLOAD.CERT)],
  ])('the key that is shown changes nothing for who signs with the right one: %s', (_name, change) => {
    const e = ends()
    insider(whose, change)
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(500)
    expect(convergence(e)).toEqual([])
  })
})
