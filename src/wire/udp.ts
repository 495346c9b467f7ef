import { putU16 } from './ipv4.js'

// The UDP header, RFC 768, and what shares port 4500 with encapsulated ESP, RFC 3948.
//
//  | source port (2) | destination port (2) | length (2) | checksum (2) |

export { UDP } from './ip-protocol.js'
export const UDP_HEADER_LEN = 8
/** Port of encapsulated ESP and of IKE behind a NAT (RFC 3948 section 2). */
export const NATT_PORT = 4500

export const udpSourcePort = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!
export const udpDestinationPort = (b: Uint8Array, at: number): number => (b[at + 2]! << 8) | b[at + 3]!
export const udpLength = (b: Uint8Array, at: number): number => (b[at + 4]! << 8) | b[at + 5]!
export const udpChecksum = (b: Uint8Array, at: number): number => (b[at + 6]! << 8) | b[at + 7]!

/** @param length octets of header and payload */
export function writeUdpHeader(
  b: Uint8Array,
  at: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
  checksum: number,
): void {
  putU16(b, at, sourcePort)
  putU16(b, at + 2, destinationPort)
  putU16(b, at + 4, length)
  putU16(b, at + 6, checksum)
}

/** What a datagram on port 4500 is (RFC 3948 section 2). */
export const NATT = { ESP: 0, IKE: 1, KEEPALIVE: 2, RUNT: 3 } as const
export type NattKind = (typeof NATT)[keyof typeof NATT]

/** @param length octets of UDP payload at `at` */
export function nattKind(b: Uint8Array, at: number, length: number): NattKind {
  if (length === 1 && b[at] === 0xff) return NATT.KEEPALIVE
  if (length < 4) return NATT.RUNT
  return (b[at]! | b[at + 1]! | b[at + 2]! | b[at + 3]!) === 0 ? NATT.IKE : NATT.ESP
}
