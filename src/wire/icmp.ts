import { onesComplementSum } from '../bytes/checksum.js'
import type { IpPacket } from './ip-packet.js'
import { ICMP, ICMPV6 } from './ip-protocol.js'
import { IPV4_DESTINATION, IPV4_HEADER_LEN, IPV4_SOURCE, putU16, writeIpv4Checksum } from './ipv4.js'
import { IPV6_DESTINATION, IPV6_HEADER_LEN, IPV6_SOURCE } from './ipv6.js'

// "Too big": ICMP destination unreachable, fragmentation needed (RFC 792, RFC 1191 section 4), and ICMPv6 packet too big
// (RFC 4443 section 3.2).
//
//  | type | code | checksum (2) | ICMP: unused (2), MTU (2); ICMPv6: MTU (4) | the packet that was too big, as far as it fits |

export const ICMP_HEADER_LEN = 8
const UNREACHABLE = 3
const FRAGMENTATION_NEEDED = 4
const PACKET_TOO_BIG = 2
const ECHO_REPLY = 0
const ECHO = 8
const TTL = 64
/** RFC 1812 section 4.3.2.3: an ICMP error with its IP header has 576 octets at most. */
const ERROR_MAX_V4 = 576
/** RFC 4443 section 2.4 (c): it fits the smallest MTU of IPv6. */
const ERROR_MAX_V6 = 1280

/** Largest packet that the two writers make. */
export const TOO_BIG_MAX = ERROR_MAX_V6

/** Whether an ICMP message says that a packet was too big, and not that it could not be delivered for another reason. */
export const isTooBig = (b: Uint8Array, at: number): boolean =>
  b[at] === UNREACHABLE && b[at + 1] === FRAGMENTATION_NEEDED

/**
 * The MTU that an ICMP message tells; 0 when it is not about a packet that was too big, or is cut short. Four bits of an
 * old router's zero are zero as well (RFC 1191 section 5 lets one guess then; we do not).
 * @param at the ICMP header, behind the IP header; `length` octets from there on
 */
export function icmpTooBig(b: Uint8Array, at: number, length: number): number {
  if (length < ICMP_HEADER_LEN || !isTooBig(b, at)) return 0
  return (b[at + 6]! << 8) | b[at + 7]!
}

/** The same for ICMPv6. An MTU above 65535 is as good as 65535. */
export function icmpv6TooBig(b: Uint8Array, at: number, length: number): number {
  if (length < ICMP_HEADER_LEN || b[at] !== PACKET_TOO_BIG) return 0
  if (b[at + 4] !== 0 || b[at + 5] !== 0) return 0xffff
  return (b[at + 6]! << 8) | b[at + 7]!
}

/**
 * Writes an IPv4 packet that tells the sender of the packet at `quoted` that it was too big. It comes from where that packet
 * went to: of all addresses that one is routed to the tunnel, so that no reverse-path filter objects.
 * @param quoted a whole IPv4 packet of `length` octets, its header checked, that does not overlap `at`
 * @param mtu largest packet that goes through
 * @returns octets written at `at`, at most 576
 */
export function writeTooBig(b: Uint8Array, at: number, quoted: number, length: number, mtu: number): number {
  const n = Math.min(length, ERROR_MAX_V4 - IPV4_HEADER_LEN - ICMP_HEADER_LEN)
  const total = IPV4_HEADER_LEN + ICMP_HEADER_LEN + n
  const icmp = at + IPV4_HEADER_LEN
  b.fill(0, at, icmp + ICMP_HEADER_LEN)
  b[at] = 0x45
  // RFC 1812 section 4.3.2.5: internetwork control.
  b[at + 1] = 0xc0
  putU16(b, at + 2, total)
  b[at + 8] = TTL
  b[at + 9] = ICMP
  b.copyWithin(at + IPV4_SOURCE, quoted + IPV4_DESTINATION, quoted + IPV4_DESTINATION + 4)
  b.copyWithin(at + IPV4_DESTINATION, quoted + IPV4_SOURCE, quoted + IPV4_SOURCE + 4)
  writeIpv4Checksum(b, at)
  b[icmp] = UNREACHABLE
  b[icmp + 1] = FRAGMENTATION_NEEDED
  putU16(b, icmp + 6, mtu)
  b.copyWithin(icmp + ICMP_HEADER_LEN, quoted, quoted + n)
  putU16(b, icmp + 2, ~onesComplementSum(b, icmp, ICMP_HEADER_LEN + n, 0) & 0xffff)
  return total
}

/** The same for IPv6. @returns octets written at `at`, at most 1280 */
export function writeTooBigV6(
  b: Uint8Array,
  at: number,
  quoted: number,
  length: number,
  mtu: number,
): number {
  const n = Math.min(length, ERROR_MAX_V6 - IPV6_HEADER_LEN - ICMP_HEADER_LEN)
  const payload = ICMP_HEADER_LEN + n
  const icmp = at + IPV6_HEADER_LEN
  b.fill(0, at, icmp + ICMP_HEADER_LEN)
  b[at] = 0x60
  putU16(b, at + 4, payload)
  b[at + 6] = ICMPV6
  b[at + 7] = TTL
  b.copyWithin(at + IPV6_SOURCE, quoted + IPV6_DESTINATION, quoted + IPV6_DESTINATION + 16)
  b.copyWithin(at + IPV6_DESTINATION, quoted + IPV6_SOURCE, quoted + IPV6_SOURCE + 16)
  b[icmp] = PACKET_TOO_BIG
  putU16(b, icmp + 6, mtu)
  b.copyWithin(icmp + ICMP_HEADER_LEN, quoted, quoted + n)
  const addresses = onesComplementSum(b, at + IPV6_SOURCE, 32, 0)
  putU16(b, icmp + 2, ~onesComplementSum(b, icmp, payload, addresses + payload + ICMPV6) & 0xffff)
  return IPV6_HEADER_LEN + payload
}

/**
 * Whether an error may be told about the packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)): no fragment but the first, no
 * ICMP error itself, and from one host to one host, as the answer's source is where the packet went to.
 * @param p the packet at `at`, parsed
 */
export function mayBeTold(b: Uint8Array, at: number, p: IpPacket): boolean {
  const upper = at + p.headerLength
  const type = p.headerLength < p.length ? b[upper]! : 0
  if (p.version === 6) {
    const unicast = b[p.destinationAt] !== 0xff && b[p.sourceAt] !== 0xff && !isZero(b, p.sourceAt, 16)
    // Types below 128 are errors.
    return unicast && (p.protocol !== ICMPV6 || type >= 128)
  }
  if ((b[at + 6]! & 0x1f) !== 0 || b[at + 7] !== 0) return false
  // Class D is multicast, E and the broadcast address lie behind it; 127 is this host's own.
  const [from, to] = [b[p.sourceAt]!, b[p.destinationAt]!]
  if (from === 0 || from === 127 || from >= 224 || to === 0 || to >= 224) return false
  return p.protocol !== ICMP || type === ECHO_REPLY || type === ECHO
}

function isZero(b: Uint8Array, at: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (b[at + i] !== 0) return false
  return true
}
