import { concat, utf8, wipe, xor } from '../../bytes/octets.js'
import { hkdfExpand, hkdfExtract } from '../../crypto/hkdf.js'
import { hmacSha256, sha256 } from '../../crypto/sha256.js'
import { withoutHash } from './messages.js'

// What is computed from K_ab and the nonces. K_ab and nonces are 32 octets, cookies 8; M1 to M4 are whole messages as
// sent, without the non-ESP marker. Nothing here keeps a reference; every secret that is returned is a new buffer that
// the caller wipes, and every secret in between is wiped here.

export const PSK_LEN = 64
export const PPK_LEN = 32

// Classic, the paper's: Hash(N) = SHA-256(N), masks are K_ab itself, the new PSK is N_a | N_b.

export const classicHash = (nonce: Uint8Array): Uint8Array => sha256(nonce)
/** Masks and unmasks. */
export const classicMask = (key: Uint8Array, nonce: Uint8Array): Uint8Array => xor(key, nonce)
export const classicPsk = (na: Uint8Array, nb: Uint8Array): Uint8Array => concat(na, nb)

// Hardened. P = HKDF-Extract("sallyport hardened 1", K_ab). A label is separated from its context by a zero octet, and
// variable parts carry their length, so that no two uses have the same HKDF info.

const SALT = utf8('sallyport hardened 1')
const info = (label: string, ...context: readonly Uint8Array[]): Uint8Array =>
  concat(utf8(label), Uint8Array.of(0), ...context)
const withLength = (x: Uint8Array): Uint8Array => concat(Uint8Array.of(x.length >>> 8, x.length & 0xff), x)

/** The messages of an exchange as far as they exist. */
export interface Transcript {
  readonly m1: Uint8Array
  readonly m2: Uint8Array
  readonly m3: Uint8Array
  readonly m4: Uint8Array
}

/** P, from which everything else of a pair comes. */
export const extractPair = (key: Uint8Array): Uint8Array => hkdfExtract(SALT, key)

/** Key of step 1's HASH: x("mac 1", "", 32). */
export const step1Key = (p: Uint8Array): Uint8Array => hkdfExpand(p, info('mac 1'), 32)

/** HASH of step 1. @param m1 with any HASH data */
export const step1Hash = (key: Uint8Array, m1: Uint8Array): Uint8Array => hmacSha256(key, withoutHash(m1))

/** Masks and unmasks N_a. @param ida the initiator's ID payload body @param label TAI64N */
export function maskInitiator(
  p: Uint8Array,
  ci: Uint8Array,
  ida: Uint8Array,
  label: Uint8Array,
  nonce: Uint8Array,
): Uint8Array {
  return masked(p, info('mask i', ci, withLength(ida), label), nonce)
}

/** Masks and unmasks N_b. */
export function maskResponder(
  p: Uint8Array,
  ci: Uint8Array,
  cr: Uint8Array,
  ida: Uint8Array,
  idb: Uint8Array,
  nonce: Uint8Array,
): Uint8Array {
  return masked(p, info('mask r', ci, cr, withLength(ida), withLength(idb)), nonce)
}

function masked(p: Uint8Array, context: Uint8Array, nonce: Uint8Array): Uint8Array {
  const mask = hkdfExpand(p, context, nonce.length)
  const out = xor(nonce, mask)
  wipe(mask)
  return out
}

/** HASH of step 2. @param m2 with any HASH data */
export function step2Hash(p: Uint8Array, na: Uint8Array, m1: Uint8Array, m2: Uint8Array): Uint8Array {
  const prk = hkdfExtract(p, na)
  return proof(prk, 'proof r', m1, withoutHash(m2))
}

/** HASH of step 3. @param m3 with any HASH data */
export function step3Hash(
  p: Uint8Array,
  na: Uint8Array,
  nb: Uint8Array,
  { m1, m2, m3 }: Pick<Transcript, 'm1' | 'm2' | 'm3'>,
): Uint8Array {
  return proof(bothNonces(p, na, nb), 'proof i', m1, m2, withoutHash(m3))
}

/** HASH of step 4. @param t with any HASH data in m4 */
export function step4Hash(p: Uint8Array, na: Uint8Array, nb: Uint8Array, t: Transcript): Uint8Array {
  return proof(bothNonces(p, na, nb), 'confirm', t.m1, t.m2, t.m3, withoutHash(t.m4))
}

/** HKDF-Extract(P, N_a | N_b). */
function bothNonces(p: Uint8Array, na: Uint8Array, nb: Uint8Array): Uint8Array {
  const both = concat(na, nb)
  const prk = hkdfExtract(p, both)
  wipe(both)
  return prk
}

/** HMAC under HKDF-Expand(prk, label | 0, 32). Wipes prk. */
function proof(prk: Uint8Array, label: string, ...messages: readonly Uint8Array[]): Uint8Array {
  const key = hkdfExpand(prk, info(label), 32)
  const out = hmacSha256(key, ...messages)
  wipe(prk, key)
  return out
}

/** The new PSK (64 octets) and the one-time post-quantum key (32 octets, RFC 8784). */
export function hardenedKeys(
  p: Uint8Array,
  na: Uint8Array,
  nb: Uint8Array,
  t: Transcript,
): { psk: Uint8Array; ppk: Uint8Array } {
  const prk = bothNonces(p, na, nb)
  const transcript = sha256(t.m1, t.m2, t.m3, t.m4)
  const psk = hkdfExpand(prk, info('psk', transcript), PSK_LEN)
  const ppk = hkdfExpand(prk, info('ppk', transcript), PPK_LEN)
  wipe(prk)
  return { psk, ppk }
}
