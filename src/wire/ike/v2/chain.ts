import { Reader } from '../../../bytes/reader.js'
import { WireError } from '../../../errors.js'
import { IKE_HEADER_LEN, type IkeHeader } from '../header.js'
import { PAYLOAD_HEADER_LEN, type Payload } from '../payloads.js'
import { PAYLOAD } from './numbers.js'

// The chain of payloads of an IKEv2 message, RFC 7296 section 3.2. An encrypted payload (SK, SKF) is the last one, and its
// "next payload" is the type of the first payload inside (RFC 7296 section 3.14, RFC 7383 section 2.5).

/** More payloads than any message that means something; a count too high costs the IKE SA, as a message that cannot be read. */
export const PAYLOADS_MAX = 256

export interface EncryptedPayload {
  readonly type: typeof PAYLOAD.SK | typeof PAYLOAD.SKF
  /** Offset of its generic header in the message. */
  readonly at: number
  /** Type of the first payload inside; 0 for none, and in every fragment but the first. */
  readonly first: number
  /** Without the generic header; aliases the message. */
  readonly body: Uint8Array
}

export interface Chain {
  /** In front of the encrypted one. */
  readonly payloads: readonly Payload[]
  readonly encrypted: EncryptedPayload | undefined
}

/**
 * Splits a whole message.
 * @param message header included; the result aliases it
 * @throws WireError on a length that does not fit, too many payloads, or octets behind the last one
 */
export function parseChain(header: IkeHeader, message: Uint8Array): Chain {
  const r = new Reader(message)
  r.take(IKE_HEADER_LEN, 'header')
  const payloads: Payload[] = []
  let encrypted: EncryptedPayload | undefined
  for (let type = header.nextPayload; type !== 0 && encrypted === undefined; ) {
    const at = r.at
    const p = next(r, type, payloads.length)
    if (type === PAYLOAD.SK || type === PAYLOAD.SKF) encrypted = { type, at, first: p.next, body: p.body }
    else payloads.push({ type, critical: p.critical, body: p.body })
    type = p.next
  }
  r.end('message')
  return { payloads, encrypted }
}

/**
 * Splits what an encrypted payload had inside, padding taken away.
 * @throws WireError, also for an encrypted payload inside an encrypted one
 */
export function parseInner(plaintext: Uint8Array, first: number): Payload[] {
  const r = new Reader(plaintext)
  const payloads: Payload[] = []
  for (let type = first; type !== 0; ) {
    if (type === PAYLOAD.SK || type === PAYLOAD.SKF)
      throw new WireError('payload.type', r.at, `${type} inside an encrypted payload`)
    const p = next(r, type, payloads.length)
    payloads.push({ type, critical: p.critical, body: p.body })
    type = p.next
  }
  r.end('payloads')
  return payloads
}

function next(r: Reader, type: number, before: number) {
  if (before === PAYLOADS_MAX) throw new WireError('payloads', r.at, `more than ${PAYLOADS_MAX}`)
  const following = r.u8('payload.next')
  const critical = (r.u8('payload.flags') & 0x80) !== 0
  const length = r.u16('payload.length')
  if (length < PAYLOAD_HEADER_LEN) throw new WireError('payload.length', r.at - 2, `${length} is below 4`)
  return { next: following, critical, body: r.take(length - PAYLOAD_HEADER_LEN, `payload ${type}`) }
}
