import { type SumKernel, sumKernel } from '../bytes/simd/sum-kernel.js'
import type { Slab } from '../bytes/slab.js'
import { DROP } from '../ipsec/drop.js'
import type { TunQueue } from '../net/types.js'
import {
  VNET_GSO_NONE,
  VNET_HDR_LEN,
  vnetChecksumOffset,
  vnetChecksumStart,
  vnetGsoSize,
  vnetGsoType,
  vnetNeedsChecksum,
} from '../wire/virtio-net-hdr.js'
import { C, type Counters } from './counters.js'
import { type LaneMemory, TUN_PACKET_MAX } from './lane-memory.js'
import { completeChecksum } from './segmentation.js'
import type { TunOffloads } from './tun-offloads.js'
import type { WayOut } from './way-out.js'

/**
 * Packets, of up to 64 KiB each, and octets read from the TUN before the sockets get their turn: small packets come one
 * by one, and only what is sent together can become one UDP_SEGMENT message.
 */
const PACKETS = 64
const OCTETS = 512 * 1024

/** Reads the TUN device, and what other lanes hand over as it came from there, and sends it on its way out. */
export class TunReader {
  private readonly slab: Slab
  private readonly sum: SumKernel
  private readonly counters: Counters
  private readonly tun: TunQueue
  /** Octets of vnet header in front of each packet: 10 or 0. */
  private readonly header: number
  private readonly at: number
  private readonly wayOut: WayOut
  private readonly offloads: TunOffloads

  /** @param tun the device, whose octets are counted */
  constructor(
    slab: Slab,
    memory: LaneMemory,
    counters: Counters,
    tun: TunQueue,
    wayOut: WayOut,
    offloads: TunOffloads,
  ) {
    this.slab = slab
    this.sum = sumKernel(slab)
    this.counters = counters
    this.tun = tun
    this.header = tun.vnetHeader ? VNET_HDR_LEN : 0
    this.at = memory.tunPacket - this.header
    this.wayOut = wayOut
    this.offloads = offloads
  }

  /** @param queue the device, or another queue with a vnet header where that has one @returns packets read */
  drain(queue: TunQueue): number {
    const { at, header } = this
    let work = 0
    for (let octets = 0; work < PACKETS && octets < OCTETS; work++) {
      const n = queue.read(at, header + TUN_PACKET_MAX)
      if (n <= header) break
      // What comes from another lane was counted there.
      if (queue === this.tun) this.counters.add(C.tunReadOctets, n - header)
      this.take(at + header, n - header)
      octets += n
    }
    if (work > 0) this.wayOut.flush()
    return work
  }

  /** A packet; its vnet header, if it has one, lies in front of it. */
  private take(at: number, length: number): void {
    let segmentSize = 0
    if (this.header !== 0) {
      const b = this.slab.bytes
      const header = at - this.header
      if (vnetGsoType(b, header) !== VNET_GSO_NONE) segmentSize = vnetGsoSize(b, header)
      else if (vnetNeedsChecksum(b, header)) {
        const start = vnetChecksumStart(b, header)
        const offset = vnetChecksumOffset(b, header)
        if (!completeChecksum(this.slab, this.sum, at, length, start, offset)) {
          this.offloads.failed()
          return this.counters.drop(-DROP.MALFORMED_INNER)
        }
      }
    }
    this.wayOut.protect(at, length, segmentSize)
  }
}
