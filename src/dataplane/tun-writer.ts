import type { Slab } from '../bytes/slab.js'
import { EINVAL } from '../ffi/errno.js'
import { DROP } from '../ipsec/drop.js'
import type { IoVectors, TunQueue } from '../net/types.js'
import { TCP } from '../wire/ip-protocol.js'
import { VNET_HDR_LEN, writePlainVnetHeader } from '../wire/virtio-net-hdr.js'
import { type CoalescedSink, Coalescer } from './coalescing.js'
import { C, type Counters } from './counters.js'
import { FaultCount } from './offload-watch.js'

export interface TunWriterOptions {
  readonly joinTcp: boolean
  readonly joinUdp: boolean
  /** Slab offset of coalescerHeaderRoom octets that the writer owns. */
  readonly headers: number
  /** At least SEGMENTS_MAX + 1 entries. */
  readonly vectors: IoVectors
  /** Joining was refused too often and is off now. */
  stepBack(feature: 'joinTcp' | 'joinUdp', reason: string): void
}

/** Inner packets on their way to the TUN device: joined where that is allowed and possible, one by one otherwise. */
export class TunWriter implements CoalescedSink {
  private readonly slab: Slab
  private readonly tun: TunQueue
  /** Octets of vnet header in front of each packet: 10 or 0. */
  private readonly header: number
  private readonly counters: Counters
  private readonly options: TunWriterOptions
  private readonly coalescer: Coalescer
  private readonly tcpFaults = new FaultCount()
  private readonly udpFaults = new FaultCount()

  constructor(slab: Slab, tun: TunQueue, counters: Counters, options: TunWriterOptions) {
    this.slab = slab
    this.tun = tun
    this.header = tun.vnetHeader ? VNET_HDR_LEN : 0
    this.counters = counters
    this.options = options
    this.coalescer = new Coalescer(slab, options.headers, options.vectors, this)
    this.coalescer.tcp = options.joinTcp && tun.vnetHeader
    this.coalescer.udp = options.joinUdp && tun.vnetHeader
  }

  /**
   * Takes an inner packet whose IP header was validated, with VNET_HDR_LEN octets in front of it that may be written.
   * It is written now or at `flush`, and must stay put until then.
   */
  add(at: number, length: number): void {
    this.coalescer.add(at, length)
  }

  flush(): void {
    this.coalescer.flush()
  }

  writeOne(at: number, length: number): void {
    const start = at - this.header
    // What stood there, outer headers or the packet before, has served.
    if (this.header !== 0) writePlainVnetHeader(this.slab.bytes, start)
    if (this.tun.write(start, this.header + length) > 0) this.written(1, length)
    else this.counters.drop(-DROP.TUN_REFUSED)
  }

  writeMany(vectors: IoVectors, count: number, length: number, protocol: number): boolean {
    const n = this.tun.writev(vectors, count)
    const faults = protocol === TCP ? this.tcpFaults : this.udpFaults
    if (n > 0) {
      faults.succeeded()
      this.written(count - 1, length)
      return true
    }
    if (n !== -EINVAL) {
      this.counters.drop(-DROP.TUN_REFUSED, count - 1)
      return true
    }
    if (faults.failed()) {
      if (protocol === TCP) this.coalescer.tcp = false
      else this.coalescer.udp = false
      const feature = protocol === TCP ? 'joinTcp' : 'joinUdp'
      this.options.stepBack(feature, 'EINVAL on joined writes to the TUN device')
    }
    return false
  }

  private written(packets: number, octets: number): void {
    this.counters.add(C.tunWrites, 1)
    this.counters.add(C.tunWritePackets, packets)
    this.counters.add(C.tunWriteOctets, octets)
  }
}
