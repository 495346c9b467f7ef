import { fold, updateChecksum } from '../bytes/checksum.js'

// The IPv4 header, RFC 791. Offsets in, numbers out, nothing allocated. Unless said otherwise the caller has checked that
// IPV4_HEADER_LEN octets follow `at`.
//
//  | version, IHL | DSCP, ECN | total length (2) |
//  | identification (2)       | flags, fragment offset (2) |
//  | TTL | protocol           | header checksum (2) |
//  | source (4) | destination (4) | options, 0 to 40 octets |

export const IPV4_HEADER_LEN = 20
export const IPV4_HEADER_MAX = 60
export const IPV4_TOTAL_MAX = 65_535

export const IPV4_DF = 0x4000
export const IPV4_MF = 0x2000
/** In units of 8 octets. */
export const IPV4_OFFSET_MASK = 0x1fff

/** Offsets of addresses from the start of the header. */
export const IPV4_SOURCE = 12
export const IPV4_DESTINATION = 16

/** 4 or 6 in a sound packet. One octet must be there. */
export const ipVersion = (b: Uint8Array, at: number): number => b[at]! >>> 4
/** Octets of the header, options included; below 20 in an unsound one. */
export const ipv4HeaderLength = (b: Uint8Array, at: number): number => (b[at]! & 0x0f) << 2
/** DSCP and ECN. */
export const ipv4Tos = (b: Uint8Array, at: number): number => b[at + 1]!
export const ipv4TotalLength = (b: Uint8Array, at: number): number => (b[at + 2]! << 8) | b[at + 3]!
export const ipv4Identification = (b: Uint8Array, at: number): number => (b[at + 4]! << 8) | b[at + 5]!
/** Flags and fragment offset as one word. */
export const ipv4Fragment = (b: Uint8Array, at: number): number => (b[at + 6]! << 8) | b[at + 7]!
export const ipv4Ttl = (b: Uint8Array, at: number): number => b[at + 8]!
export const ipv4Protocol = (b: Uint8Array, at: number): number => b[at + 9]!
export const ipv4Checksum = (b: Uint8Array, at: number): number => (b[at + 10]! << 8) | b[at + 11]!

/** True for any fragment of a larger packet, the first one included. */
export const ipv4IsFragment = (b: Uint8Array, at: number): boolean =>
  (ipv4Fragment(b, at) & (IPV4_MF | IPV4_OFFSET_MASK)) !== 0

/** Writes a 16-bit field in network order. */
export function putU16(b: Uint8Array, at: number, v: number): void {
  b[at] = v >>> 8
  b[at + 1] = v
}

/** Computes and writes the header checksum. The caller has checked the header length. */
export function writeIpv4Checksum(b: Uint8Array, at: number): void {
  let sum = 0
  const end = at + ipv4HeaderLength(b, at)
  for (let i = at; i < end; i += 2) sum += (b[i]! << 8) | b[i + 1]!
  sum -= ipv4Checksum(b, at)
  putU16(b, at + 10, ~fold(sum) & 0xffff)
}

/** True when the header checksum is right. The caller has checked the header length. */
export function ipv4ChecksumHolds(b: Uint8Array, at: number): boolean {
  let sum = 0
  const end = at + ipv4HeaderLength(b, at)
  for (let i = at; i < end; i += 2) sum += (b[i]! << 8) | b[i + 1]!
  return fold(sum) === 0xffff
}

/** Sets DSCP and ECN and adjusts the checksum (RFC 1624). */
export function setIpv4Tos(b: Uint8Array, at: number, tos: number): void {
  const before = (b[at]! << 8) | b[at + 1]!
  b[at + 1] = tos
  putU16(b, at + 10, updateChecksum(ipv4Checksum(b, at), before, (before & 0xff00) | tos))
}

/** Sets total length and protocol and adjusts the checksum (RFC 1624). */
export function setIpv4LengthAndProtocol(b: Uint8Array, at: number, length: number, protocol: number): void {
  const ttl = b[at + 8]! << 8
  const c = updateChecksum(ipv4Checksum(b, at), ipv4TotalLength(b, at), length)
  putU16(b, at + 10, updateChecksum(c, ttl | b[at + 9]!, ttl | protocol))
  putU16(b, at + 2, length)
  b[at + 9] = protocol
}
