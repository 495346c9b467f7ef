import { randomBytes } from 'node:crypto'
import type { Slab } from '../bytes/slab.js'
import type { Burst } from '../ipsec/burst.js'
import { ACQUIRE, DROP } from '../ipsec/drop.js'
import { Ipv4Fragmenter } from '../ipsec/ipv4-fragmenter.js'
import type { Outbound } from '../ipsec/outbound.js'
import { OuterFragmenter } from '../ipsec/outer-fragmenter.js'
import { Reassembler } from '../ipsec/reassembler.js'
import type { OutboundSa } from '../ipsec/sa.js'
import { clampMss } from '../ipsec/tcp-mss.js'
import { TCP } from '../wire/ip-protocol.js'
import { C, type Counters } from './counters.js'
import type { LaneMemory, OutArea } from './lane-memory.js'
import type { LaneSocket } from './lane-socket.js'
import { FRAGMENT, Oversize } from './oversize.js'
import { Segmenter } from './segmentation.js'
import type { TunOffloads } from './tun-offloads.js'
import type { TxQueue } from './tx-queue.js'
import type { UnservedPolicies } from './unserved-policies.js'

/** How the packets of an outbound SA leave. */
export interface Route {
  readonly queue: TxQueue
  readonly destination: number
  /** The socket wants the outer IP header too; otherwise the kernel writes it. */
  readonly whole: boolean
}

export interface WayOutOptions {
  /** Set to the time by its owner, and with it the way out. */
  readonly outbound: Outbound
  readonly sockets: readonly LaneSocket[]
  readonly unserved: UnservedPolicies
  readonly offloads: TunOffloads
  /** The SAs', where they have one. */
  readonly burst: Burst | undefined
  /** Hands a packet that tells a sender something to the TUN device. */
  tell(at: number, length: number): void
}

/**
 * From the TUN device's packets to what the sockets send: found the SA of, cut where they are large, sealed one behind the other into
 * the out area, and sent together.
 */
export class WayOut {
  /** Of every outbound SA of the lane. Who adds and deletes SAs keeps it. */
  readonly routes = new Map<OutboundSa, Route>()
  private readonly slab: Slab
  private readonly counters: Counters
  private readonly outbound: Outbound
  private readonly sockets: readonly LaneSocket[]
  private readonly unserved: UnservedPolicies
  private readonly offloads: TunOffloads
  private readonly burst: Burst | undefined
  private readonly oversize: Oversize
  private readonly segmenter: Segmenter
  private readonly fragmenter: Ipv4Fragmenter
  private readonly outerFragmenter: OuterFragmenter
  private readonly reassembler: Reassembler
  private readonly area: OutArea
  /** Where the next sealed packet goes. */
  private out: number

  constructor(slab: Slab, memory: LaneMemory, counters: Counters, options: WayOutOptions) {
    this.slab = slab
    this.counters = counters
    this.outbound = options.outbound
    this.sockets = options.sockets
    this.unserved = options.unserved
    this.offloads = options.offloads
    this.burst = options.burst
    this.oversize = new Oversize(slab, memory.oversize, options.tell)
    this.segmenter = new Segmenter(slab, memory.segmentHeaders)
    this.fragmenter = new Ipv4Fragmenter(slab, memory.fragmentHeader)
    const identification = randomBytes(4).readUInt32BE()
    this.outerFragmenter = new OuterFragmenter(slab, memory.outerFragmentHeader, identification)
    this.reassembler = new Reassembler(slab, memory.reassembly)
    this.area = memory.out
    this.out = memory.out.at
  }

