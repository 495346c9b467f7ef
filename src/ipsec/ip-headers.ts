import { AH, ESP, UDP } from '../wire/ip-protocol.js'
import { ipv4HeaderLength } from '../wire/ipv4.js'
import {
  DESTINATION_OPTIONS,
  extensionLength,
  FRAGMENT,
  HOP_BY_HOP,
  IPV6_HEADER_LEN,
  ROUTING,
} from '../wire/ipv6.js'
import { DROP } from './drop.js'
import { SAVED_HEADERS_MAX } from './scratch.js'

// Where transport mode puts ESP and AH, where a receiver finds them, and what AH leaves out of its ICV.

/** Octets of IPv6 header and extension headers in front of ESP or AH; more are not taken. */
const HEADERS_MAX = SAVED_HEADERS_MAX
/** RFC 5095: deprecated, and refused. */
const ROUTING_TYPE_0 = 0

/** Offset of the header found, from the start of the packet. */
export const headersLength = (found: number): number => found >>> 16
/** Offset of the octet that holds its number: the next-header field in front of it. */
export const nextHeaderAt = (found: number): number => found & 0xffff

/**
 * Where ESP or AH goes into an IPv6 packet in transport mode: behind hop-by-hop, routing, and those destination options that are
 * in front of a routing header (RFC 4303 section 3.1.1, RFC 4302 section 3.1.1).
 * @param length octets of the packet
 * @returns headersLength and nextHeaderAt packed together, or a negative DROP code
 */
export function ipv6Insertion(b: Uint8Array, at: number, length: number): number {
  return walk(b, at, length, false)
}

/** Where ESP, AH or UDP is in a received IPv6 packet; the same result. */
export function ipv6FindIpsec(b: Uint8Array, at: number, length: number): number {
  const found = walk(b, at, length, true)
  if (found < 0) return found
  const protocol = b[at + nextHeaderAt(found)]!
  return protocol === ESP || protocol === AH || protocol === UDP ? found : DROP.NOT_IPSEC
}

function walk(b: Uint8Array, at: number, length: number, inbound: boolean): number {
  let field = 6
  let offset = IPV6_HEADER_LEN
  for (;;) {
    const next = b[at + field]!
    if (next === FRAGMENT) return inbound ? DROP.OUTER_FRAGMENT : DROP.FRAGMENT_IN_TRANSPORT
    if (next !== HOP_BY_HOP && next !== ROUTING && next !== DESTINATION_OPTIONS) break
    const header = at + offset
    if (offset + 8 > length) return inbound ? DROP.MALFORMED_OUTER : DROP.MALFORMED_INNER
    if (next === DESTINATION_OPTIONS && !inbound && b[header] !== ROUTING) break
    // A routing header that is not used up changes the destination on the way.
    if (next === ROUTING && (b[header + 2] === ROUTING_TYPE_0 || b[header + 3] !== 0))
      return DROP.UNSUPPORTED_HEADER
    field = offset
    offset += extensionLength(b, header)
    if (offset > length) return inbound ? DROP.MALFORMED_OUTER : DROP.MALFORMED_INNER
    if (offset > HEADERS_MAX) return DROP.UNSUPPORTED_HEADER
  }
  return (offset << 16) | field
}

/** IPv4 options that do not change on the way (RFC 4302 appendix A1): security labels, router alert, multi-destination delivery. */
const isImmutableOption = (type: number): boolean =>
  type === 130 || type === 133 || type === 134 || type === 148 || type === 149
const OPTION_END = 0
const OPTION_NOP = 1
const LOOSE_SOURCE_ROUTE = 131
const STRICT_SOURCE_ROUTE = 137

/**
 * Sets the mutable fields of an IPv4 header to zero, as the ICV of AH wants them (RFC 4302 section 3.3.3.1.1): TOS, flags and
 * fragment offset, TTL, checksum, and every option that may change.
 * @returns 0, or DROP.UNSUPPORTED_HEADER for options that do not parse or route the packet
 */
export function muteIpv4(b: Uint8Array, at: number): number {
  b[at + 1] = 0
  b[at + 6] = 0
  b[at + 7] = 0
  b[at + 8] = 0
  b[at + 10] = 0
  b[at + 11] = 0
  const end = at + ipv4HeaderLength(b, at)
  let i = at + 20
  while (i < end) {
    const type = b[i]!
    if (type === OPTION_END) break
    if (type === OPTION_NOP) {
      i++
      continue
    }
    if (i + 1 >= end) return DROP.UNSUPPORTED_HEADER
    const length = b[i + 1]!
    if (length < 2 || i + length > end) return DROP.UNSUPPORTED_HEADER
    if (type === LOOSE_SOURCE_ROUTE || type === STRICT_SOURCE_ROUTE) return DROP.UNSUPPORTED_HEADER
    if (!isImmutableOption(type)) b.fill(0, i, i + length)
    i += length
  }
  return 0
}

/** An IPv6 option whose data may change on the way (RFC 8200 section 4.2). */
const CHANGES_EN_ROUTE = 0x20
const OPTION_PAD1 = 0

/**
 * Sets the mutable fields of an IPv6 header and of the `headers - 40` octets of extension headers behind it to zero (RFC 4302
 * section 3.3.3.1.2): traffic class, flow label, hop limit, and the data of options that may change. Routing headers are used
 * up: as they are is how the receiver sees them.
 * @returns 0, or DROP.UNSUPPORTED_HEADER for options that do not parse
 */
export function muteIpv6(b: Uint8Array, at: number, headers: number): number {
  b[at] = 0x60
  b[at + 1] = 0
  b[at + 2] = 0
  b[at + 3] = 0
  b[at + 7] = 0
  let next = b[at + 6]!
  let header = at + IPV6_HEADER_LEN
  const end = at + headers
  while (header < end) {
    const after = header + extensionLength(b, header)
    if (next !== ROUTING) {
      let i = header + 2
      while (i < after) {
        if (b[i] === OPTION_PAD1) {
          i++
          continue
        }
        if (i + 1 >= after) return DROP.UNSUPPORTED_HEADER
        const data = i + 2
        const behind = data + b[i + 1]!
        if (behind > after) return DROP.UNSUPPORTED_HEADER
        if ((b[i]! & CHANGES_EN_ROUTE) !== 0) b.fill(0, data, behind)
        i = behind
      }
    }
    next = b[header]!
    header = after
  }
  return 0
}
