import { createHash, createHmac } from 'node:crypto'
import { concat, wipe } from '../bytes/octets.js'
import { InternalError } from '../errors.js'
import { INTEG, PRF } from './algorithms.js'
import { cbcMac } from './cbc-mac.js'

// Pseudorandom functions by their IANA PRF ids, and the hashes under them. IKEv1 negotiates a hash whose HMAC is the PRF
// (RFC 2409 section 4), so the same id names both. Every result is a new buffer; the caller wipes what is secret.

interface Hash {
  /** As node:crypto spells it. */
  readonly name: string
  readonly length: number
}

const HASHES: ReadonlyMap<number, Hash> = new Map([
  [PRF.HMAC_SHA1, { name: 'sha1', length: 20 }],
  [PRF.HMAC_SHA2_256, { name: 'sha256', length: 32 }],
  [PRF.HMAC_SHA2_384, { name: 'sha384', length: 48 }],
  [PRF.HMAC_SHA2_512, { name: 'sha512', length: 64 }],
])

/** PRFs that are a CBC-MAC of AES-128 (RFC 4434, RFC 4615), by the integrity algorithm with the same chain. */
const CBC_MACS: ReadonlyMap<number, number> = new Map([
  [PRF.AES128_XCBC, INTEG.AES_XCBC_96],
  [PRF.AES128_CMAC, INTEG.AES_CMAC_96],
])
const CBC_MAC_LEN = 16

export const hasPrf = (id: number): boolean => HASHES.has(id) || CBC_MACS.has(id)

/** Whether the PRF is made for keys of one length, so that a part of each nonce makes its first key (RFC 7296 section 2.14). */
export const hasFixedKey = (id: number): boolean => CBC_MACS.has(id)

function hashOf(id: number): Hash {
  const hash = HASHES.get(id)
  if (!hash) throw new InternalError(`no hash for PRF ${id}`)
  return hash
}

/**
 * Octets of the PRF's output, which are also those of its preferred key (RFC 7296 section 2.14, RFC 4868 section 2.1.2).
 * @throws InternalError for a PRF that sallyport does not have: proposals were checked before. So do the others
 */
export const prfLength = (id: number): number => (CBC_MACS.has(id) ? CBC_MAC_LEN : hashOf(id).length)

/** As a plain Uint8Array: a Buffer's `slice` would alias where a Uint8Array's copies. */
const plain = (b: Buffer): Uint8Array => new Uint8Array(b.buffer, b.byteOffset, b.length)

/** The hash under the PRF, over the parts one after another. */
export function hash(id: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const h = createHash(hashOf(id).name)
  for (const p of parts) h.update(p)
  return plain(h.digest())
}

/** prf(key, parts one after another). The key may have any length. */
export function prf(id: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = CBC_MACS.get(id)
  if (mac !== undefined) return cbcMacPrf(mac, key, concat(...parts))
  const h = createHmac(hashOf(id).name, key)
  for (const p of parts) h.update(p)
  return plain(h.digest())
}

/**
 * A key of another length than AES's is MACed under zeros; XCBC pads a short one with zeros instead (RFC 4434 section 2,
 * RFC 4615 section 3). Wipes message.
 */
function cbcMacPrf(mac: number, key: Uint8Array, message: Uint8Array): Uint8Array {
  let own: Uint8Array = new Uint8Array(CBC_MAC_LEN)
  const padded = mac === INTEG.AES_XCBC_96 && key.length < CBC_MAC_LEN
  if (padded || key.length === CBC_MAC_LEN) own.set(key)
  else own = cbcMac(mac, own, key)
  const out = cbcMac(mac, own, message)
  wipe(own, message)
  return out
}

/**
 * prf+(key, seed), RFC 7296 section 2.13: T1 | T2 | …, Tn = prf(key, T(n-1) | seed | n).
 * @param seed its parts one after another
 * @param length octets wanted, up to 255 outputs of the PRF
 */
export function prfPlus(
  id: number,
  key: Uint8Array,
  seed: readonly Uint8Array[],
  length: number,
): Uint8Array {
  const step = prfLength(id)
  // n is one octet.
  if (length > 255 * step) throw new InternalError(`prf+ cannot give ${length} octets`)
  const out = new Uint8Array(length)
  let block: Uint8Array = new Uint8Array(0)
  for (let n = 1, at = 0; at < length; n++, at += step) {
    const next = prf(id, key, block, ...seed, Uint8Array.of(n))
    wipe(block)
    block = next
    out.set(block.subarray(0, Math.min(step, length - at)), at)
  }
  wipe(block)
  return out
}
