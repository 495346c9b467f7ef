import { Reader } from '../../../bytes/reader.js'
import { WireError } from '../../../errors.js'
import { emitIkeHeader, IKE_HEADER_LEN, type IkeHeader } from '../header.js'
import { PAYLOAD_HEADER_LEN } from '../payloads.js'
import { PAYLOAD } from './numbers.js'

// The encrypted payloads.
//
//  SK  (RFC 7296 section 3.14): | generic header | IV | ciphertext of (payloads, padding, pad length) | ICV |
//  SKF (RFC 7383 section 2.5):  | generic header | fragment (2) | of (2) | IV | ciphertext ... | ICV |

/** Fragment number and count of an SKF payload. */
const FRAGMENT_FIELDS_LEN = 4

/** Octets of a cipher's framing. */
export interface SealedLengths {
  readonly iv: number
  /** The plaintext is a multiple of it; 1 for AEADs. */
  readonly block: number
  readonly icv: number
}

/** Fragment number and count. */
export interface FragmentPlace {
  readonly number: number
  readonly total: number
}

/** Where the parts of a message's encrypted payload are; offsets in the message. */
export interface SealedLayout {
  /** What an AEAD authenticates besides: from the header to here (RFC 5282 section 5.1). */
  readonly aadEnd: number
  readonly iv: number
  readonly ciphertext: number
  readonly icv: number
  readonly end: number
}

/**
 * @param at offset of the encrypted payload's generic header @param end of the message
 * @throws WireError when it is too short, or its ciphertext no multiple of the block
 */
export function layoutOf(at: number, end: number, fragment: boolean, l: SealedLengths): SealedLayout {
  const aadEnd = at + PAYLOAD_HEADER_LEN + (fragment ? FRAGMENT_FIELDS_LEN : 0)
  const ciphertext = aadEnd + l.iv
  const icv = end - l.icv
  const octets = icv - ciphertext
  // At least the pad length.
  if (octets < 1) throw new WireError('SK', at, `${end - at} octets are too few for its IV and ICV`)
  if (octets % l.block !== 0)
    throw new WireError('SK.ciphertext', ciphertext, `${octets} octets are no whole blocks`)
  return { aadEnd, iv: aadEnd, ciphertext, icv, end }
}

/** Octets of a message with an SK payload that has `chain` octets of payloads inside. */
export const sealedLength = (chain: number, l: SealedLengths): number =>
  IKE_HEADER_LEN + PAYLOAD_HEADER_LEN + l.iv + Math.ceil((chain + 1) / l.block) * l.block + l.icv

/** Octets of payloads that fit into a fragment of `size` octets, header included; at least 1, whatever the size. */
export function fragmentCapacity(size: number, l: SealedLengths): number {
  const room = size - IKE_HEADER_LEN - PAYLOAD_HEADER_LEN - FRAGMENT_FIELDS_LEN - l.iv - l.icv
  return Math.max(1, Math.floor(room / l.block) * l.block - 1)
}

/** The numbers in front of a fragment's IV. @throws WireError */
export function parseFragmentPlace(body: Uint8Array): FragmentPlace {
  const r = new Reader(body)
  const number = r.u16('SKF.number')
  const total = r.u16('SKF.total')
  if (number === 0 || number > total) throw new WireError('SKF.number', 0, `${number} of ${total}`)
  return { number, total }
}

/** Takes padding and pad length away; aliases. @throws WireError when the pad length is beyond the plaintext */
export function unpad(plaintext: Uint8Array): Uint8Array {
  const last = plaintext[plaintext.length - 1]
  if (last === undefined || last + 1 > plaintext.length)
    throw new WireError(
      'SK.padLength',
      plaintext.length - 1,
      `${last ?? 'none'} in ${plaintext.length} octets`,
    )
  return plaintext.subarray(0, plaintext.length - last - 1)
}

/** The payloads with their padding: as few octets as the block asks for. */
export function pad(chain: Uint8Array, block: number): Uint8Array {
  const length = Math.ceil((chain.length + 1) / block) * block
  const out = new Uint8Array(length)
  out.set(chain)
  out[length - 1] = length - chain.length - 1
  return out
}

/**
 * A message whose only payload is an encrypted one: header, generic header and fragment numbers are written, the rest is
 * zero and the caller's to fill.
 * @param first type of the first payload inside
 * @param plaintext octets of it, padding included
 */
export function emptySealed(
  header: Omit<IkeHeader, 'nextPayload' | 'length'>,
  first: number,
  plaintext: number,
  l: SealedLengths,
  fragment?: FragmentPlace,
): { message: Uint8Array; layout: SealedLayout } {
  const head = PAYLOAD_HEADER_LEN + (fragment === undefined ? 0 : FRAGMENT_FIELDS_LEN)
  const message = new Uint8Array(IKE_HEADER_LEN + head + l.iv + plaintext + l.icv)
  const type = fragment === undefined ? PAYLOAD.SK : PAYLOAD.SKF
  emitIkeHeader({ ...header, nextPayload: type, length: message.length }, message, 0)
  const view = new DataView(message.buffer)
  message[IKE_HEADER_LEN] = first
  view.setUint16(IKE_HEADER_LEN + 2, message.length - IKE_HEADER_LEN)
  if (fragment !== undefined) {
    view.setUint16(IKE_HEADER_LEN + 4, fragment.number)
    view.setUint16(IKE_HEADER_LEN + 6, fragment.total)
  }
  return { message, layout: layoutOf(IKE_HEADER_LEN, message.length, fragment !== undefined, l) }
}
