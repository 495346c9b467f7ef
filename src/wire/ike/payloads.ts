import { Reader } from '../../bytes/reader.js'
import { Writer } from '../../bytes/writer.js'
import { WireError } from '../../errors.js'
import { emitIkeHeader, IKE_HEADER_LEN, type IkeHeader } from './header.js'

// The chain of generic payloads (RFC 2408 section 3.2, RFC 7296 section 3.2).
//
//  | next payload | C RESERVED | payload length (2), these four octets included |

export const PAYLOAD_HEADER_LEN = 4
/** More payloads than any message of ours or of a known peer has. */
export const PAYLOADS_MAX = 64

export interface Payload {
  readonly type: number
  /** IKEv2's critical bit; no meaning in IKEv1. */
  readonly critical: boolean
  /** Without the generic header; aliases the message. */
  readonly body: Uint8Array
}

/**
 * Splits a payload chain.
 * @param bytes the octets from the first payload's generic header on; octets after the last payload are ignored, as
 *   IKEv1 pads an encrypted message with zeros.
 * @param first type of the first payload (0 = none)
 * @throws WireError on a length that does not fit, or too many payloads
 */
export function parsePayloads(bytes: Uint8Array, first: number): Payload[] {
  const r = new Reader(bytes)
  const out: Payload[] = []
  for (let type = first; type !== 0; ) {
    if (out.length === PAYLOADS_MAX) throw new WireError('payloads', r.at, `more than ${PAYLOADS_MAX}`)
    const next = r.u8('payload.next')
    const critical = (r.u8('payload.flags') & 0x80) !== 0
    const length = r.u16('payload.length')
    if (length < PAYLOAD_HEADER_LEN) throw new WireError('payload.length', r.at - 2, `${length} is below 4`)
    out.push({ type, critical, body: r.take(length - PAYLOAD_HEADER_LEN, `payload ${type}`) })
    type = next
  }
  return out
}

export type PayloadInit = { readonly type: number; readonly body: Uint8Array; readonly critical?: boolean }

/** The chain's octets; its first type is payloads[0].type. */
export function emitPayloads(payloads: readonly PayloadInit[]): Uint8Array {
  const w = new Writer()
  for (const [i, p] of payloads.entries()) {
    w.u8(payloads[i + 1]?.type ?? 0)
      .u8(p.critical ? 0x80 : 0)
      .u16(p.body.length + PAYLOAD_HEADER_LEN)
      .bytes(p.body)
  }
  return w.finish()
}

/** A whole message in the clear: the header with nextPayload and length filled in, then the chain. */
export function emitMessage(
  header: Omit<IkeHeader, 'nextPayload' | 'length'>,
  payloads: readonly PayloadInit[],
): Uint8Array {
  const chain = emitPayloads(payloads)
  const out = new Uint8Array(IKE_HEADER_LEN + chain.length)
  emitIkeHeader({ ...header, nextPayload: payloads[0]?.type ?? 0, length: out.length }, out, 0)
  out.set(chain, IKE_HEADER_LEN)
  return out
}
