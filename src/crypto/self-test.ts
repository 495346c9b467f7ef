import { equalOctets } from '../bytes/octets.js'
import type { Slab } from '../bytes/slab.js'
import { SCRATCH_LEN } from '../bytes/slab.js'
import { ENCR, encryptionInfo } from './algorithms.js'
import {
  AEAD_ANSWERS,
  CIPHER_ANSWERS,
  type CipherAnswer,
  GMAC_ANSWERS,
  type GmacAnswer,
  LONG_ODD,
  LONG_TEXT,
  MAC_ANSWERS,
  type MacAnswer,
} from './known-answers.js'
import type { Aead, Cipher, CryptoEngine, Mac } from './types.js'

// What an engine must show before it carries a packet: the known answers, both ways, in place and out of place, and that
// it refuses what was changed.

/** Octets of slab, from `at`, that a self-test overwrites and clears. */
export const SELF_TEST_ROOM = 4096

// Places, from the self-test's own start.
const IV = 0
const AAD = 16
const SRC = 64
const DST = 1536
const OUT = 2816

/**
 * Asks the engine for every algorithm that it has.
 * @param at slab offset of SELF_TEST_ROOM octets, e.g. SCRATCH_LEN of a slab not yet in use
 * @returns what went wrong, or undefined when all answers are right. An engine without any algorithm on this slab is wrong
 */
export function selfTest(engine: CryptoEngine, slab: Slab, at = SCRATCH_LEN): string | undefined {
  // Native calls know no bounds.
  if (slab.bytes.length < at + SELF_TEST_ROOM) return 'the slab has no room for a self-test'
  try {
    return firstFault(engine, slab, at)
  } finally {
    slab.bytes.fill(0, at, at + SELF_TEST_ROOM)
  }
}

function firstFault(engine: CryptoEngine, slab: Slab, at: number): string | undefined {
  let answers = 0
  for (const a of AEAD_ANSWERS) {
    const aead = engine.aead(a.id, a.key, slab)
    if (!aead) continue
    answers++
    if (!tested(aead, () => aeadPasses(aead, a, slab.bytes, at))) return `wrong answer for ${a.name}`
  }
  for (const a of GMAC_ANSWERS) {
    const aead = engine.aead(ENCR.AES_GCM_16, a.key, slab)
    if (!aead) continue
    answers++
    if (!tested(aead, () => gmacPasses(aead, a, slab.bytes, at))) return `wrong answer for ${a.name}`
  }
  for (const a of CIPHER_ANSWERS) {
    const cipher = engine.cipher(a.id, a.key, slab)
    if (!cipher) continue
    answers++
    if (!tested(cipher, () => cipherPasses(cipher, a, slab.bytes, at))) return `wrong answer for ${a.name}`
  }
  for (const a of MAC_ANSWERS) {
    const mac = engine.mac(a.id, a.key, slab)
    if (!mac) continue
    answers++
    if (!tested(mac, () => macPasses(mac, a, slab.bytes, at))) return `wrong answer for ${a.name}`
  }
  return answers === 0 ? 'it has no algorithm for this memory' : undefined
}

function tested(made: { destroy(): void }, passes: () => boolean): boolean {
  try {
    return passes()
  } finally {
    made.destroy()
  }
}

