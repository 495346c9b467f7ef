import { type SumKernel, sumKernel } from '../bytes/simd/sum-kernel.js'
import type { Slab } from '../bytes/slab.js'
import { TCP, UDP } from '../wire/ip-protocol.js'

// Generic segmentation offload for what enters the tunnel: one large packet of the TUN becomes packets that fit, the
// way net/ipv4/tcp_offload.c and udp_offload.c cut them. Nothing is copied but headers: segment i's headers are laid
// over the end of segment i-1's payload, which has been sealed (out of place) by then.

const TCP_FIN = 0x01
const TCP_PSH = 0x08
const TCP_CWR = 0x80
/** IPv4 with options (60) or IPv6 (40) and TCP with options (60). */
export const SEGMENT_HEADER_MAX = 120

/** Cuts one packet at a time: `begin`, then `next` until it says false. */
export class Segmenter {
  /** The segment that the last `next` laid out, a whole IP packet. */
  at = 0
  length = 0

  private readonly slab: Slab
  private readonly sum: SumKernel
  /** Slab offset of SEGMENT_HEADER_MAX octets that keep the original headers. */
  private readonly saved: number
  private base = 0
  private end = 0
  private position = 0
  private headerLength = 0
  private ipLength = 0
  private segmentSize = 0
  private seq = 0
  private flags = 0
  private id = 0
  private protocol = 0
  /** Sum of pseudo-header addresses. */
  private addressSum = 0

  /** @param saved offset of SEGMENT_HEADER_MAX octets of the slab that this object owns */
  constructor(slab: Slab, saved: number) {
    this.slab = slab
    this.sum = sumKernel(slab)
    this.saved = saved
  }

  /**
   * @param at an IP packet of `length` octets that was checked to be whole
   * @param segmentSize transport payload of each segment but the last (virtio gso_size)
   * @returns false when the packet is no unfragmented TCP or UDP packet without IPv6 extension headers: it cannot be cut
   */
  begin(at: number, length: number, segmentSize: number): boolean {
    const b = this.slab.bytes
    const v = this.slab.view
    const v4 = b[at]! >>> 4 === 4
    const ipLength = v4 ? (b[at]! & 15) << 2 : 40
    const protocol = b[at + (v4 ? 9 : 6)]!
    if (segmentSize < 1 || length < ipLength + 8) return false
    if (v4 && ((b[at + 6]! & 0x3f) !== 0 || b[at + 7] !== 0)) return false
    const transport = at + ipLength
    let transportLength = 8
    if (protocol === TCP) {
      if (length < ipLength + 20) return false
      transportLength = (b[transport + 12]! >>> 4) << 2
      if (transportLength < 20) return false
      this.seq = v.getUint32(transport + 4)
      this.flags = b[transport + 13]!
    } else if (protocol !== UDP) return false
    const headerLength = ipLength + transportLength
    if (headerLength >= length || headerLength > SEGMENT_HEADER_MAX) return false
    b.copyWithin(this.saved, at, at + headerLength)
    const addresses = v4 ? 8 : 32
    const addressesAt = at + (v4 ? 12 : 8)
    this.addressSum = this.sum(addressesAt, addresses, 0)
    this.base = at
    this.end = at + length
    this.position = at + headerLength
    this.headerLength = headerLength
    this.ipLength = ipLength
    this.segmentSize = segmentSize
    this.id = v4 ? v.getUint16(at + 4) : 0
    this.protocol = protocol
    return true
  }

  /** Lays out the next segment as this.at, this.length; false when there is none left. */
  next(): boolean {
    if (this.position >= this.end) return false
    const b = this.slab.bytes
    const v = this.slab.view
    const payload = Math.min(this.segmentSize, this.end - this.position)
    const first = this.position === this.base + this.headerLength
    const last = this.position + payload >= this.end
    const at = this.position - this.headerLength
    const length = this.headerLength + payload
    if (!first) b.copyWithin(at, this.saved, this.saved + this.headerLength)

    if (b[at]! >>> 4 === 4) {
      v.setUint16(at + 2, length)
      v.setUint16(at + 4, this.id)
      this.id = (this.id + 1) & 0xffff
      v.setUint16(at + 10, 0)
      v.setUint16(at + 10, ~this.sum(at, this.ipLength, 0) & 0xffff)
    } else v.setUint16(at + 4, length - 40)

    const transport = at + this.ipLength
    const transportLength = length - this.ipLength
    const pseudo = this.addressSum + this.protocol + transportLength
    if (this.protocol === TCP) {
      v.setUint32(transport + 4, this.seq)
      this.seq = (this.seq + payload) >>> 0
      let flags = this.flags
      if (!last) flags &= ~(TCP_FIN | TCP_PSH)
      if (!first) flags &= ~TCP_CWR // RFC 3168: the sender answers an ECE once
      b[transport + 13] = flags
      v.setUint16(transport + 16, 0)
      v.setUint16(transport + 16, ~this.sum(transport, transportLength, pseudo) & 0xffff)
    } else {
      v.setUint16(transport + 4, transportLength)
      v.setUint16(transport + 6, 0)
      const checksum = ~this.sum(transport, transportLength, pseudo) & 0xffff
      v.setUint16(transport + 6, checksum === 0 ? 0xffff : checksum) // RFC 768: zero means no checksum
    }
    this.at = at
    this.length = length
    this.position += payload
    return true
  }
}

/**
 * Finishes the checksum of a packet that the kernel left to us (VIRTIO_NET_HDR_F_NEEDS_CSUM): the field holds the
 * pseudo-header's sum already.
 * @returns false when the offsets do not lie inside the packet
 */
export function completeChecksum(
  slab: Slab,
  sum: SumKernel,
  at: number,
  length: number,
  start: number,
  offset: number,
): boolean {
  if (start + offset + 2 > length) return false
  const checksum = ~sum(at + start, length - start, 0) & 0xffff
  // A UDP sum of zero would mean none; 0xffff is the same number and legal for TCP too.
  slab.view.setUint16(at + start + offset, checksum === 0 ? 0xffff : checksum)
  return true
}
