import { Reader } from '../../bytes/reader.js'
import { WireError } from '../../errors.js'

// The ISAKMP header (RFC 2408 section 3.1), which IKEv2 keeps (RFC 7296 section 3.1) and the pre-phase borrows.
//
//  |                 initiator cookie / SPI (8)                |
//  |                 responder cookie / SPI (8)                |
//  | next payload | version | exchange type | flags |
//  |            message ID (4)   |   length of all (4)         |

export const IKE_HEADER_LEN = 28
/** Largest IKE message we make or take; UDP would allow 65 507 octets. */
export const IKE_MESSAGE_MAX = 16_384
export const IKE_PORT = 500
/** IKE behind a NAT, and UDP-encapsulated ESP (RFC 3947, RFC 3948). */
export const NAT_T_PORT = 4500
/** RFC 3948 section 2.2: four zero octets stand before an IKE message on port 4500. */
export const NON_ESP_MARKER_LEN = 4

export const EXCHANGE = {
  MAIN_MODE: 2,
  AGGRESSIVE: 4,
  INFORMATIONAL_V1: 5,
  QUICK_MODE: 32,
  IKE_SA_INIT: 34,
  IKE_AUTH: 35,
  CREATE_CHILD_SA: 36,
  INFORMATIONAL: 37,
  IKE_INTERMEDIATE: 43,
  IKE_FOLLOWUP_KE: 44,
  /** Private-use range of both versions: the dynamic-PSK pre-phase. */
  PREPHASE: 241,
} as const

export const VERSION_1 = 0x10
export const VERSION_2 = 0x20

export interface IkeHeader {
  /** 8 octets each. */
  readonly initiatorSpi: Uint8Array
  readonly responderSpi: Uint8Array
  /** Type of the first payload. */
  readonly nextPayload: number
  /** Major version in the high four bits. */
  readonly version: number
  readonly exchange: number
  readonly flags: number
  readonly messageId: number
  /** Octets of the whole message, header included. */
  readonly length: number
}

/**
 * @param message a datagram without its non-ESP marker; the result aliases it.
 * @throws WireError when it is shorter than a header or its length field is not the datagram's length.
 */
export function parseIkeHeader(message: Uint8Array): IkeHeader {
  const r = new Reader(message)
  const header: IkeHeader = {
    initiatorSpi: r.take(8, 'header.initiatorSpi'),
    responderSpi: r.take(8, 'header.responderSpi'),
    nextPayload: r.u8('header.nextPayload'),
    version: r.u8('header.version'),
    exchange: r.u8('header.exchange'),
    flags: r.u8('header.flags'),
    messageId: r.u32('header.messageId'),
    length: r.u32('header.length'),
  }
  if (header.length !== message.length) {
    throw new WireError('header.length', 24, `says ${header.length}, the datagram has ${message.length}`)
  }
  if (message.length > IKE_MESSAGE_MAX) throw new WireError('header.length', 24, `above ${IKE_MESSAGE_MAX}`)
  return header
}

/** Writes the 28 octets at out[at]. */
export function emitIkeHeader(h: IkeHeader, out: Uint8Array, at: number): void {
  out.set(h.initiatorSpi, at)
  out.set(h.responderSpi, at + 8)
  out[at + 16] = h.nextPayload
  out[at + 17] = h.version
  out[at + 18] = h.exchange
  out[at + 19] = h.flags
  const view = new DataView(out.buffer, out.byteOffset)
  view.setUint32(at + 20, h.messageId)
  view.setUint32(at + 24, h.length)
}
