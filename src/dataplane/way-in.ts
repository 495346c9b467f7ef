import type { Slab } from '../bytes/slab.js'
import type { Burst } from '../ipsec/burst.js'
import { DROP } from '../ipsec/drop.js'
import type { Inbound } from '../ipsec/inbound.js'
import { disableUdpGro } from '../net/open-socket.js'
import { ESP } from '../wire/ip-protocol.js'
import { NATT, nattKind } from '../wire/udp.js'
import { C, type Counters } from './counters.js'
import type { IcmpWatch } from './icmp-watch.js'
import { IkeForward } from './ike-forward.js'
import type { LaneSocket } from './lane-socket.js'
import { hearsIcmp, type Post } from './messages.js'
import { PeerWatch } from './peer-watch.js'
import type { TunWriter } from './tun-writer.js'
import { UnknownSpis } from './unknown-spis.js'

export interface WayInOptions {
  /** Set to the time by its owner, and with it the way in. */
  readonly inbound: Inbound
  readonly writer: TunWriter
  readonly icmp: IcmpWatch
  /** The SAs', where they have one. */
  readonly burst: Burst | undefined
  readonly post: Post
  /** Adds the SAs that the main thread has sent by now. */
  checkMail(): void
}

/** From what the sockets receive to the packets for the TUN device. */
export class WayIn {
  private readonly slab: Slab
  private readonly counters: Counters
  private readonly inbound: Inbound
  private readonly writer: TunWriter
  private readonly icmp: IcmpWatch
  private readonly burst: Burst | undefined
  private readonly post: Post
  private readonly checkMail: () => void
  private readonly ike: IkeForward
  private readonly unknownSpis: UnknownSpis
  private readonly peers: PeerWatch

  constructor(slab: Slab, counters: Counters, options: WayInOptions) {
    const { post } = options
    this.slab = slab
    this.counters = counters
    this.inbound = options.inbound
    this.writer = options.writer
    this.icmp = options.icmp
    this.burst = options.burst
    this.post = post
    this.checkMail = options.checkMail
    this.ike = new IkeForward(slab, counters, post)
    this.unknownSpis = new UnknownSpis(post)
    this.peers = new PeerWatch(post)
  }

  /** Receives one batch. @returns slots that it filled */
  drain(from: LaneSocket): number {
    const { rx, socket, spec } = from
    const n = socket.receive(rx)
    if (n <= 0) return 0
    this.counters.add(C.rxCalls, 1)
    // The peer may use an SA as soon as IKE has told it: that was after the mail about it was posted, but maybe in this same turn.
    this.checkMail()
    const { burst } = this
    for (let i = 0, announced = 0; i < n; i++) {
      if (burst && burst.users > 0 && i === announced) announced = this.announce(burst, from, i, n)
      const at = rx.at[i]!
      const length = rx.length[i]!
      const segment = rx.segment[i]!
      if (spec.kind === 'raw') this.fromRaw(from, i, at, length)
      else if (segment === 0) this.fromUdp(from, i, at, length)
      else this.fromJoinedUdp(from, i, at, length, segment)
    }
    this.writer.flush()
    this.inbound.rewind()
    if (from.watch?.guilty) this.withoutGro(from)
    return n
  }

  /**
   * Opens the packets of slots `first` and following together, as many as go into a burst.
   * @param n slots of the batch
   * @returns the first slot that was left
   */
  private announce(burst: Burst, { rx, spec }: LaneSocket, first: number, n: number): number {
    const { inbound } = this
    let slot = first
    burst.begin()
    for (let room = burst.queue.capacity; slot < n; slot++) {
      const at = rx.at[slot]!
      const length = rx.length[slot]!
      const segment = rx.segment[slot]! || length
      room -= Math.ceil(length / segment) || 1
      if (room < 0 && slot > first) break
      if (spec.kind !== 'raw')
        for (let o = 0; o < length; o += segment) inbound.announce(at + o, Math.min(segment, length - o))
      else if (spec.family === 4) inbound.announceIpv4(at, length)
      else if (spec.protocol === ESP) inbound.announce(at, length)
    }
    burst.run()
    return slot
  }

  private fromRaw({ spec, rx }: LaneSocket, slot: number, at: number, length: number): void {
    const { inbound } = this
    if (hearsIcmp(spec)) return this.icmp.heard(spec.protocol, inbound.nowMs, at, length)
    this.counters.add(C.rxDatagrams, 1)
    const n =
      spec.family === 4
        ? inbound.openIpv4(at, length)
        : inbound.openIpv6Payload(at, length, spec.protocol, rx.tos[slot]!, rx.source, slot * 16)
    if (n === DROP.UNKNOWN_SPI) this.unknownSpis.report(this.slab.bytes, at, spec, rx.source, slot * 16, 0)
    this.deliver(n)
  }

  /** A slot in which the kernel joined datagrams of `segment` octets. */
  private fromJoinedUdp(from: LaneSocket, slot: number, at: number, length: number, segment: number): void {
    const first = this.fromUdp(from, slot, at, Math.min(segment, length))
    let bad = false
    for (let o = segment; o < length; o += segment)
      if (isForeign(this.fromUdp(from, slot, at + o, Math.min(segment, length - o)))) bad = true
    if (first > 0) from.watch?.slot(bad)
  }

  /** @returns octets of the inner packet, a drop code, or 0 for what is no ESP */
  private fromUdp(from: LaneSocket, slot: number, at: number, length: number): number {
    this.counters.add(C.rxDatagrams, 1)
    switch (nattKind(this.slab.bytes, at, length)) {
      case NATT.ESP: {
        const { rx, spec } = from
        const n = this.inbound.openUdp(at, length, rx.tos[slot]!)
        const port = rx.sourcePort[slot]!
        if (n > 0) this.peers.accepted(this.inbound.sa!, this.slab.bytes, at, rx.source, slot * 16, port)
        else if (n === DROP.UNKNOWN_SPI)
          this.unknownSpis.report(this.slab.bytes, at, spec, rx.source, slot * 16, port)
        this.deliver(n)
        return n
      }
      case NATT.IKE:
        this.ike.take(from, slot, at, length)
        return 0
      case NATT.KEEPALIVE:
        this.counters.add(C.keepalives, 1)
        return 0
      default:
        this.counters.drop(-DROP.MALFORMED_OUTER)
        return DROP.MALFORMED_OUTER
    }
  }

  /** @param length of the inner packet at inbound.at, or a drop code */
  private deliver(length: number): void {
    if (length < 0) return this.counters.drop(-length)
    this.writer.add(this.inbound.at, length)
  }

  /** UDP_GRO spoils datagrams: from now on each comes by itself. */
  private withoutGro(socket: LaneSocket): void {
    socket.watch = undefined
    disableUdpGro(socket.spec.fd)
    this.post({ op: 'stepBack', feature: 'udpGro', reason: 'joined datagrams that are not authentic' })
  }

  refill(): void {
    this.ike.refill()
    this.icmp.refill()
    this.unknownSpis.refill()
    this.peers.refill()
  }
}

/** True for the codes of a datagram that no peer has sent. */
const isForeign = (code: number): boolean =>
  code === DROP.BAD_ICV ||
  code === DROP.UNKNOWN_SPI ||
  code === DROP.BAD_LENGTH ||
  code === DROP.MALFORMED_OUTER
