import { type SumKernel, sumKernel } from '../bytes/simd/sum-kernel.js'
import type { Slab } from '../bytes/slab.js'
import type { IoVectors } from '../net/types.js'
import { ICMPV6, TCP, UDP } from '../wire/ip-protocol.js'
import {
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_UDP_L4,
  VNET_HDR_LEN,
  writeVnetHeader,
} from '../wire/virtio-net-hdr.js'
import {
  flagsJoin,
  flowKey,
  hasPush,
  ID,
  ipv4Follows,
  ipv4HeaderHolds,
  ipv4IdMode,
  ipv6Follows,
  sameFlow,
  setPush,
  tcpFollows,
} from './join-rules.js'

// Generic receive offload for what leaves the tunnel: consecutive TCP segments or UDP datagrams of one flow become one
// large TUN write. The rules are those of Linux GRO (join-rules.ts): only packets that the kernel's own segmentation
// would cut again into the very same ones are joined. A flow's packets never overtake each other.

/** Flows joined at the same time. */
const FLOWS = 16
/** Packets in one write; with the vnet header that is 1 + 64 vectors. UDP_GRO_CNT_MAX of Linux is 64 too. */
export const SEGMENTS_MAX = 64
/** An IPv4 total length is 16 bits. */
const OCTETS_MAX = 65_535

/** Where the packets go. */
export interface CoalescedSink {
  /** One packet with room for its vnet header in front of it. */
  writeOne(at: number, length: number): void
  /**
   * `count` vectors, the first of them the vnet header, each other one a packet's share; `length` octets without it.
   * @returns false when the device refuses joined packets: each then comes by itself
   */
  writeMany(vectors: IoVectors, count: number, length: number, protocol: number): boolean
}

/** Gathers inner packets between two flushes. Packets are (offset, length) in the slab and must stay put until `flush`. */
export class Coalescer {
  /** Which protocols are joined. What is gathered already is still written joined. */
  tcp = true
  udp = true

  private readonly slab: Slab
  private readonly sum: SumKernel
  private readonly sink: CoalescedSink
  private readonly vectors: IoVectors
  /** FLOWS areas of VNET_HDR_LEN octets for the headers of joined packets. */
  private readonly headers: number

  // One entry a flow, parallel arrays; entry i is free when segments[i] is 0.
  private readonly segments = new Int32Array(FLOWS)
  private readonly protocol = new Uint8Array(FLOWS)
  private readonly first = new Int32Array(FLOWS)
  private readonly headerLength = new Int32Array(FLOWS)
  private readonly ipHeaderLength = new Int32Array(FLOWS)
  private readonly segmentSize = new Int32Array(FLOWS)
  private readonly total = new Int32Array(FLOWS)
  private readonly nextSeq = new Uint32Array(FLOWS)
  private readonly idMode = new Uint8Array(FLOWS)
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
    const protocol = b[at + (v4 ? 9 : 6)]!
    if (protocol !== TCP && protocol !== UDP) {
      // Behind an IPv6 extension header may be a fragment, or the rest, of any flow.
      if (!v4 && protocol !== ICMPV6) this.flush()
      return this.sink.writeOne(at, length)
    }
    if (!(protocol === TCP ? this.tcp : this.udp)) return this.alone(protocol, at, length)
    // Options, fragments: not joined. A fragment has no ports to tell its flow by.
    if (v4 && (b[at] !== 0x45 || (b[at + 6]! & 0x3f) !== 0 || b[at + 7] !== 0))
      return this.alone(protocol, at, length)
    const ipLength = v4 ? 20 : 40
    const transport = at + ipLength
    if (length < ipLength + (protocol === TCP ? 20 : 8)) return this.alone(protocol, at, length)
    const headerLength = ipLength + (protocol === TCP ? (b[transport + 12]! >>> 4) << 2 : 8)
    const payload = length - headerLength
    if (payload < 0) return this.alone(protocol, at, length)

