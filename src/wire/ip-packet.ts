import { DCCP, ICMP, ICMPV6, MOBILITY, SCTP, TCP, UDP, UDP_LITE } from './ip-protocol.js'
import {
  IPV4_DESTINATION,
  IPV4_HEADER_LEN,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  IPV4_SOURCE,
  ipVersion,
  ipv4Fragment,
  ipv4HeaderLength,
  ipv4TotalLength,
} from './ipv4.js'
import {
  IPV6_DESTINATION,
  IPV6_HEADER_LEN,
  IPV6_SOURCE,
  ipv6PayloadLength,
  ipv6TrafficClass,
  ipv6UpperLayer,
  UPPER_FRAGMENT,
  UPPER_LATER_FRAGMENT,
  upperOffset,
  upperProtocol,
} from './ipv6.js'

/** The packet has no such port, or it cannot be seen: only selectors for any port match. */
export const PORT_NONE = -1
/** The protocol has no port of this end at all: every selector matches (the receiver's end of ICMP). */
export const PORT_IGNORED = -2

/**
 * What policy needs to know of an IPv4 or IPv6 packet, filled by `parse`. One object serves any number of packets, one
 * after the other, and allocates nothing.
 */
export class IpPacket {
  version: 4 | 6 = 4
  /** Octets of the packet by its own length field; what follows is padding. */
  length = 0
  /** DSCP and ECN. */
  tos = 0
  /** Upper-layer protocol, behind all IPv6 extension headers. */
  protocol = 0
  /** Offset of the upper layer from the start of the packet. */
  headerLength = 0
  /** True for any fragment of a larger packet. */
  fragment = false
  /** Offsets of the addresses in the octets that were parsed. */
  sourceAt = 0
  destinationAt = 0
  /**
   * Ports, host order, PORT_NONE or PORT_IGNORED. For ICMP, ICMPv6 and Mobility Header the sender's end has type * 256 +
   * code and the receiver's end has nothing (RFC 4301 section 4.4.1.1, RFC 7296 section 3.13.1).
   */
  sourcePort = PORT_NONE
  destinationPort = PORT_NONE

  /**
   * Reads the packet at `at`, of which `available` octets are there.
   * @returns false when it is no whole IP packet: version, header length, total length, extension headers. The header
   *   checksum is the receiving kernel's business.
   */
  parse(b: Uint8Array, at: number, available: number): boolean {
    if (available < IPV4_HEADER_LEN) return false
    const version = ipVersion(b, at)
    if (version === 4) return this.parseIpv4(b, at, available)
    return version === 6 && this.parseIpv6(b, at, available)
  }

  private parseIpv4(b: Uint8Array, at: number, available: number): boolean {
    const headerLength = ipv4HeaderLength(b, at)
    const length = ipv4TotalLength(b, at)
    if (headerLength < IPV4_HEADER_LEN || length < headerLength || length > available) return false
    const fragment = ipv4Fragment(b, at) & (IPV4_MF | IPV4_OFFSET_MASK)
    this.version = 4
    this.length = length
    this.tos = b[at + 1]!
    this.protocol = b[at + 9]!
    this.headerLength = headerLength
    this.fragment = fragment !== 0
    this.sourceAt = at + IPV4_SOURCE
    this.destinationAt = at + IPV4_DESTINATION
    this.readPorts(b, at, (fragment & IPV4_OFFSET_MASK) !== 0)
    return true
  }

  private parseIpv6(b: Uint8Array, at: number, available: number): boolean {
    if (available < IPV6_HEADER_LEN) return false
    const length = IPV6_HEADER_LEN + ipv6PayloadLength(b, at)
    if (length > available) return false
    const upper = ipv6UpperLayer(b, at, length)
    if (upper < 0) return false
    this.version = 6
    this.length = length
    this.tos = ipv6TrafficClass(b, at)
    this.protocol = upperProtocol(upper)
    this.headerLength = upperOffset(upper)
    this.fragment = (upper & UPPER_FRAGMENT) !== 0
    this.sourceAt = at + IPV6_SOURCE
    this.destinationAt = at + IPV6_DESTINATION
    this.readPorts(b, at, (upper & UPPER_LATER_FRAGMENT) !== 0)
    return true
  }

  private readPorts(b: Uint8Array, at: number, laterFragment: boolean): void {
    this.sourcePort = PORT_NONE
    this.destinationPort = PORT_NONE
    const upper = at + this.headerLength
    if (laterFragment || this.length < this.headerLength + 4) return
    switch (this.protocol) {
      case TCP:
      case UDP:
      case SCTP:
      case DCCP:
      case UDP_LITE:
        this.sourcePort = (b[upper]! << 8) | b[upper + 1]!
        this.destinationPort = (b[upper + 2]! << 8) | b[upper + 3]!
        return
      case ICMP:
      case ICMPV6:
        this.sourcePort = (b[upper]! << 8) | b[upper + 1]!
        this.destinationPort = PORT_IGNORED
        return
      case MOBILITY:
        this.sourcePort = b[upper + 2]! << 8 // MH Type, RFC 6275 section 6.1.1
        this.destinationPort = PORT_IGNORED
    }
  }
}
