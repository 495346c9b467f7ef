import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { concat, wipe } from '../bytes/octets.js'
import { InternalError } from '../errors.js'
import { aesCbcDecrypt, aesCbcEncrypt } from './aes-cbc.js'
import { ENCR, encryptionInfo, integrityInfo } from './algorithms.js'
import { cbcMac } from './cbc-mac.js'

// The ciphers over single buffers, by IANA ids: encrypted payloads of IKEv2 messages. Packets go through the engines.

interface Aead {
  readonly name: 'aes-128-gcm' | 'aes-128-ccm' | 'chacha20-poly1305'
  readonly authTagLength: number
}

function aeadOf(id: number, key: Uint8Array): Aead {
  const info = encryptionInfo(id)
  if (info?.kind !== 'aead' || !info.keyLengths.includes(key.length))
    throw new InternalError(`no AEAD ${id} with a key of ${key.length} octets`)
  const authTagLength = info.icvLength
  if (id === ENCR.CHACHA20_POLY1305) return { name: 'chacha20-poly1305', authTagLength }
  const mode = id === ENCR.AES_GCM_16 ? 'gcm' : 'ccm'
  // The three lengths differ in the name alone; node's types know each mode by one of them.
  return { name: `aes-${key.length * 8}-${mode}` as Aead['name'], authTagLength }
}

/**
 * Encrypts with an AEAD: AES-GCM-16, AES-CCM, ChaCha20-Poly1305.
 * @param id IANA ENCR id @param key without its salt @param nonce salt | IV
 * @returns ciphertext | ICV, a new buffer
 * @throws InternalError for another algorithm or key length
 */
export function sealAead(
  id: number,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const { name, authTagLength } = aeadOf(id, key)
  const cipher = createCipheriv(name as 'aes-128-ccm', key, nonce, { authTagLength })
  cipher.setAAD(aad, { plaintextLength: plaintext.length })
  const out = cipher.update(plaintext)
  cipher.final()
  return concat(out, cipher.getAuthTag())
}

/**
 * Verifies and decrypts what sealAead gives.
 * @returns the plaintext in a new buffer; undefined when the ICV is wrong
 * @throws InternalError for another algorithm or key length, or fewer octets than an ICV has: the caller has checked
 */
export function openAead(
  id: number,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const { name, authTagLength } = aeadOf(id, key)
  const length = sealed.length - authTagLength
  if (length < 0) throw new InternalError(`${sealed.length} octets have no ICV`)
  const decipher = createDecipheriv(name as 'aes-128-ccm', key, nonce, { authTagLength })
  decipher.setAuthTag(sealed.subarray(length))
  decipher.setAAD(aad, { plaintextLength: length })
  try {
    const out = decipher.update(sealed.subarray(0, length))
    decipher.final()
    return new Uint8Array(out)
  } catch {
    return undefined
  }
}

/**
 * A cipher without integrity of its own: AES-CBC (a multiple of 16 octets), AES-CTR (RFC 5930).
 * @param key with the nonce behind it for CTR @param iv as on the wire
 * @returns as many octets as `data` has, in a new buffer
 */
export function runCipher(
  id: number,
  direction: 'encrypt' | 'decrypt',
  key: Uint8Array,
  iv: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  if (id === ENCR.AES_CBC) return (direction === 'encrypt' ? aesCbcEncrypt : aesCbcDecrypt)(key, iv, data)
  if (id !== ENCR.AES_CTR) throw new InternalError(`no cipher ${id} for messages`)
  const aes = key.subarray(0, key.length - 4)
  const counter = concat(key.subarray(key.length - 4), iv, Uint8Array.of(0, 0, 0, 1))
  const cipher = createCipheriv(`aes-${aes.length * 8}-ctr`, aes, counter)
  return new Uint8Array(cipher.update(data))
}

/** The ICV of an integrity algorithm over the parts one after another: an HMAC cut to its length, AES-XCBC-96, AES-CMAC-96. */
export function messageIcv(id: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const info = integrityInfo(id)
  if (info?.kind === 'hmac' && info.hash !== undefined) {
    const h = createHmac(info.hash, key)
    for (const p of parts) h.update(p)
    return new Uint8Array(h.digest().subarray(0, info.icvLength))
  }
  if (info?.kind !== 'cbc-mac') throw new InternalError(`no integrity algorithm ${id} for messages`)
  const whole = concat(...parts)
  const mac = cbcMac(id, key, whole)
  wipe(whole)
  return mac.slice(0, info.icvLength)
}
