import { wipe } from '../bytes/octets.js'
import { InternalError } from '../errors.js'
import { hmacSha256, SHA256_LEN } from './sha256.js'

// HKDF with SHA-256, RFC 5869.

/**
 * HKDF-Extract, RFC 5869 section 2.2.
 * @param salt any length; empty stands for 32 zero octets
 * @param ikm input keying material
 * @returns the pseudorandom key, 32 octets, which the caller wipes
 */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return hmacSha256(salt, ikm)
}

/**
 * HKDF-Expand, RFC 5869 section 2.3.
 * @param prk pseudorandom key, at least 32 octets
 * @param length octets wanted, 0 to 8160
 * @returns keying material that the caller wipes
 */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (length > 255 * SHA256_LEN) throw new InternalError(`HKDF-Expand cannot give ${length} octets`)
  const out = new Uint8Array(length)
  let block: Uint8Array = new Uint8Array(0)
  for (let i = 1, at = 0; at < length; i++, at += SHA256_LEN) {
    const next = hmacSha256(prk, block, info, Uint8Array.of(i))
    out.set(next.subarray(0, Math.min(SHA256_LEN, length - at)), at)
    wipe(block)
    block = next
  }
  wipe(block)
  return out
}
