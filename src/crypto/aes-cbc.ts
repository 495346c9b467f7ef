import { createCipheriv, createDecipheriv } from 'node:crypto'
import { InternalError } from '../errors.js'

// AES in CBC mode (RFC 3602) over single buffers: the bodies of ISAKMP messages. Packets go through the engines instead.

/** Octets of an AES block, and so of every IV. */
export const AES_BLOCK = 16

/**
 * Encrypts without padding.
 * @param key 16, 24 or 32 octets
 * @param iv 16 octets
 * @param data a multiple of 16 octets; not changed
 * @returns the ciphertext, as long as `data`
 * @throws InternalError for other lengths: the caller has padded
 */
export function aesCbcEncrypt(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  return run(createCipheriv(name(key, iv, data), key, iv).setAutoPadding(false), data)
}

/**
 * Decrypts without taking padding away. A wrong key gives other octets, and no error.
 * @param data a multiple of 16 octets; not changed
 * @returns the plaintext, which the caller wipes where it is secret
 * @throws InternalError for lengths that aesCbcEncrypt would refuse: the caller has checked what came from the wire
 */
export function aesCbcDecrypt(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  return run(createDecipheriv(name(key, iv, data), key, iv).setAutoPadding(false), data)
}

function name(key: Uint8Array, iv: Uint8Array, data: Uint8Array): string {
  if (![16, 24, 32].includes(key.length)) throw new InternalError(`no AES key has ${key.length} octets`)
  if (iv.length !== AES_BLOCK || data.length % AES_BLOCK !== 0)
    throw new InternalError(`AES-CBC with an IV of ${iv.length} octets over ${data.length} octets`)
  return `aes-${key.length * 8}-cbc`
}

/** Without padding the first call gives all octets; as a plain Uint8Array, because a Buffer's `slice` aliases. */
function run(cipher: ReturnType<typeof createCipheriv>, data: Uint8Array): Uint8Array {
  const out = cipher.update(data)
  cipher.final()
  return new Uint8Array(out.buffer, out.byteOffset, out.length)
}
