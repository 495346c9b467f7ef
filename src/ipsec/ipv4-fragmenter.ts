import type { Slab } from '../bytes/slab.js'
import {
  IPV4_HEADER_MAX,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  IPV4_TOTAL_MAX,
  ipv4Fragment,
  ipv4HeaderLength,
  putU16,
  writeIpv4Checksum,
} from '../wire/ipv4.js'

/** Options whose copied flag is set go into every fragment, the others into the first one only (RFC 791 section 3.1). */
const COPIED = 0x80
const OPTION_NOP = 1

/**
 * Cuts an IPv4 packet that may be fragmented into fragments that fit (RFC 791 section 3.2), one at a time, before they are
 * protected (RFC 4301 section 8.2: the far end need not put outer fragments together). A fragment's header is laid over the end
 * of the one before it, which has been sealed, out of place, by then.
 */
export class Ipv4Fragmenter {
  /** The fragment that the last `next` laid out, a whole IPv4 packet. */
  at = 0
  length = 0

  private readonly slab: Slab
  private readonly saved: number
  private headerLength = 0
  private position = 0
  private end = 0
  private start = 0
  private room = 0
  private offset = 0
  private flags = 0

  /** @param saved offset of IPV4_HEADER_MAX octets of the slab that this object owns */
  constructor(slab: Slab, saved: number) {
    this.slab = slab
    this.saved = saved
  }

  /**
   * @param at a whole IPv4 packet of `length` octets without DF @param mtu octets of a fragment at most
   * @returns false when no payload fits, and for a fragment that would end beyond the largest IPv4 packet: its offset would
   *   wrap, and a part of it come out as the beginning of another packet
   */
  begin(at: number, length: number, mtu: number): boolean {
    const b = this.slab.bytes
    this.headerLength = ipv4HeaderLength(b, at)
    this.room = (mtu - this.headerLength) & ~7
    if (this.room < 8) return false
    const fragment = ipv4Fragment(b, at)
    this.flags = fragment & ~IPV4_OFFSET_MASK
    this.offset = (fragment & IPV4_OFFSET_MASK) << 3
    if (this.offset + length > IPV4_TOTAL_MAX) return false
    b.copyWithin(this.saved, at, at + this.headerLength)
    this.start = at + this.headerLength
    this.position = this.start
    this.end = at + length
    return true
  }

  /** Lays out the next fragment as this.at, this.length; false when there is none left. */
  next(): boolean {
    if (this.position >= this.end) return false
    const b = this.slab.bytes
    const payload = Math.min(this.room, this.end - this.position)
    const at = this.position - this.headerLength
    if (this.position !== this.start) {
      b.copyWithin(at, this.saved, this.saved + this.headerLength)
      withoutUncopied(b, at + 20, at + this.headerLength)
    }
    const last = this.position + payload === this.end
    const flags = last ? this.flags : this.flags | IPV4_MF
    this.at = at
    this.length = this.headerLength + payload
    putU16(b, at + 2, this.length)
    putU16(b, at + 6, flags | ((this.offset + this.position - this.start) >>> 3))
    writeIpv4Checksum(b, at)
    this.position += payload
    return true
  }
}

/** Replaces options that belong to the first fragment only by NOPs, so that the header keeps its length. */
function withoutUncopied(b: Uint8Array, from: number, end: number): void {
  for (let i = from; i < end; ) {
    const type = b[i]!
    if (type === 0) return
    const length = type === OPTION_NOP ? 1 : i + 1 < end ? b[i + 1]! : 0
    if (length < 1 || i + length > end) return
    if ((type & COPIED) === 0) b.fill(OPTION_NOP, i, i + length)
    i += length
  }
}

export const FRAGMENT_HEADER_ROOM = IPV4_HEADER_MAX
