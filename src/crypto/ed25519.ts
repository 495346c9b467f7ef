import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { concat, equalOctets, fromHex, wipe } from '../bytes/octets.js'

// Ed25519 (RFC 8032), as IKEv2 signs with it (RFC 8420).

export const ED25519_KEY_LEN = 32
export const ED25519_SIGNATURE_LEN = 64
/** RFC 8410 section 7: what stands before the seed in PKCS #8, and before the point in SubjectPublicKeyInfo. */
const PKCS8_PREFIX = fromHex('302e020100300506032b657004220420')
const SPKI_PREFIX = fromHex('302a300506032b6570032100')

/** Length of a SubjectPublicKeyInfo. */
export const ED25519_SPKI_LEN = SPKI_PREFIX.length + ED25519_KEY_LEN

/** @param seed 32 octets @returns the public key, 32 octets */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  const der = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' })
  return new Uint8Array(der.subarray(SPKI_PREFIX.length))
}

/** A public key as DER, RFC 8410 section 4: what is in a PEM file, and in IKEv2's raw public keys. */
export const ed25519Spki = (publicKey: Uint8Array): Uint8Array => concat(SPKI_PREFIX, publicKey)

/** The 32 octets of a public key in DER; undefined for anything else. The result aliases it. */
export function ed25519FromSpki(der: Uint8Array): Uint8Array | undefined {
  if (der.length !== ED25519_SPKI_LEN) return undefined
  return equalOctets(der.subarray(0, SPKI_PREFIX.length), SPKI_PREFIX)
    ? der.subarray(SPKI_PREFIX.length)
    : undefined
}

/** @param seed 32 octets @returns the signature, 64 octets */
export function ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return new Uint8Array(sign(null, message, privateKey(seed)))
}

/** False for a public key or a signature of another length too. */
export function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== ED25519_KEY_LEN || signature.length !== ED25519_SIGNATURE_LEN) return false
  const der = ed25519Spki(publicKey)
  return verify(
    null,
    message,
    createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' }),
    signature,
  )
}

function privateKey(seed: Uint8Array): KeyObject {
  const der = Buffer.concat([PKCS8_PREFIX, seed])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  wipe(der)
  return key
}
