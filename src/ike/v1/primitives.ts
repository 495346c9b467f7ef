import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto'
import { PRF } from '../../crypto/algorithms.js'
import { InternalError } from '../../errors.js'

// The hash, the PRF and the cipher of an ISAKMP SA. IKEv1 negotiates one hash; its HMAC is the PRF (RFC 2409 section 4).

const HASH_NAME = new Map<number, string>([
  [PRF.HMAC_SHA1, 'sha1'],
  [PRF.HMAC_SHA2_256, 'sha256'],
  [PRF.HMAC_SHA2_384, 'sha384'],
  [PRF.HMAC_SHA2_512, 'sha512'],
])

/** Octets of an AES block, and so of every IV. */
export const BLOCK = 16

function hashName(prf: number): string {
  const name = HASH_NAME.get(prf)
  if (name === undefined) throw new InternalError(`no hash for PRF ${prf}`)
  return name
}

/** As a plain Uint8Array: a Buffer's `slice` would alias where a Uint8Array's copies. */
const plain = (b: Buffer): Uint8Array => new Uint8Array(b.buffer, b.byteOffset, b.length)

/** The negotiated hash, by the PRF id that stands for it, over the parts one after another. */
export function hash(prfId: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const h = createHash(hashName(prfId))
  for (const p of parts) h.update(p)
  return plain(h.digest())
}

/** HMAC of the negotiated hash over the parts one after another. */
export function prf(prfId: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const h = createHmac(hashName(prfId), key)
  for (const p of parts) h.update(p)
  return plain(h.digest())
}

/** AES-CBC without padding. @param data a multiple of 16 octets */
export function aesCbcEncrypt(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  const cipher = createCipheriv(`aes-${key.length * 8}-cbc`, key, iv).setAutoPadding(false)
  return new Uint8Array(Buffer.concat([cipher.update(data), cipher.final()]))
}

/** @param data a multiple of 16 octets */
export function aesCbcDecrypt(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  const cipher = createDecipheriv(`aes-${key.length * 8}-cbc`, key, iv).setAutoPadding(false)
  return new Uint8Array(Buffer.concat([cipher.update(data), cipher.final()]))
}
