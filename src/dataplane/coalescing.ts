import { type SumKernel, sumKernel } from '../bytes/simd/sum-kernel.js'
import type { Slab } from '../bytes/slab.js'
import type { IoVectors } from '../net/types.js'
import { VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_HDR_LEN, writeVnetHeader } from '../wire/virtio-net-hdr.js'

// Generic receive offload for what leaves the tunnel: consecutive TCP segments of one flow become one large TUN write.
// The rules are those of Linux GRO (net/ipv4/tcp_offload.c, net/ipv4/af_inet.c): only segments that the kernel's own
// segmentation would cut again into the very same packets are joined. A flow's packets never overtake each other.

/** Flows joined at the same time. */
const FLOWS = 16
/** Segments in one write; with the vnet header that is 1 + 64 vectors. */
export const SEGMENTS_MAX = 64
/** An IPv4 total length is 16 bits. */
const OCTETS_MAX = 65_535

const TCP = 6
const TCP_PSH = 0x08
const TCP_ACK = 0x10
const TCP_ECE = 0x40

/** Where the packets go. */
export interface CoalescedSink {
  /** One packet with room for its vnet header in front of it. */
  writeOne(at: number, length: number): void
  /** `count` vectors, the first of them the vnet header; `at` and `length` are of the joined packet. */
  writeMany(vectors: IoVectors, count: number, at: number, length: number): void
}

/** Gathers inner packets between two flushes. Packets are (offset, length) in the slab and must stay put until `flush`. */
export class Coalescer {
  private readonly slab: Slab
  private readonly sum: SumKernel
  private readonly sink: CoalescedSink
  private readonly vectors: IoVectors
  /** FLOWS areas of VNET_HDR_LEN octets for the headers of joined packets. */
  private readonly headers: number

  // One entry a flow, parallel arrays; entry i is free when segments[i] is 0.
  private readonly segments = new Int32Array(FLOWS)
  private readonly first = new Int32Array(FLOWS)
  private readonly headerLength = new Int32Array(FLOWS)
  private readonly ipHeaderLength = new Int32Array(FLOWS)
  private readonly segmentSize = new Int32Array(FLOWS)
  private readonly total = new Int32Array(FLOWS)
  private readonly nextSeq = new Uint32Array(FLOWS)
  private readonly flow = new Uint32Array(FLOWS)
  /** Payload offset and length of segments 1.. of each entry. */
  private readonly payloadAt = new Int32Array(FLOWS * SEGMENTS_MAX)
  private readonly payloadLength = new Int32Array(FLOWS * SEGMENTS_MAX)
  private used = 0

  /**
   * @param headers slab offset of coalescerHeaderRoom octets that this object owns
   * @param vectors at least SEGMENTS_MAX + 1 entries
   */
  constructor(slab: Slab, headers: number, vectors: IoVectors, sink: CoalescedSink) {
    this.slab = slab
    this.sum = sumKernel(slab)
    this.headers = headers
    this.vectors = vectors
    this.sink = sink
  }

  /** Takes an inner packet whose IP header was validated. It is written now or at `flush`. */
  add(at: number, length: number): void {
    const b = this.slab.bytes
    const v4 = b[at]! >>> 4 === 4
    let ipLength: number
    if (v4) {
      // Options, fragments: not joined. A fragment of a TCP segment has no ports to tell its flow by.
      if (b[at + 9] !== TCP) return this.sink.writeOne(at, length)
      if (b[at] !== 0x45 || (b[at + 6]! & 0x3f) !== 0 || b[at + 7] !== 0) return this.alone(at, length)
      ipLength = 20
    } else {
      if (b[at + 6] !== TCP) return this.sink.writeOne(at, length)
      ipLength = 40
    }
    const tcp = at + ipLength
    if (length < ipLength + 20) return this.alone(at, length)
    const headerLength = ipLength + ((b[tcp + 12]! >>> 4) << 2)
    const payload = length - headerLength
    if (headerLength < ipLength + 20 || payload < 0) return this.alone(at, length)

    const key = this.flowKey(at, ipLength)
    const e = this.find(key, at, ipLength)
    const flags = b[tcp + 13]!
    // SYN, FIN, RST, URG, CWR and pure ACKs go alone, behind what their flow has gathered.
    const joinable =
      payload > 0 && (flags & ~(TCP_PSH | TCP_ECE)) === TCP_ACK && this.checksumHolds(at, length, ipLength)
    if (e >= 0) {
      if (joinable && this.append(e, at, headerLength, payload, flags)) return
      this.flushEntry(e)
    }
    if (joinable && (flags & TCP_PSH) === 0) this.start(key, at, length, ipLength, headerLength, payload)
    else this.sink.writeOne(at, length)
  }

  /** Writes all that is gathered. The packets' octets are free afterwards. */
  flush(): void {
    if (this.used === 0) return
    for (let e = 0; e < FLOWS; e++) if (this.segments[e] !== 0) this.flushEntry(e)
  }

  /** For packets of which the flow cannot be told: everything before them goes first. */
  private alone(at: number, length: number): void {
    this.flush()
    this.sink.writeOne(at, length)
  }

  private flowKey(at: number, ipLength: number): number {
    const v = this.slab.view
    const ports = v.getUint32(at + ipLength)
    const [from, to] = ipLength === 20 ? [12, 20] : [8, 40]
    let key = ports
    for (let i = from; i < to; i += 4) key = (Math.imul(key, 31) + v.getUint32(at + i)) >>> 0
    return key
  }

