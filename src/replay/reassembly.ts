import {
  IPV4_DESTINATION,
  IPV4_HEADER_LEN,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  IPV4_TOTAL_MAX,
  ipVersion,
  ipv4Fragment,
  ipv4HeaderLength,
  ipv4TotalLength,
  putU16,
  writeIpv4Checksum,
} from '../wire/ipv4.js'
import {
  DESTINATION_OPTIONS,
  extensionLength,
  FRAGMENT,
  HOP_BY_HOP,
  IPV6_HEADER_LEN,
  IPV6_SOURCE,
  ipv6PayloadLength,
  ROUTING,
} from '../wire/ipv6.js'

/** Datagrams under way at most; the oldest makes room. */
export const DATAGRAMS_MAX = 64
/** How long a datagram may take, by the capture's clock (RFC 791 and RFC 8200: 15 to 60 seconds). */
const TIMEOUT_NS = 30_000_000_000n
/** Pieces of one datagram: 64 KiB in pieces of 8 octets would be 8192, which no path makes. */
const PIECES_MAX = 256

interface Piece {
  readonly start: number
  readonly end: number
}

interface Datagram {
  /** The first fragment's headers, without the fragment header of IPv6. Undefined until it has come. */
  header: Uint8Array | undefined
  /** Where in `header` the octet is that names what follows; IPv6 only. */
  nextAt: number
  next: number
  readonly payload: Uint8Array
  readonly pieces: Piece[]
  /** Octets of payload, once the last fragment has come. */
  total: number | undefined
  received: number
  /** Fragments overlapped: nothing comes of it any more (RFC 5722, and for IPv4 as well). */
  spoilt: boolean
  readonly since: bigint
}

/** One fragment, in the words of both versions. */
interface Fragment {
  readonly key: string
  /** In octets of the datagram's payload. */
  readonly offset: number
  readonly more: boolean
  /** Octets of the packet from its start. */
  readonly headers: number
  readonly payloadAt: number
  readonly payloadLength: number
  readonly nextAt: number
  readonly next: number
}

/**
 * Puts fragmented IP packets together, as a host's kernel does in front of a raw or a UDP socket. Memory is bounded by
 * DATAGRAMS_MAX datagrams of 64 KiB.
 */
export class Reassembly {
  private readonly datagrams = new Map<string, Datagram>()

  /** Datagrams that are not whole yet. */
  get pending(): number {
    return this.datagrams.size
  }

  /**
   * @param b an IP packet at `at`, a fragment of a larger one, of which `available` octets are there
   * @param timeNs by the capture's clock; undefined when it has none
   * @returns the whole packet when this was its last piece, in memory of its own
   */
  add(b: Uint8Array, at: number, available: number, timeNs: bigint | undefined): Uint8Array | undefined {
    const f = ipVersion(b, at) === 4 ? ipv4FragmentOf(b, at, available) : ipv6FragmentOf(b, at, available)
    if (!f) return undefined
    const datagram = this.datagramOf(f.key, timeNs ?? 0n)
    place(datagram, f, b, at)
    if (!isWhole(datagram)) return undefined
    this.datagrams.delete(f.key)
    return whole(datagram)
  }

  private datagramOf(key: string, now: bigint): Datagram {
    for (const [k, d] of this.datagrams) {
      // Oldest first: the order of insertion.
      if (now - d.since <= TIMEOUT_NS) break
      this.datagrams.delete(k)
    }
    const known = this.datagrams.get(key)
    if (known) return known
    if (this.datagrams.size >= DATAGRAMS_MAX) this.datagrams.delete(this.datagrams.keys().next().value!)
    const datagram: Datagram = {
      header: undefined,
      nextAt: 0,
      next: 0,
      payload: new Uint8Array(IPV4_TOTAL_MAX),
      pieces: [],
      total: undefined,
      received: 0,
      spoilt: false,
      since: now,
    }
    this.datagrams.set(key, datagram)
    return datagram
  }
}