  /**
   * Seals a packet, or all the segments of a large one, into the out area. `flush` is to follow after the last one.
   * @param segmentSize transport octets a segment; 0 = the packet is one
   * @param gathered it came in fragments, and may go in fragments
   */
  protect(at: number, available: number, segmentSize: number, gathered = false): void {
    const { outbound } = this
    const length = outbound.lookup(at, available)
    if (length !== DROP.MALFORMED_INNER && outbound.isPiece()) return this.gather(at)
    if (length === ACQUIRE)
      return this.unserved.hold(outbound.policy, at, available, segmentSize !== 0, outbound.nowMs)
    if (length < 0) return this.counters.drop(-length)
    const sa = outbound.sa!
    const route = this.routes.get(sa)!
    const { packet } = outbound
    let size = segmentSize
    if (length > sa.innerMtu) {
      size = gathered ? 0 : this.oversize.judge(at, packet, sa.innerMtu, segmentSize, sa.wantsWhole)
      if (size === FRAGMENT) return this.sealFragments(sa, route, at, length)
      if (size < 0) return this.counters.drop(-size)
    }
    if (size === 0) {
      if (packet.protocol === TCP) clampMss(this.slab.bytes, at, packet, sa.mssLimit(packet.version))
      return this.seal(sa, route, at, length)
    }
    const { segmenter } = this
    if (!segmenter.begin(at, length, size)) {
      this.offloads.failed()
      return this.counters.drop(-DROP.UNSEGMENTABLE)
    }
    this.offloads.succeeded()
    while (segmenter.next()) this.seal(sa, route, segmenter.at, segmenter.length)
  }

  /** A fragment of a packet that can be protected whole only. */
  private gather(at: number): void {
    const { reassembler, outbound } = this
    const length = reassembler.add(at, outbound.packet, outbound.nowMs)
    if (length < 0) this.counters.drop(-length)
    else if (length > 0) this.protect(reassembler.at, length, 0, true)
  }

  private sealFragments(sa: OutboundSa, route: Route, at: number, length: number): void {
    const { fragmenter } = this
    if (!fragmenter.begin(at, length, sa.innerMtu)) return this.counters.drop(-DROP.TOO_BIG)
    while (fragmenter.next()) this.seal(sa, route, fragmenter.at, fragmenter.length)
  }

  private seal(sa: OutboundSa, route: Route, at: number, length: number): void {
    const { outbound, out } = this
    this.counters.add(C.tunReadPackets, 1)
    const n = route.whole ? outbound.seal(sa, at, length, out) : outbound.sealPayload(sa, at, length, out)
    if (n < 0) return this.counters.drop(-n)
    if (!route.whole) route.queue.useDf(outbound.df)
    else if (n > sa.pathMtu) return this.pushFragments(sa, route, n)
    route.queue.push(out, n, route.destination, outbound.tos)
    this.continueAt(out + n)
  }

  /** A sealed packet of `length` octets that is larger than the path. The kernel fragments no packet that has its header. */
  private pushFragments(sa: OutboundSa, { queue, destination }: Route, length: number): void {
    const { outerFragmenter, outbound, out } = this
    this.burst?.run()
    if (!outerFragmenter.begin(out, length, sa.pathMtu)) return this.counters.drop(-DROP.TOO_BIG)
    let to = out + length
    for (let n = outerFragmenter.next(to); n > 0; n = outerFragmenter.next(to)) {
      queue.push(to, n, destination, outbound.tos)
      to += n
    }
    this.continueAt(to)
  }

  /**
   * A packet that the peer discards, into the out area.
   * @param length octets that it seems to have inside
   * @returns false when there can be none: the SA has come to its end
   */
  sealDummy(sa: OutboundSa, route: Route, length: number): boolean {
    const { outbound, out } = this
    const n = outbound.sealDummy(sa, length, out, route.whole)
    if (n < 0) return false
    if (!route.whole) route.queue.useDf(outbound.df)
    route.queue.push(out, n, route.destination, 0)
    this.counters.add(C.dummies, 1)
    this.continueAt(out + n)
    return true
  }

  /** Sends what has waited for an SA of the policy, which has one now. */
  release(policy: number): void {
    this.unserved.served(policy, (at, length) => this.protect(at, length, 0))
    this.flush()
  }

  private continueAt(out: number): void {
    this.out = out
    if (out > this.area.full) this.flush()
  }

  /** Hands everything that is sealed to the kernel; the out area is free afterwards. */
  flush(): void {
    for (const { queue, socket } of this.sockets) {
      if (queue.pending === 0) continue
      queue.flush()
      this.counters.add(C.txCalls, 1)
      this.counters.add(C.txDirect, socket.takeDirect())
    }
    this.out = this.area.at
  }

  /** Drops what has waited too long, for an SA or for the rest of its packet. */
  expire(nowMs: number): void {
    this.unserved.expire(nowMs)
    const incomplete = this.reassembler.expire(nowMs)
    if (incomplete > 0) this.counters.drop(-DROP.FRAGMENTS_LOST, incomplete)
  }

  refill(): void {
    this.oversize.refill()
  }
}