function aeadPasses(aead: Aead, a: CipherAnswer, b: Uint8Array, at: number): boolean {
  const [iv, aad, src, dst, out] = [at + IV, at + AAD, at + SRC, at + DST, at + OUT]
  const n = a.aad.length
  // Else what follows would compare other octets than those that an SA uses.
  if (aead.nonceLength !== a.iv.length || aead.icvLength !== encryptionInfo(a.id)?.icvLength) return false
  const holds = (place: number, octets: Uint8Array): boolean =>
    equalOctets(b.subarray(place, place + octets.length), octets)
  const opens = (from: number, length: number, to: number): boolean =>
    aead.open(iv, aad, n, from, length, to, from + length)
  b.set(a.iv, iv)
  b.set(a.aad, aad)

  // The long case, there and back in place.
  const long = LONG_TEXT.subarray(0, LONG_ODD)
  const longEnd = src + long.length + aead.icvLength
  b.set(long, src)
  aead.seal(iv, aad, n, src, long.length, src, src + long.length)
  if (!holds(longEnd - a.long.length, a.long) || !opens(src, long.length, src) || !holds(src, long))
    return false

  const length = a.plain.length
  b.set(a.plain, src)
  aead.seal(iv, aad, n, src, length, dst, dst + length)
  if (!holds(dst, a.sealed) || !opens(dst, length, out) || !holds(out, a.plain)) return false

  // A bit of any octet of the ICV, and of the ciphertext, the AAD, the nonce.
  const tag = Array.from({ length: aead.icvLength }, (_, i) => dst + length + i)
  for (const octet of [...tag, dst, dst + length - 1, aad, aad + n - 1, iv, iv + a.iv.length - 1]) {
    b[octet] = b[octet]! ^ 1
    if (opens(dst, length, out)) return false
    b[octet] = b[octet]! ^ 1
  }
  // Refusals leave nothing behind that would make it refuse what is right.
  return opens(dst, length, out)
}

function gmacPasses(aead: Aead, a: GmacAnswer, b: Uint8Array, at: number): boolean {
  const [iv, src, icv] = [at + IV, at + SRC, at + DST]
  const opens = (): boolean => aead.open(iv, src, a.text.length, icv, 0, icv, icv)
  b.set(a.iv, iv)
  b.set(LONG_TEXT, src)
  aead.seal(iv, src, LONG_ODD, icv, 0, icv, icv)
  if (!equalOctets(b.subarray(icv, icv + a.long.length), a.long)) return false
  b.set(a.text, src)
  b.set(a.icv, icv)
  if (!opens()) return false
  for (const octet of [icv, icv + a.icv.length - 1, src, src + a.text.length - 1, iv]) {
    b[octet] = b[octet]! ^ 1
    if (opens()) return false
    b[octet] = b[octet]! ^ 1
  }
  return opens()
}

function cipherPasses(cipher: Cipher, a: CipherAnswer, b: Uint8Array, at: number): boolean {
  const [iv, src, dst] = [at + IV, at + SRC, at + DST]
  const holds = (place: number, octets: Uint8Array): boolean =>
    equalOctets(b.subarray(place, place + octets.length), octets)
  b.set(a.iv, iv)
  const text = LONG_TEXT.subarray(0, a.id === ENCR.AES_CBC ? LONG_TEXT.length : LONG_ODD)
  b.set(text, src)
  cipher.encrypt(iv, src, text.length, src)
  if (!holds(src + text.length - a.long.length, a.long)) return false
  cipher.decrypt(iv, src, text.length, src)
  if (!holds(src, text)) return false

  b.set(a.plain, src)
  cipher.encrypt(iv, src, a.plain.length, dst)
  if (!holds(dst, a.sealed) || !holds(src, a.plain)) return false
  cipher.decrypt(iv, dst, a.plain.length, dst)
  return holds(dst, a.plain)
}

function macPasses(mac: Mac, a: MacAnswer, b: Uint8Array, at: number): boolean {
  const [src, icv] = [at + SRC, at + DST]
  const n = mac.icvLength
  const gives = (whole: Uint8Array): boolean =>
    n <= whole.length && equalOctets(b.subarray(icv, icv + n), whole.subarray(0, n))
  b.set(LONG_TEXT, src)
  mac.compute(src, LONG_ODD, src, 0, icv)
  if (!gives(a.long)) return false

  b.set(a.text, src)
  const { length } = a.text
  // In two pieces, as with the high half of an extended sequence number.
  mac.compute(src, length - 8, src + length - 8, 8, icv)
  if (!gives(a.mac) || !mac.verify(src, length, src, 0, icv)) return false
  for (const octet of [...Array.from({ length: n }, (_, i) => icv + i), src, src + length - 1]) {
    b[octet] = b[octet]! ^ 1
    if (mac.verify(src, length, src, 0, icv)) return false
    b[octet] = b[octet]! ^ 1
  }
  return mac.verify(src, length, src, 0, icv)
}
