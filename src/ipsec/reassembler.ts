import type { Slab } from '../bytes/slab.js'
import type { IpPacket } from '../wire/ip-packet.js'
import {
  IPV4_HEADER_LEN,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  IPV4_TOTAL_MAX,
  ipv4Fragment,
  ipv4HeaderLength,
  putU16,
  writeIpv4Checksum,
} from '../wire/ipv4.js'
import {
  DESTINATION_OPTIONS,
  extensionLength,
  FRAGMENT,
  HOP_BY_HOP,
  IPV6_HEADER_LEN,
  ROUTING,
} from '../wire/ipv6.js'
import { DROP } from './drop.js'

/** Packets that are being put together at the same time; the oldest makes room. */
const PACKETS = 8
/** Fragments of one packet: 64 KiB in pieces that fit the smallest MTU of IPv6 are 54. */
const PIECES_MAX = 128
/** RFC 8200 section 4.5 gives them 60 s, RFC 1122 section 3.3.2 60 to 120; they come from this host, all at once. */
const LIFE_MS = 5_000
/** Headers in front of the fragmentable part. */
const HEADERS_MAX = 256
/** In front of the headers, for a vnet header; behind the payload, for an ESP trailer. */
const ROOM = 64
const STRIDE = ROOM + HEADERS_MAX + IPV4_TOTAL_MAX + 1 + ROOM

/** Slab octets that a Reassembler needs. They are touched as far as packets reach. */
export const REASSEMBLY_ROOM = PACKETS * STRIDE

/** A packet of which fragments have come. Objects live as long as the reassembler. */
class Gathering {
  readonly payloadAt: number
  readonly starts = new Int32Array(PIECES_MAX)
  readonly ends = new Int32Array(PIECES_MAX)
  /** Version, upper protocol, identification, addresses. */
  readonly key = new Uint32Array(10)
  busy = false
  spoilt = false
  sinceMs = 0
  pieces = 0
  octets = 0
  /** Octets of the fragmentable part; -1 = the last fragment has not come. */
  total = -1
  /** Octets of the headers; 0 = the first fragment has not come. */
  headers = 0

  constructor(payloadAt: number) {
    this.payloadAt = payloadAt
  }

  start(nowMs: number): void {
    this.busy = true
    this.spoilt = false
    this.sinceMs = nowMs
    this.pieces = 0
    this.octets = 0
    this.total = -1
    this.headers = 0
  }
}

/**
 * Puts packets together that came in fragments, where only whole ones can be protected: in transport mode (RFC 4303 section 3.3.4)
 * and where ports decide, which later fragments do not have (RFC 4301 section 7). Bounded in packets, fragments and time.
 * Fragments that overlap spoil their packet (RFC 5722), for IPv4 as well.
 */
export class Reassembler {
  /** Where the packet is that `add` has made whole, until the next call. */
  at = 0

  private readonly slab: Slab
  private readonly gatherings: readonly Gathering[]
  private readonly key = new Uint32Array(10)
  // The fragment at hand.
  private offset = 0
  private more = false
  private headers = 0
  private payload = 0
  private payloadLength = 0
  /** IPv6: where the next-header field in front of the fragment header is, and what it is to be. */
  private field = 0
  private next = 0

  /** @param base slab offset of REASSEMBLY_ROOM octets that this object owns */
  constructor(slab: Slab, base: number) {
    this.slab = slab
    this.gatherings = Array.from(
      { length: PACKETS },
      (_, i) => new Gathering(base + i * STRIDE + ROOM + HEADERS_MAX),
    )
  }

  /**
   * Takes one fragment; its octets are copied.
   * @param at the fragment @param p the same, parsed
   * @returns octets of the packet that it made whole, at `this.at`, with ROOM octets in front and behind that may be written;
   *   0 when more are to come; DROP.FRAGMENTS_LOST when nothing will come of it, or another packet had to make room
   */
  add(at: number, p: IpPacket, nowMs: number): number {
    if (!(p.version === 4 ? this.readIpv4(at, p) : this.readIpv6(at, p))) return DROP.FRAGMENTS_LOST
    let evicted = false
    let g = this.find()
    if (!g) {
      g = this.free()
      evicted = g.busy && !g.spoilt
      g.start(nowMs)
      g.key.set(this.key)
    }
    this.place(g, at)
    if (g.spoilt) return DROP.FRAGMENTS_LOST
    if (g.headers !== 0 && g.octets === g.total) return this.whole(g, p.version)
    return evicted ? DROP.FRAGMENTS_LOST : 0
  }

  /** Gives up what waited too long. @returns how many packets that were */
  expire(nowMs: number): number {
    let n = 0
    for (const g of this.gatherings) {
      if (!g.busy || nowMs - g.sinceMs < LIFE_MS) continue
      g.busy = false
      // What was spoilt has been counted, fragment by fragment.
      if (!g.spoilt) n++
    }
    return n
  }

