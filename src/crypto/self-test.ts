import { equalOctets, fromHex } from '../bytes/octets.js'
import type { Slab } from '../bytes/slab.js'
import { SCRATCH_LEN } from '../bytes/slab.js'
import { ENCR, INTEG } from './algorithms.js'
import type { CryptoEngine } from './types.js'

// Known answers that an engine must give before it carries a packet: one a cipher and a hash, from the RFCs.

interface KnownAnswer {
  readonly name: string
  readonly id: number
  readonly key: Uint8Array
  /** Nonce or IV. */
  readonly iv: Uint8Array
  readonly aad: Uint8Array
  readonly plain: Uint8Array
  /** Ciphertext, and for an AEAD the ICV behind it. */
  readonly sealed: Uint8Array
}

const hexOf = (...parts: string[]): Uint8Array => fromHex(parts.join(''))

const AEADS: readonly KnownAnswer[] = [
  {
    // "The Galois/Counter Mode of Operation (GCM)", McGrew and Viega, test case 4.
    name: 'AES-128-GCM',
    id: ENCR.AES_GCM_16,
    key: hexOf('feffe9928665731c6d6a8f9467308308'),
    iv: hexOf('cafebabefacedbaddecaf888'),
    aad: hexOf('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
    plain: hexOf(
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72',
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    ),
    sealed: hexOf(
      '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e',
      '21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091',
      '5bc94fbc3221a5db94fae95ae7121a47',
    ),
  },
  {
    // The same paper, test case 16.
    name: 'AES-256-GCM',
    id: ENCR.AES_GCM_16,
    key: hexOf('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'),
    iv: hexOf('cafebabefacedbaddecaf888'),
    aad: hexOf('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
    plain: hexOf(
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72',
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    ),
    sealed: hexOf(
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa',
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662',
      '76fc6ece0f4e1768cddf8853bb2d551b',
    ),
  },
  {
    // RFC 8439 section 2.8.2.
    name: 'ChaCha20-Poly1305',
    id: ENCR.CHACHA20_POLY1305,
    key: hexOf('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'),
    iv: hexOf('070000004041424344454647'),
    aad: hexOf('50515253c0c1c2c3c4c5c6c7'),
    plain: Uint8Array.from(
      Buffer.from(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
      ),
    ),
    sealed: hexOf(
      'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6',
      '3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36',
      '92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc',
      '3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691',
    ),
  },
]

const CBC: KnownAnswer = {
  // RFC 3602 section 4, case 2.
  name: 'AES-128-CBC',
  id: ENCR.AES_CBC,
  key: hexOf('c286696d887c9aa0611bbb3e2025a45a'),
  iv: hexOf('562e17996d093d28ddb3ba695a2e6f58'),
  aad: new Uint8Array(0),
  plain: hexOf('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'),
  sealed: hexOf('d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1'),
}

/** RFC 4231 test case 2 ("Jefe") for SHA-2, RFC 2202 for SHA-1; whole HMACs, of which an ICV is the beginning. */
const MACS: readonly { readonly name: string; readonly id: number; readonly mac: Uint8Array }[] = [
  { name: 'HMAC-SHA1', id: INTEG.HMAC_SHA1_96, mac: hexOf('effcdf6ae5eb2fa2d27416d5f184df9c259a7c79') },
  {
    name: 'HMAC-SHA2-256',
    id: INTEG.HMAC_SHA2_256_128,
    mac: hexOf('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'),
  },
  {
    name: 'HMAC-SHA2-384',
    id: INTEG.HMAC_SHA2_384_192,
    mac: hexOf(
      'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649',
    ),
  },
  {
    name: 'HMAC-SHA2-512',
    id: INTEG.HMAC_SHA2_512_256,
    mac: hexOf(
      '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554',
      '9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737',
    ),
  },
]

/** Octets of slab, from `at`, that a self-test overwrites. */
export const SELF_TEST_ROOM = 1024

/**
 * Asks the engine for every algorithm that it has.
 * @param at slab offset of SELF_TEST_ROOM octets, e.g. SCRATCH_LEN of a slab not yet in use
 * @returns what went wrong, or undefined when all answers are right
 */
export function selfTest(engine: CryptoEngine, slab: Slab, at = SCRATCH_LEN): string | undefined {
  for (const answer of AEADS) {
    if (aeadFails(engine, answer, slab, at)) return `wrong answer for ${answer.name}`
  }
  if (cbcFails(engine, CBC, slab, at)) return `wrong answer for ${CBC.name}`
  for (const { name, id, mac } of MACS)
    if (macFails(engine, id, mac, slab, at)) return `wrong answer for ${name}`
  slab.bytes.fill(0, at, at + SELF_TEST_ROOM)
  return undefined
}

function aeadFails(engine: CryptoEngine, a: KnownAnswer, slab: Slab, at: number): boolean {
  const aead = engine.aead(a.id, a.key, slab)
  if (!aead) return false
  const b = slab.bytes
  const n = a.plain.length
  const [iv, aad, src, dst] = [at, at + 16, at + 64, at + 320]
  b.set(a.iv, iv)
  b.set(a.aad, aad)
  b.set(a.plain, src)
  aead.seal(iv, aad, a.aad.length, src, n, dst, dst + n)
  let ok = equalOctets(b.subarray(dst, dst + a.sealed.length), a.sealed)
  b.fill(0, src, src + n)
  ok &&= aead.open(iv, aad, a.aad.length, dst, n, src, dst + n)
  ok &&= equalOctets(b.subarray(src, src + n), a.plain)
  // In place, and forged: what must be refused is.
  b[dst + n] = b[dst + n]! ^ 1
  ok &&= !aead.open(iv, aad, a.aad.length, dst, n, dst, dst + n)
  aead.destroy()
  return !ok
}

function cbcFails(engine: CryptoEngine, a: KnownAnswer, slab: Slab, at: number): boolean {
  const cipher = engine.cipher(a.id, a.key, slab)
  if (!cipher) return false
  const b = slab.bytes
  const n = a.plain.length
  const [iv, src, dst] = [at, at + 64, at + 320]
  b.set(a.iv, iv)
  b.set(a.plain, src)
  cipher.encrypt(iv, src, n, dst)
  let ok = equalOctets(b.subarray(dst, dst + n), a.sealed)
  cipher.decrypt(iv, dst, n, dst)
  ok &&= equalOctets(b.subarray(dst, dst + n), a.plain)
  cipher.destroy()
  return !ok
}

function macFails(engine: CryptoEngine, id: number, expected: Uint8Array, slab: Slab, at: number): boolean {
  const mac = engine.mac(id, Buffer.from('Jefe'), slab)
  if (!mac) return false
  const b = slab.bytes
  const text = Buffer.from('what do ya want for nothing?')
  b.set(text, at)
  const icv = at + 64
  mac.compute(at, text.length - 8, at + text.length - 8, 8, icv)
  let ok = equalOctets(b.subarray(icv, icv + mac.icvLength), expected.subarray(0, mac.icvLength))
  ok &&= mac.verify(at, text.length, at, 0, icv)
  b[icv] = b[icv]! ^ 1
  ok &&= !mac.verify(at, text.length, at, 0, icv)
  mac.destroy()
  return !ok
}
