import { cbc, ctr } from '@noble/ciphers/aes.js'
import { equalSecret } from '../../bytes/octets.js'

// AES-CCM (RFC 3610) of @noble/ciphers' CBC and CTR: it has no CCM of its own. ESP has nonces of 11 octets, which leaves 4 for
// the length of the message (RFC 4309 section 4).

const BLOCK = 16
const ZERO_IV = new Uint8Array(BLOCK)
/** From here on RFC 3610 writes the length of the AAD otherwise. */
const AAD_MAX = 0xff00 - 1

interface Ccm {
  /** @returns ciphertext and ICV */
  encrypt(plain: Uint8Array): Uint8Array
  /** @throws Error for a wrong ICV */
  decrypt(sealed: Uint8Array): Uint8Array
}

/** @param icvLength octets: an even number from 4 to 16. Nonces have from 7 to 12 octets, or 13 for messages below 64 KiB */
export const ccm =
  (icvLength: number) =>
  (key: Uint8Array, nonce: Uint8Array, aad: Uint8Array): Ccm => {
    if (nonce.length < 7 || nonce.length > 13 || aad.length > AAD_MAX)
      throw new RangeError(`CCM with a nonce of ${nonce.length} octets and an AAD of ${aad.length}`)
    /** The key stream's block 0 hides the MAC; its others, the message. */
    const stream = (text: Uint8Array): Uint8Array => {
      const padded = new Uint8Array(BLOCK + text.length)
      padded.set(text, BLOCK)
      return ctr(key, firstCounter(nonce)).encrypt(padded)
    }
    const icvOf = (plain: Uint8Array, block0: Uint8Array): Uint8Array => {
      const chain = cbc(key, ZERO_IV, { disablePadding: true }).encrypt(
        macInput(nonce, aad, plain, icvLength),
      )
      return chain
        .slice(-BLOCK)
        .map((octet, i) => octet ^ block0[i]!)
        .subarray(0, icvLength)
    }
    return {
      encrypt(plain) {
        const out = stream(plain)
        const sealed = new Uint8Array(plain.length + icvLength)
        sealed.set(out.subarray(BLOCK))
        sealed.set(icvOf(plain, out.subarray(0, BLOCK)), plain.length)
        return sealed
      },
      decrypt(sealed) {
        const length = sealed.length - icvLength
        const out = stream(sealed.subarray(0, length))
        const plain = out.subarray(BLOCK)
        if (!equalSecret(icvOf(plain, out.subarray(0, BLOCK)), sealed.subarray(length)))
          throw new Error('invalid tag')
        return plain
      },
    }
  }

/** A_0 of RFC 3610 section 2.3: flags, nonce, counter. */
function firstCounter(nonce: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK)
  block[0] = lengthOctets(nonce) - 1
  block.set(nonce, 1)
  return block
}

/** B_0, the AAD behind its length, the message; each filled up with zeros to whole blocks (RFC 3610 section 2.2). */
function macInput(nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array, icvLength: number): Uint8Array {
  const aadRoom = aad.length === 0 ? 0 : whole(2 + aad.length)
  const input = new Uint8Array(BLOCK + aadRoom + whole(plain.length))
  const view = new DataView(input.buffer)
  input[0] = (aad.length === 0 ? 0 : 0x40) | (((icvLength - 2) / 2) << 3) | (lengthOctets(nonce) - 1)
  view.setUint32(12, plain.length)
  input.set(nonce, 1)
  if (aad.length > 0) {
    view.setUint16(BLOCK, aad.length)
    input.set(aad, BLOCK + 2)
  }
  input.set(plain, BLOCK + aadRoom)
  return input
}

/** What the nonce leaves in its block for the length of the message. */
const lengthOctets = (nonce: Uint8Array): number => BLOCK - 1 - nonce.length
const whole = (octets: number): number => Math.ceil(octets / BLOCK) * BLOCK
