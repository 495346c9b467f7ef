// When one inner packet may follow another in a joined write: net/ipv4/tcp_offload.c, udp_offload.c and af_inet.c of Linux.
// All of them compare a packet at `at` with the first of its train at `first`; both were checked to be whole, of the same
// family and without IPv4 options or IPv6 extension headers. Offsets are of IP headers unless they say otherwise.

/** A hash of addresses and ports. @param ipLength 20 or 40 */
export function flowKey(v: DataView, at: number, ipLength: number): number {
  let key = v.getUint32(at + ipLength)
  for (let i = ipLength === 20 ? 12 : 8; i < ipLength; i += 4)
    key = (Math.imul(key, 31) + v.getUint32(at + i)) >>> 0
  return key
}

/** True when addresses and ports are the same. @param ipLength 20 or 40 */
export function sameFlow(b: Uint8Array, first: number, at: number, ipLength: number): boolean {
  // The ports lie right behind the addresses.
  for (let i = ipLength === 20 ? 12 : 8; i < ipLength + 4; i++) if (b[first + i] !== b[at + i]) return false
  return true
}

/** How the IPv4 identifications of a train go on. The second packet decides. */
export const ID = { OPEN: 0, COUNTS: 1, FIXED: 2 } as const

const TCP_PSH = 0x08
const TCP_ACK = 0x10
const TCP_ECE = 0x40

export const hasPush = (flags: number): boolean => (flags & TCP_PSH) !== 0

/** Flags that a segment of a train may have: ACK, and PSH and ECE. SYN, FIN, RST, URG and CWR are for one segment only. */
export const flagsJoin = (flags: number): boolean => (flags & ~(TCP_PSH | TCP_ECE)) === TCP_ACK

/**
 * True when the checksum of a header without options is right. Joining computes it anew: a wrong one would come out right,
 * and whatever spoilt the header would go unnoticed.
 */
export function ipv4HeaderHolds(v: DataView, at: number): boolean {
  const words =
    v.getUint32(at) + v.getUint32(at + 4) + v.getUint32(at + 8) + v.getUint32(at + 12) + v.getUint32(at + 16)
  const sum = (words & 0xffff) + Math.floor(words / 0x1_0000)
  return (sum & 0xffff) + (sum >>> 16) === 0xffff
}

/** True when TOS, TTL and the reserved and DF bits are those of the first. */
export const ipv4Follows = (b: Uint8Array, first: number, at: number): boolean =>
  b[at + 1] === b[first + 1] && b[at + 8] === b[first + 8] && b[at + 6] === b[first + 6]

/**
 * How the identification goes on in packet `count` of a train that so far went on as `mode`: ID.COUNTS or ID.FIXED, or
 * ID.OPEN when it does not. A fixed one says nothing where DF is set (RFC 6864 section 4.1), and is wrong elsewhere.
 */
export function ipv4IdMode(v: DataView, first: number, at: number, count: number, mode: number): number {
  const step = (v.getUint16(at + 4) - v.getUint16(first + 4)) & 0xffff
  if (mode !== ID.FIXED && step === count) return ID.COUNTS
  const dontFragment = (v.getUint8(at + 6) & 0x40) !== 0
  return mode !== ID.COUNTS && step === 0 && dontFragment ? ID.FIXED : ID.OPEN
}

/** True when version, traffic class, flow label and hop limit are those of the first. */
export const ipv6Follows = (b: Uint8Array, v: DataView, first: number, at: number): boolean =>
  v.getUint32(at) === v.getUint32(first) && b[at + 7] === b[first + 7]

/**
 * True when acknowledgement, header length, flags but PSH, and options are those of the first. The window, as in Linux,
 * is taken from the first.
 * @param first offset of the first's TCP header
 * @param tcp offset of this one's; `length` octets with its options
 */
export function tcpFollows(b: Uint8Array, v: DataView, first: number, tcp: number, length: number): boolean {
  if (v.getUint32(tcp + 8) !== v.getUint32(first + 8) || b[tcp + 12] !== b[first + 12]) return false
  if (((b[tcp + 13]! ^ b[first + 13]!) & ~TCP_PSH) !== 0) return false
  for (let i = 20; i < length; i++) if (b[tcp + i] !== b[first + i]) return false
  return true
}

/** Sets or clears PSH in the TCP header at `tcp`. */
export function setPush(b: Uint8Array, tcp: number, on: boolean): void {
  b[tcp + 13] = on ? b[tcp + 13]! | TCP_PSH : b[tcp + 13]! & ~TCP_PSH
}
