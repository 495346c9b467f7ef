import { createHash, createHmac } from 'node:crypto'

export const SHA256_LEN = 32

/** As a plain Uint8Array: a Buffer's `slice` would alias where a Uint8Array's copies. */
const plain = (b: Buffer): Uint8Array => new Uint8Array(b.buffer, b.byteOffset, b.length)

/** SHA-256 (FIPS 180-4) over the parts one after another. A new buffer. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const h = createHash('sha256')
  for (const p of parts) h.update(p)
  return plain(h.digest())
}

/** HMAC-SHA-256 (RFC 2104) over the parts one after another. A new buffer. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const h = createHmac('sha256', key)
  for (const p of parts) h.update(p)
  return plain(h.digest())
}