  private find(): Gathering | undefined {
    for (const g of this.gatherings) {
      if (!g.busy) continue
      let i = 0
      while (i < 10 && g.key[i] === this.key[i]) i++
      if (i === 10) return g
    }
    return undefined
  }

  private free(): Gathering {
    let oldest = this.gatherings[0]!
    for (const g of this.gatherings) {
      if (!g.busy) return g
      if (g.sinceMs < oldest.sinceMs) oldest = g
    }
    return oldest
  }

  private place(g: Gathering, at: number): void {
    const start = this.offset
    const end = start + this.payloadLength
    for (let i = 0; i < g.pieces; i++) {
      if (g.starts[i] === start && g.ends[i] === end) return // once more
      if (g.starts[i]! < end && start < g.ends[i]!) g.spoilt = true
      if (!this.more && g.ends[i]! > end) g.spoilt = true
    }
    if (g.total >= 0 && (!this.more || end > g.total)) g.spoilt = true
    if (g.pieces === PIECES_MAX || end > IPV4_TOTAL_MAX || this.headers > HEADERS_MAX) g.spoilt = true
    if (g.spoilt) return
    const b = this.slab.bytes
    b.copyWithin(g.payloadAt + start, this.payload, this.payload + this.payloadLength)
    g.starts[g.pieces] = start
    g.ends[g.pieces] = end
    g.pieces++
    g.octets += this.payloadLength
    if (!this.more) g.total = end
    if (start !== 0) return
    g.headers = this.headers
    const header = g.payloadAt - this.headers
    b.copyWithin(header, at, at + this.headers)
    if (this.field !== 0) b[header + this.field] = this.next
  }

  private whole(g: Gathering, version: 4 | 6): number {
    const b = this.slab.bytes
    g.busy = false
    const length = g.headers + g.total
    this.at = g.payloadAt - g.headers
    if (version === 6) {
      if (length - IPV6_HEADER_LEN > 0xffff) return DROP.FRAGMENTS_LOST
      putU16(b, this.at + 4, length - IPV6_HEADER_LEN)
      return length
    }
    if (length > IPV4_TOTAL_MAX) return DROP.FRAGMENTS_LOST
    putU16(b, this.at + 2, length)
    putU16(b, this.at + 6, 0)
    writeIpv4Checksum(b, this.at)
    return length
  }

  private readIpv4(at: number, p: IpPacket): boolean {
    const b = this.slab.bytes
    const v = this.slab.view
    const word = ipv4Fragment(b, at)
    this.headers = ipv4HeaderLength(b, at)
    if (this.headers < IPV4_HEADER_LEN) return false
    this.payload = at + this.headers
    this.payloadLength = p.length - this.headers
    this.offset = (word & IPV4_OFFSET_MASK) << 3
    this.more = (word & IPV4_MF) !== 0
    this.field = 0
    const k = this.key
    k.fill(0)
    k[0] = (4 << 8) | b[at + 9]!
    k[1] = v.getUint16(at + 4)
    k[2] = v.getUint32(p.sourceAt)
    k[3] = v.getUint32(p.destinationAt)
    return this.isWellFormed()
  }

  private readIpv6(at: number, p: IpPacket): boolean {
    const b = this.slab.bytes
    const v = this.slab.view
    let field = 6
    let offset = IPV6_HEADER_LEN
    for (;;) {
      if (offset + 8 > p.length) return false
      const next = b[at + field]!
      if (next === FRAGMENT) break
      if (next !== HOP_BY_HOP && next !== ROUTING && next !== DESTINATION_OPTIONS) return false
      field = offset
      offset += extensionLength(b, at + offset)
    }
    const header = at + offset
    const word = (b[header + 2]! << 8) | b[header + 3]!
    this.headers = offset
    this.field = field
    this.next = b[header]!
    this.payload = header + 8
    this.payloadLength = p.length - offset - 8
    this.offset = word & 0xfff8
    this.more = (word & 1) !== 0
    const k = this.key
    k[0] = 6 << 8 // RFC 8200: the protocol does not belong to the key
    k[1] = v.getUint32(header + 4)
    for (let i = 0; i < 4; i++) {
      k[2 + i] = v.getUint32(p.sourceAt + i * 4)
      k[6 + i] = v.getUint32(p.destinationAt + i * 4)
    }
    return this.isWellFormed()
  }

  /** All but the last have a multiple of eight octets, and all have some. */
  private isWellFormed(): boolean {
    return this.payloadLength > 0 && (!this.more || this.payloadLength % 8 === 0)
  }
}