function place(d: Datagram, f: Fragment, b: Uint8Array, at: number): void {
  const start = f.offset
  const end = start + f.payloadLength
  if (d.spoilt || end > d.payload.length || d.pieces.length >= PIECES_MAX) {
    d.spoilt = true
    return
  }
  const from = at + f.payloadAt
  const overlap = d.pieces.find((p) => p.start < end && start < p.end)
  if (overlap) {
    // The same fragment again is no attack (RFC 8200 section 4.5).
    const same =
      overlap.start === start &&
      overlap.end === end &&
      d.payload.subarray(start, end).every((v, i) => v === b[from + i])
    if (!same) d.spoilt = true
    return
  }
  // Nothing may lie behind the last fragment, and there is one last fragment.
  const beyond = f.more
    ? d.total !== undefined && end > d.total
    : d.total !== undefined || d.pieces.some((p) => p.end > end)
  if (beyond) {
    d.spoilt = true
    return
  }
  if (!f.more) d.total = end
  d.payload.set(b.subarray(from, from + f.payloadLength), start)
  d.pieces.push({ start, end })
  d.received += f.payloadLength
  if (start === 0) {
    d.header = b.slice(at, at + f.headers)
    d.nextAt = f.nextAt
    d.next = f.next
  }
}

const isWhole = (d: Datagram): boolean => !d.spoilt && d.header !== undefined && d.received === d.total

/** @returns undefined when it would be longer than an IP packet can be */
function whole(d: Datagram): Uint8Array | undefined {
  const { header } = d
  const total = d.total ?? 0
  if (!header) return undefined
  const packet = new Uint8Array(header.length + total)
  packet.set(header)
  packet.set(d.payload.subarray(0, total), header.length)
  if (ipVersion(packet, 0) === 4) {
    if (packet.length > IPV4_TOTAL_MAX) return undefined
    putU16(packet, 2, packet.length)
    putU16(packet, 6, 0)
    writeIpv4Checksum(packet, 0)
  } else {
    if (packet.length - IPV6_HEADER_LEN > 0xffff) return undefined
    putU16(packet, 4, packet.length - IPV6_HEADER_LEN)
    packet[d.nextAt] = d.next
  }
  return packet
}

const text = (b: Uint8Array, at: number, length: number): string =>
  String.fromCharCode(...b.subarray(at, at + length))

function ipv4FragmentOf(b: Uint8Array, at: number, available: number): Fragment | undefined {
  const headers = ipv4HeaderLength(b, at)
  const length = ipv4TotalLength(b, at)
  if (headers < IPV4_HEADER_LEN || length <= headers || length > available) return undefined
  const word = ipv4Fragment(b, at)
  const more = (word & IPV4_MF) !== 0
  // All but the last have a multiple of 8 octets.
  if (more && (length - headers) % 8 !== 0) return undefined
  return {
    key: `4${text(b, at + 4, 2)}${text(b, at + 9, 1)}${text(b, at + 12, IPV4_DESTINATION - 8)}`,
    offset: (word & IPV4_OFFSET_MASK) << 3,
    more,
    headers,
    payloadAt: headers,
    payloadLength: length - headers,
    nextAt: 0,
    next: 0,
  }
}

function ipv6FragmentOf(b: Uint8Array, at: number, available: number): Fragment | undefined {
  const length = IPV6_HEADER_LEN + ipv6PayloadLength(b, at)
  if (length > available) return undefined
  let field = 6
  let offset = IPV6_HEADER_LEN
  for (;;) {
    if (offset + 8 > length) return undefined
    const next = b[at + field]!
    if (next === FRAGMENT) break
    if (next !== HOP_BY_HOP && next !== ROUTING && next !== DESTINATION_OPTIONS) return undefined
    field = offset
    offset += extensionLength(b, at + offset)
  }
  const header = at + offset
  const word = (b[header + 2]! << 8) | b[header + 3]!
  const more = (word & 1) !== 0
  const payloadAt = offset + 8
  if (more && (length - payloadAt) % 8 !== 0) return undefined
  return {
    key: `6${text(b, header + 4, 4)}${text(b, at + IPV6_SOURCE, 32)}`,
    offset: word & 0xfff8,
    more,
    headers: offset,
    payloadAt,
    payloadLength: length - payloadAt,
    nextAt: field,
    next: b[header]!,
  }
}