  private find(key: number, at: number, ipLength: number): number {
    if (this.used === 0) return -1
    const b = this.slab.bytes
    const from = ipLength === 20 ? 12 : 8
    next: for (let e = 0; e < FLOWS; e++) {
      if (this.segments[e] === 0 || this.flow[e] !== key || this.ipHeaderLength[e] !== ipLength) continue
      const first = this.first[e]!
      // Addresses and, right behind them, ports.
      for (let i = from; i < ipLength + 4; i++) if (b[first + i] !== b[at + i]) continue next
      return e
    }
    return -1
  }

  private checksumHolds(at: number, length: number, ipLength: number): boolean {
    const addresses = ipLength === 20 ? 8 : 32
    const pseudo = this.sum(at + ipLength - addresses, addresses, TCP + (length - ipLength))
    return this.sum(at + ipLength, length - ipLength, pseudo) === 0xffff
  }

  private append(e: number, at: number, headerLength: number, payload: number, flags: number): boolean {
    const b = this.slab.bytes
    const v = this.slab.view
    const first = this.first[e]!
    const ipLength = this.ipHeaderLength[e]!
    const count = this.segments[e]!
    if (count >= SEGMENTS_MAX || headerLength !== this.headerLength[e]) return false
    if (payload > this.segmentSize[e]! || this.total[e]! + payload > OCTETS_MAX) return false
    const tcp = at + ipLength
    if (v.getUint32(tcp + 4) !== this.nextSeq[e]) return false
    if (v.getUint32(tcp + 8) !== v.getUint32(first + ipLength + 8)) return false // acknowledgement
    if (b[tcp + 12] !== b[first + ipLength + 12]) return false
    if ((flags & ~TCP_PSH) !== (b[first + ipLength + 13]! & ~TCP_PSH)) return false
    // Window, like Linux, is taken from the first; options must be the same to the octet.
    for (let i = 20; i < headerLength - ipLength; i++)
      if (b[tcp + i] !== b[first + ipLength + i]) return false
    if (ipLength === 20) {
      if (b[at + 1] !== b[first + 1] || b[at + 8] !== b[first + 8] || b[at + 6] !== b[first + 6]) return false
      const id = v.getUint16(at + 4)
      const firstId = v.getUint16(first + 4)
      const fixed = (b[at + 6]! & 0x40) !== 0 && id === firstId
      if (!fixed && id !== ((firstId + count) & 0xffff)) return false
    } else if (v.getUint32(at) !== v.getUint32(first) || b[at + 7] !== b[first + 7]) return false

    const slot = e * SEGMENTS_MAX + count
    this.payloadAt[slot] = at + headerLength
    this.payloadLength[slot] = payload
    this.segments[e] = count + 1
    this.total[e] = this.total[e]! + payload
    this.nextSeq[e] = (this.nextSeq[e]! + payload) >>> 0
    if ((flags & TCP_PSH) !== 0) b[first + ipLength + 13] = b[first + ipLength + 13]! | TCP_PSH
    // A short segment or a push ends the train: the next one could not follow it after segmentation.
    if (payload < this.segmentSize[e]! || (flags & TCP_PSH) !== 0) this.flushEntry(e)
    return true
  }

  private start(
    key: number,
    at: number,
    length: number,
    ipLength: number,
    headerLength: number,
    payload: number,
  ): void {
    let e = 0
    while (e < FLOWS && this.segments[e] !== 0) e++
    if (e === FLOWS) {
      e = 0
      this.flushEntry(0)
    }
    this.used++
    this.segments[e] = 1
    this.first[e] = at
    this.headerLength[e] = headerLength
    this.ipHeaderLength[e] = ipLength
    this.segmentSize[e] = payload
    this.total[e] = length
    this.flow[e] = key
    this.nextSeq[e] = (this.slab.view.getUint32(at + ipLength + 4) + payload) >>> 0
  }

  private flushEntry(e: number): void {
    const count = this.segments[e]!
    const at = this.first[e]!
    this.segments[e] = 0
    this.used--
    if (count === 1) return this.sink.writeOne(at, this.total[e]!)

    const b = this.slab.bytes
    const v = this.slab.view
    const ipLength = this.ipHeaderLength[e]!
    const total = this.total[e]!
    const tcp = at + ipLength
    if (ipLength === 20) {
      v.setUint16(at + 2, total)
      v.setUint16(at + 10, 0)
      v.setUint16(at + 10, ~this.sum(at, 20, 0) & 0xffff)
    } else v.setUint16(at + 4, total - 40)
    // The kernel finishes the checksum: it wants the pseudo-header's sum, not complemented.
    const addresses = ipLength === 20 ? 8 : 32
    v.setUint16(tcp + 16, this.sum(tcp - addresses, addresses, TCP + total - ipLength))
    const header = this.headers + e * VNET_HDR_LEN
    writeVnetHeader(
      b,
      header,
      ipLength === 20 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6,
      this.headerLength[e]!,
      this.segmentSize[e]!,
      ipLength,
      16,
    )
    this.vectors.set(0, header, VNET_HDR_LEN)
    this.vectors.set(1, at, this.headerLength[e]! + this.segmentSize[e]!)
    for (let i = 1; i < count; i++) {
      const slot = e * SEGMENTS_MAX + i
      this.vectors.set(i + 1, this.payloadAt[slot]!, this.payloadLength[slot]!)
    }
    this.sink.writeMany(this.vectors, count + 1, at, total)
  }
}

/** Octets of slab that a Coalescer needs for its headers. */
export const coalescerHeaderRoom = FLOWS * VNET_HDR_LEN
