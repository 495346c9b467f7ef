import { concat, wipe } from '../../bytes/octets.js'
import { hash, prf } from '../../crypto/prf.js'

// Keys and hashes of RFC 2409. `prfId` is the IANA PRF id that stands for the negotiated hash; "body" is a payload
// without its generic header. Every secret returned is a new buffer that the caller wipes.

const ZERO = Uint8Array.of(0)

/** The messages' part in phase 1: what both ends know when SKEYID is made. */
export interface Phase1Exchange {
  /** Cookies, 8 octets each. */
  readonly ci: Uint8Array
  readonly cr: Uint8Array
  /** Nonce payload bodies. */
  readonly ni: Uint8Array
  readonly nr: Uint8Array
  /** Public values as in the KE payloads. */
  readonly gxi: Uint8Array
  readonly gxr: Uint8Array
}

/** SKEYID and its children. */
export interface Skeyids {
  readonly skeyid: Uint8Array
  /** Root of the keys of IPsec SAs. */
  readonly d: Uint8Array
  /** Authenticates messages. */
  readonly a: Uint8Array
  /** Root of the encryption key. */
  readonly e: Uint8Array
}

/** SKEYID with a pre-shared key: prf(PSK, Ni_b | Nr_b), RFC 2409 section 5.4. */
export const skeyidPsk = (prfId: number, psk: Uint8Array, ni: Uint8Array, nr: Uint8Array): Uint8Array =>
  prf(prfId, psk, ni, nr)

/**
 * SKEYID_d, SKEYID_a, SKEYID_e, RFC 2409 section 5.
 * @param skeyid becomes part of the result
 * @param gxy shared secret, padded to the length of the group
 */
export function deriveSkeyids(
  prfId: number,
  skeyid: Uint8Array,
  gxy: Uint8Array,
  ci: Uint8Array,
  cr: Uint8Array,
): Skeyids {
  const d = prf(prfId, skeyid, gxy, ci, cr, ZERO)
  const a = prf(prfId, skeyid, d, gxy, ci, cr, Uint8Array.of(1))
  const e = prf(prfId, skeyid, a, gxy, ci, cr, Uint8Array.of(2))
  return { skeyid, d, a, e }
}

/** Leading octets of SKEYID_e, stretched where it is too short (RFC 2409 appendix B). */
export function encryptionKey(prfId: number, e: Uint8Array, length: number): Uint8Array {
  if (e.length >= length) return new Uint8Array(e.subarray(0, length))
  let block = prf(prfId, e, ZERO)
  let key = block
  while (key.length < length) {
    block = prf(prfId, e, block)
    key = concat(key, block)
  }
  const out = new Uint8Array(key.subarray(0, length))
  wipe(key, block)
  return out
}

/** HASH_I. @param sai SA payload body of message 1 @param idii ID payload body */
export const hashI = (
  prfId: number,
  skeyid: Uint8Array,
  x: Phase1Exchange,
  sai: Uint8Array,
  idii: Uint8Array,
) => prf(prfId, skeyid, x.gxi, x.gxr, x.ci, x.cr, sai, idii)

/** HASH_R. @param sai SA payload body of message 1 @param idir ID payload body */
export const hashR = (
  prfId: number,
  skeyid: Uint8Array,
  x: Phase1Exchange,
  sai: Uint8Array,
  idir: Uint8Array,
) => prf(prfId, skeyid, x.gxr, x.gxi, x.cr, x.ci, sai, idir)

const mid = (messageId: number): Uint8Array =>
  Uint8Array.of(messageId >>> 24, (messageId >>> 16) & 0xff, (messageId >>> 8) & 0xff, messageId & 0xff)

/** HASH(1) of Quick Mode and of Informational. @param rest the payloads behind the HASH payload, without padding */
export const hash1 = (prfId: number, a: Uint8Array, messageId: number, rest: Uint8Array): Uint8Array =>
  prf(prfId, a, mid(messageId), rest)

export const hash2 = (
  prfId: number,
  a: Uint8Array,
  messageId: number,
  ni: Uint8Array,
  rest: Uint8Array,
): Uint8Array => prf(prfId, a, mid(messageId), ni, rest)

export const hash3 = (
  prfId: number,
  a: Uint8Array,
  messageId: number,
  ni: Uint8Array,
  nr: Uint8Array,
): Uint8Array => prf(prfId, a, ZERO, mid(messageId), ni, nr)

/** IV of message 5: hash(g^xi | g^xr), RFC 2409 appendix B. */
export const phase1Iv = (prfId: number, gxi: Uint8Array, gxr: Uint8Array, length: number): Uint8Array =>
  hash(prfId, gxi, gxr).slice(0, length)

/** IV of an exchange's first message: hash(last block of phase 1 | M-ID), RFC 2409 appendix B. */
export const phase2Iv = (
  prfId: number,
  lastBlock: Uint8Array,
  messageId: number,
  length: number,
): Uint8Array => hash(prfId, lastBlock, mid(messageId)).slice(0, length)

export interface KeymatInput {
  readonly prfId: number
  /** SKEYID_d. */
  readonly d: Uint8Array
  /** Shared secret of Quick Mode's own key exchange; empty without PFS. */
  readonly gxy: Uint8Array
  /** Nonce payload bodies of Quick Mode. */
  readonly ni: Uint8Array
  readonly nr: Uint8Array
  readonly protocol: number
}

/**
 * KEYMAT of one SA, RFC 2409 section 5.5.
 * @param spi 4 octets, chosen by the SA's receiver
 */
export function childKeymat(k: KeymatInput, spi: Uint8Array, length: number): Uint8Array {
  const input = [k.gxy, Uint8Array.of(k.protocol), spi, k.ni, k.nr]
  const out = new Uint8Array(length)
  let block: Uint8Array = new Uint8Array(0)
  for (let at = 0; at < length; at += block.length) {
    const next = prf(k.prfId, k.d, block, ...input)
    wipe(block)
    block = next
    out.set(block.subarray(0, Math.min(block.length, length - at)), at)
  }
  wipe(block)
  return out
}
