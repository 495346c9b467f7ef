import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { wipe } from '../bytes/octets.js'
import { InternalError, ProtocolError } from '../errors.js'
import { KE } from './algorithms.js'
import { generateKeyShare, type KeyShare } from './key-exchange.js'

// ML-KEM-768 (FIPS 203) as a key exchange of IKE: the initiator sends an encapsulation key, the responder a ciphertext.

export const ML_KEM_768_PUBLIC = 1184
export const ML_KEM_768_CIPHERTEXT = 1088
export const ML_KEM_768_SECRET = 32

const refuse = (why: string): ProtocolError =>
  new ProtocolError('INVALID_KEY_INFORMATION', `ML-KEM-768: ${why}`)

/**
 * The initiator's end. `computeSecret` takes the responder's ciphertext; one that was made for another key gives another secret
 * (FIPS 203 section 6.3), which AUTH finds out.
 * @param seed 64 octets, d and z: for test vectors only
 */
export function mlKemShare(seed?: Uint8Array): KeyShare {
  const { publicKey, secretKey } = ml_kem768.keygen(seed)
  let destroyed = false
  return {
    group: KE.ML_KEM_768,
    publicValue: publicKey,
    computeSecret(ciphertext) {
      if (destroyed) throw new InternalError('key share used after it was destroyed')
      if (ciphertext.length !== ML_KEM_768_CIPHERTEXT)
        throw refuse(`${ciphertext.length} octets of ciphertext`)
      return ml_kem768.decapsulate(ciphertext, secretKey)
    },
    destroy() {
      wipe(secretKey)
      destroyed = true
    },
  }
}

/**
 * The responder's end.
 * @param publicKey the initiator's encapsulation key @param message 32 octets: for test vectors only
 * @returns ciphertext to send, and secret, which the caller wipes
 * @throws ProtocolError when it is no encapsulation key (FIPS 203 section 7.2)
 */
export function mlKemAnswer(
  publicKey: Uint8Array,
  message?: Uint8Array,
): { ciphertext: Uint8Array; secret: Uint8Array } {
  if (publicKey.length !== ML_KEM_768_PUBLIC) throw refuse(`${publicKey.length} octets of encapsulation key`)
  try {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, message)
    return { ciphertext: cipherText, secret: sharedSecret }
  } catch {
    throw refuse('no encapsulation key')
  }
}

/** An ephemeral share for any key exchange: what its initiator sends, and for Diffie-Hellman the responder as well. */
export const keyShareFor = (method: number): KeyShare =>
  method === KE.ML_KEM_768 ? mlKemShare() : generateKeyShare(method)