    const key = flowKey(this.slab.view, at, ipLength)
    const e = this.find(protocol, key, at, ipLength)
    // What cannot be joined goes alone, behind what its flow has gathered.
    const joinable =
      payload > 0 &&
      (protocol === TCP
        ? headerLength >= ipLength + 20 && flagsJoin(b[transport + 13]!)
        : this.isWhole(at, length, ipLength)) &&
      (!v4 || ipv4HeaderHolds(this.slab.view, at)) &&
      this.checksumHolds(protocol, at, length, ipLength)
    if (e >= 0) {
      if (joinable && this.append(e, at, headerLength, payload)) return
      this.flushEntry(e)
    }
    if (joinable && (protocol === UDP || !hasPush(b[transport + 13]!)))
      this.start(protocol, key, at, length, ipLength, headerLength, payload)
    else this.sink.writeOne(at, length)
  }

  /** Writes all that is gathered. The packets' octets are free afterwards. */
  flush(): void {
    if (this.used === 0) return
    for (let e = 0; e < FLOWS; e++) if (this.segments[e] !== 0) this.flushEntry(e)
  }

  /** For packets of which the flow cannot be told: what their protocol has gathered goes first. */
  private alone(protocol: number, at: number, length: number): void {
    if (this.used !== 0)
      for (let e = 0; e < FLOWS; e++)
        if (this.segments[e] !== 0 && this.protocol[e] === protocol) this.flushEntry(e)
    this.sink.writeOne(at, length)
  }

  private find(protocol: number, key: number, at: number, ipLength: number): number {
    if (this.used === 0) return -1
    const b = this.slab.bytes
    for (let e = 0; e < FLOWS; e++)
      if (
        this.segments[e] !== 0 &&
        this.flow[e] === key &&
        this.protocol[e] === protocol &&
        this.ipHeaderLength[e] === ipLength &&
        sameFlow(b, this.first[e]!, at, ipLength)
      )
        return e
    return -1
  }

  /** UDP: its length is that of the packet, and it has a checksum, which is what the kernel would give it again. */
  private isWhole(at: number, length: number, ipLength: number): boolean {
    const v = this.slab.view
    return v.getUint16(at + ipLength + 4) === length - ipLength && v.getUint16(at + ipLength + 6) !== 0
  }

  private checksumHolds(protocol: number, at: number, length: number, ipLength: number): boolean {
    return (
      this.sum(at + ipLength, length - ipLength, this.pseudoSum(protocol, at, length, ipLength)) === 0xffff
    )
  }

  private pseudoSum(protocol: number, at: number, length: number, ipLength: number): number {
    const addresses = ipLength === 20 ? 8 : 32
    return this.sum(at + ipLength - addresses, addresses, protocol + (length - ipLength))
  }

  private append(e: number, at: number, headerLength: number, payload: number): boolean {
    const b = this.slab.bytes
    const v = this.slab.view
    const first = this.first[e]!
    const ipLength = this.ipHeaderLength[e]!
    const count = this.segments[e]!
    if (count >= SEGMENTS_MAX || headerLength !== this.headerLength[e]) return false
    if (payload > this.segmentSize[e]! || this.total[e]! + payload > OCTETS_MAX) return false
    const transport = at + ipLength
    let push = false
    if (this.protocol[e] === TCP) {
      if (v.getUint32(transport + 4) !== this.nextSeq[e]) return false
      if (!tcpFollows(b, v, first + ipLength, transport, headerLength - ipLength)) return false
      push = hasPush(b[transport + 13]!)
    }
    if (ipLength === 20) {
      const mode = ipv4IdMode(v, first, at, count, this.idMode[e]!)
      if (mode === ID.OPEN || !ipv4Follows(b, first, at)) return false
      this.idMode[e] = mode
    } else if (!ipv6Follows(b, v, first, at)) return false

    const slot = e * SEGMENTS_MAX + count
    this.payloadAt[slot] = at + headerLength
    this.payloadLength[slot] = payload
    this.segments[e] = count + 1
    this.total[e] = this.total[e]! + payload
    this.nextSeq[e] = (this.nextSeq[e]! + payload) >>> 0
    if (push) setPush(b, first + ipLength, true)
    // A short segment or a push ends the train: the next one could not follow it after segmentation.
    if (payload < this.segmentSize[e]! || push) this.flushEntry(e)
    return true
  }

  private start(
    protocol: number,
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
    this.protocol[e] = protocol
    this.first[e] = at
    this.headerLength[e] = headerLength
    this.ipHeaderLength[e] = ipLength
    this.segmentSize[e] = payload
    this.total[e] = length
    this.idMode[e] = ID.OPEN
    this.flow[e] = key
    if (protocol === TCP) this.nextSeq[e] = (this.slab.view.getUint32(at + ipLength + 4) + payload) >>> 0
  }

  private flushEntry(e: number): void {
    const count = this.segments[e]!
    const at = this.first[e]!
    const total = this.total[e]!
    this.segments[e] = 0
    this.used--
    if (count === 1) return this.sink.writeOne(at, total)

    const ipLength = this.ipHeaderLength[e]!
    const headerLength = this.headerLength[e]!
    const segmentSize = this.segmentSize[e]!
    const protocol = this.protocol[e]!
    const checksum = this.setLengths(protocol, at, total, ipLength)
    // The kernel finishes the checksum: it wants the pseudo-header's sum, not complemented.
    this.slab.view.setUint16(checksum, this.pseudoSum(protocol, at, total, ipLength))
    const header = this.headers + e * VNET_HDR_LEN
    const gsoType = protocol === UDP ? VNET_GSO_UDP_L4 : ipLength === 20 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6
    const checksumOffset = checksum - at - ipLength
    writeVnetHeader(this.slab.bytes, header, gsoType, headerLength, segmentSize, ipLength, checksumOffset)
    this.vectors.set(0, header, VNET_HDR_LEN)
    this.vectors.set(1, at, headerLength + segmentSize)
    for (let i = 1; i < count; i++) {
      const slot = e * SEGMENTS_MAX + i
      this.vectors.set(i + 1, this.payloadAt[slot]!, this.payloadLength[slot]!)
    }
    if (!this.sink.writeMany(this.vectors, count + 1, total, protocol)) this.writeApart(e, count)
  }

  /** Writes the packets of an entry as they came. All but the first are untouched in their places. */
  private writeApart(e: number, count: number): void {
    const at = this.first[e]!
    const ipLength = this.ipHeaderLength[e]!
    const headerLength = this.headerLength[e]!
    const protocol = this.protocol[e]!
    const length = headerLength + this.segmentSize[e]!
    const v = this.slab.view
    // No train begins with a push.
    if (protocol === TCP) setPush(this.slab.bytes, at + ipLength, false)
    const field = this.setLengths(protocol, at, length, ipLength)
    v.setUint16(field, 0)
    const checksum =
      ~this.sum(at + ipLength, length - ipLength, this.pseudoSum(protocol, at, length, ipLength)) & 0xffff
    // RFC 768: zero means no checksum.
    v.setUint16(field, protocol === UDP && checksum === 0 ? 0xffff : checksum)
    this.sink.writeOne(at, length)
    for (let i = 1; i < count; i++) {
      const slot = e * SEGMENTS_MAX + i
      this.sink.writeOne(this.payloadAt[slot]! - headerLength, headerLength + this.payloadLength[slot]!)
    }
  }

  /** Makes the packet at `at` one of `length` octets, but for its transport checksum; returns that field's offset. */
  private setLengths(protocol: number, at: number, length: number, ipLength: number): number {
    const v = this.slab.view
    if (ipLength === 20) {
      v.setUint16(at + 2, length)
      v.setUint16(at + 10, 0)
      v.setUint16(at + 10, ~this.sum(at, 20, 0) & 0xffff)
    } else v.setUint16(at + 4, length - 40)
    if (protocol === TCP) return at + ipLength + 16
    v.setUint16(at + ipLength + 4, length - ipLength)
    return at + ipLength + 6
  }
}

/** Octets of slab that a Coalescer needs for its headers. */
export const coalescerHeaderRoom = FLOWS * VNET_HDR_LEN
