import { onesComplementSum } from '../bytes/checksum.js'
import { ICMP_HEADER_LEN } from './icmp.js'
import type { IpAddress } from './ip-address.js'
import { AH, ESP, UDP } from './ip-protocol.js'
import { IPV4_DESTINATION, IPV4_HEADER_LEN, IPV4_SOURCE, ipVersion, ipv4HeaderLength } from './ipv4.js'
import { IPV6_DESTINATION, IPV6_HEADER_LEN } from './ipv6.js'
import { udpDestinationPort } from './udp.js'

// "Destination unreachable" about what this host has sent to a peer: ICMP type 3 (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812
// section 5.2.7.1) and ICMPv6 types 1 and 4 (RFC 4443 sections 3.1 and 3.4). Anybody can send such a message.

/** `port`: nobody has bound it. `protocol`: the host does not take it. `filtered`: a firewall says so. `host`: no way there. */
export type UnreachableReason = 'port' | 'protocol' | 'filtered' | 'host'

export interface Unreachable {
  /** Where the packet went. */
  readonly remote: IpAddress
  /** UDP, ESP or AH. */
  readonly protocol: number
  /** Of UDP, else 0. */
  readonly port: number
  readonly reason: UnreachableReason
}

const ICMP_UNREACHABLE = 3
/** By code. Fragmentation needed (4) is the business of path MTU discovery. */
const REASONS_V4: Readonly<Record<number, UnreachableReason>> = {
  0: 'host',
  1: 'host',
  2: 'protocol',
  3: 'port',
  6: 'host',
  7: 'host',
  9: 'filtered',
  10: 'filtered',
  13: 'filtered',
}
const ICMPV6_UNREACHABLE = 1
const REASONS_V6: Readonly<Record<number, UnreachableReason>> = {
  0: 'host',
  1: 'filtered',
  3: 'host',
  4: 'port',
  5: 'filtered',
  6: 'host',
}
const ICMPV6_PARAMETER_PROBLEM = 4
const UNRECOGNIZED_NEXT_HEADER = 1

/**
 * @param at a whole IPv4 packet of `length` octets, as a raw socket gives it
 * @returns undefined for every other message, and one about something else than UDP, ESP and AH
 */
export function unreachableV4(b: Uint8Array, at: number, length: number): Unreachable | undefined {
  const end = at + length
  if (length < IPV4_HEADER_LEN) return undefined
  const icmp = at + ipv4HeaderLength(b, at)
  const quoted = icmp + ICMP_HEADER_LEN
  if (quoted + IPV4_HEADER_LEN > end || b[icmp] !== ICMP_UNREACHABLE) return undefined
  const reason = REASONS_V4[b[icmp + 1]!]
  if (reason === undefined || ipVersion(b, quoted) !== 4) return undefined
  // The kernel leaves the checksum to whoever listens; of ICMPv6 it looks at it itself.
  if (onesComplementSum(b, icmp, end - icmp, 0) !== 0xffff) return undefined
  // Only our own packets: the message comes to the address that they were sent from.
  for (let i = 0; i < 4; i++)
    if (b[quoted + IPV4_SOURCE + i] !== b[at + IPV4_DESTINATION + i]) return undefined
  const remote = b.slice(quoted + IPV4_DESTINATION, quoted + IPV4_DESTINATION + 4)
  return about(b, b[quoted + 9]!, quoted + ipv4HeaderLength(b, quoted), end, remote, reason)
}

/**
 * The same for ICMPv6.
 * @param at the ICMPv6 header: a raw socket gives no IPv6 header; `length` octets from there on
 */
export function unreachableV6(b: Uint8Array, at: number, length: number): Unreachable | undefined {
  const end = at + length
  const quoted = at + ICMP_HEADER_LEN
  if (quoted + IPV6_HEADER_LEN > end) return undefined
  const [type, code] = [b[at]!, b[at + 1]!]
  const noProtocol = type === ICMPV6_PARAMETER_PROBLEM && code === UNRECOGNIZED_NEXT_HEADER
  const reason = noProtocol ? 'protocol' : type === ICMPV6_UNREACHABLE ? REASONS_V6[code] : undefined
  if (reason === undefined || ipVersion(b, quoted) !== 6) return undefined
  const remote = b.slice(quoted + IPV6_DESTINATION, quoted + IPV6_DESTINATION + 16)
  return about(b, b[quoted + 6]!, quoted + IPV6_HEADER_LEN, end, remote, reason)
}

function about(
  b: Uint8Array,
  protocol: number,
  upper: number,
  end: number,
  remote: IpAddress,
  reason: UnreachableReason,
): Unreachable | undefined {
  if (protocol === ESP || protocol === AH) return { remote, protocol, port: 0, reason }
  if (protocol !== UDP || upper + 4 > end) return undefined
  return { remote, protocol, port: udpDestinationPort(b, upper), reason }
}
