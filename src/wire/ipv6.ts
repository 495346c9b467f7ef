// The IPv6 header and its extension headers, RFC 8200. Offsets in, numbers out, nothing allocated. Unless said otherwise
// the caller has checked that IPV6_HEADER_LEN octets follow `at`.
//
//  | version (4 bits), traffic class (8), flow label (20) |
//  | payload length (2) | next header | hop limit |
//  | source (16) | destination (16) |

export const IPV6_HEADER_LEN = 40
/** Without jumbograms, which no tunnel can carry. */
export const IPV6_TOTAL_MAX = IPV6_HEADER_LEN + 65_535

/** Offsets of addresses from the start of the header. */
export const IPV6_SOURCE = 8
export const IPV6_DESTINATION = 24

/** Extension headers that are walked over (RFC 8200 section 4.1). */
export const HOP_BY_HOP = 0
export const ROUTING = 43
export const FRAGMENT = 44
export const DESTINATION_OPTIONS = 60

export const ipv6TrafficClass = (b: Uint8Array, at: number): number =>
  ((b[at]! & 0x0f) << 4) | (b[at + 1]! >>> 4)
export const ipv6PayloadLength = (b: Uint8Array, at: number): number => (b[at + 4]! << 8) | b[at + 5]!
export const ipv6NextHeader = (b: Uint8Array, at: number): number => b[at + 6]!
export const ipv6HopLimit = (b: Uint8Array, at: number): number => b[at + 7]!

export function setIpv6TrafficClass(b: Uint8Array, at: number, trafficClass: number): void {
  b[at] = (b[at]! & 0xf0) | (trafficClass >>> 4)
  b[at + 1] = (b[at + 1]! & 0x0f) | ((trafficClass & 0x0f) << 4)
}

/** Octets of the hop-by-hop, routing or destination options header at `at`, of which two octets are there. */
export const extensionLength = (b: Uint8Array, at: number): number => (b[at + 1]! + 1) << 3

// What ipv6UpperLayer returns is one number, so that nothing is allocated.

/** Set for a fragment of a larger packet. An atomic fragment (RFC 6946) is a whole packet. */
export const UPPER_FRAGMENT = 1 << 25
/** Set for a fragment that is not the first one: no upper-layer header stands at the offset. */
export const UPPER_LATER_FRAGMENT = 1 << 26
/** Protocol number of the upper layer. */
export const upperProtocol = (upper: number): number => upper & 0xff
/** Its offset from the start of the IPv6 header. */
export const upperOffset = (upper: number): number => (upper >>> 8) & 0x1ffff

/**
 * Walks the extension headers to the upper layer; ESP, AH, "no next header" and unknown numbers are upper layers here.
 * @param length octets of the whole packet, at least IPV6_HEADER_LEN
 * @returns protocol and offset packed together with the UPPER_ flags, or -1 when a header does not fit the packet
 */
export function ipv6UpperLayer(b: Uint8Array, at: number, length: number): number {
  let next = b[at + 6]!
  let offset = IPV6_HEADER_LEN
  let flags = 0
  // Every turn moves 8 octets or more, so the loop ends with the packet.
  while (next === HOP_BY_HOP || next === ROUTING || next === FRAGMENT || next === DESTINATION_OPTIONS) {
    const header = at + offset
    if (offset + 8 > length) return -1
    if (next === FRAGMENT) {
      const word = (b[header + 2]! << 8) | b[header + 3]!
      if ((word & 0xfff9) !== 0) flags |= UPPER_FRAGMENT
      if ((word & 0xfff8) !== 0) flags |= UPPER_LATER_FRAGMENT
      offset += 8
    } else offset += extensionLength(b, header)
    if (offset > length) return -1
    next = b[header]!
    if ((flags & UPPER_LATER_FRAGMENT) !== 0) break
  }
  return flags | (offset << 8) | next
}
