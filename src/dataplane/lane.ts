import { randomBytes, randomInt } from 'node:crypto'
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { wipe } from '../bytes/octets.js'
import { type SumKernel, sumKernel } from '../bytes/simd/sum-kernel.js'
import { SCRATCH_LEN, type Slab } from '../bytes/slab.js'
import { type EngineSelection, selectEngines } from '../crypto/select.js'
import { nativeSlab } from '../ffi/slab.js'
import { Burst } from '../ipsec/burst.js'
import { ACQUIRE, DROP } from '../ipsec/drop.js'
import { Inbound, REBUILD_SLACK } from '../ipsec/inbound.js'
import { FRAGMENT_HEADER_ROOM, Ipv4Fragmenter } from '../ipsec/ipv4-fragmenter.js'
import { Outbound } from '../ipsec/outbound.js'
import { OuterFragmenter } from '../ipsec/outer-fragmenter.js'
import { PathMtus } from '../ipsec/path-mtu.js'
import { REASSEMBLY_ROOM, Reassembler } from '../ipsec/reassembler.js'
import { createInboundSa, createOutboundSa, type OutboundSa } from '../ipsec/sa.js'
import { SA_CELLS } from '../ipsec/sa-use.js'
import { Sad } from '../ipsec/sad.js'
import { Spd } from '../ipsec/spd.js'
import { clampMss } from '../ipsec/tcp-mss.js'
import { NativeIoVectors } from '../net/iovectors.js'
import { disableUdpGro } from '../net/open-socket.js'
import { NativePacketSocket } from '../net/packet-socket.js'
import { Poller } from '../net/poller.js'
import { lowerTunOffload } from '../net/tun.js'
import { NativeTunQueue } from '../net/tun-queue.js'
import type { RxBatch, TunQueue } from '../net/types.js'
import { Wakeup } from '../net/wakeup.js'
import type { SaKey, SaSpec } from '../sadb/sa-spec.js'
import { IKE_MESSAGE_MAX, NAT_T_PORT, NON_ESP_MARKER_LEN } from '../wire/ike/header.js'
import type { IpAddress } from '../wire/ip-address.js'
import { AH, ESP, ICMP, ICMPV6, TCP, UDP } from '../wire/ip-protocol.js'
import { IPV4_TOTAL_MAX } from '../wire/ipv4.js'
import { NATT, nattKind } from '../wire/udp.js'
import { type Unreachable, unreachableV4, unreachableV6 } from '../wire/unreachable.js'
import {
  VNET_GSO_NONE,
  VNET_HDR_LEN,
  vnetChecksumOffset,
  vnetChecksumStart,
  vnetGsoSize,
  vnetGsoType,
  vnetNeedsChecksum,
} from '../wire/virtio-net-hdr.js'
import { Budget } from './budget.js'
import { coalescerHeaderRoom, SEGMENTS_MAX } from './coalescing.js'
import { C, Counters } from './counters.js'
import { HandOver } from './hand-over.js'
import { type FromLane, type LaneOptions, MAIL, type SocketSpec, type ToLane } from './messages.js'
import { FaultCount, JoinedSlotWatch } from './offload-watch.js'
import { FRAGMENT, OVERSIZE_ROOM, Oversize } from './oversize.js'
import { PeerWatch } from './peer-watch.js'
import { PendingPackets, pendingRoom } from './pending.js'
import { completeChecksum, SEGMENT_HEADER_MAX, Segmenter } from './segmentation.js'
import { TunWriter } from './tun-writer.js'
import { TxQueue } from './tx-queue.js'
import { UnknownSpis } from './unknown-spis.js'

/** The largest packet that a TUN read brings. */
const TUN_PACKET_MAX = 65_535
/** Room behind a packet for the ESP trailer that is written in place. */
const TAIL_ROOM = 64
/**
 * Packets, of up to 64 KiB each, and octets read from the TUN before the sockets get their turn: small packets come one
 * by one, and only what is sent together can become one UDP_SEGMENT message.
 */
const TUN_PACKETS = 64
const TUN_OCTETS = 512 * 1024
/** Sealed packets between two sends. */
const OUT_ROOM = 1 << 20
/** Room that one sealed packet may need: the largest IP packet there is. */
const SEALED_MAX = 65_600
/** Room behind that for the same packet in fragments, headers and all. */
const FRAGMENTS_MAX = SEALED_MAX + 8_192
/**
 * A slot holds 64 KiB: datagrams that were joined, or one packet that came in fragments. On a device that joins nothing each slot
 * has one packet, so there are many; they are touched only as far as packets reach.
 */
const SLOTS = 64
const SLOT = 65_536
const ICMP_SLOTS = 8
const ICMP_SLOT = 2_048
/** Octets in front of each slot: headers that are made for what has none (IPv6, vnet) go there. */
const HEAD_ROOM = 64
/** Inner packets of UDP-encapsulated transport mode, of one batch: the kernel joins at most 64 datagrams a slot. */
const REBUILD_ROOM = SLOTS * (SLOT + 64 * REBUILD_SLACK)
/** IKE messages handed to the main thread each HOUSEKEEPING_MS; more are dropped and counted. */
const IKE_MESSAGES = 1024
/** ICMP messages looked at in the same time. */
const ICMP_MESSAGES = 64
/** Of them, those about a peer that cannot be reached, which are handed to the main thread. */
const UNREACHABLE = 4
const HOUSEKEEPING_MS = 100
/** Octets that a dummy packet seems to have inside: a bare TCP acknowledgement, and what every path carries. */
const DUMMY_MIN = 40
const DUMMY_MAX = 1_280
const ACQUIRE_INTERVAL_MS = 1_000
const IDLE_POLL_MS = 500

/** How the packets of an outbound SA leave. */
interface Route {
  readonly queue: TxQueue
  readonly destination: number
  /** The socket wants the outer IP header too; otherwise the kernel writes it. */
  readonly whole: boolean
}

interface Receiver {
  readonly spec: SocketSpec
  readonly socket: NativePacketSocket
  readonly rx: RxBatch
  readonly queue: TxQueue
  /** Watches UDP_GRO; undefined when that is off. */
  watch: JoinedSlotWatch | undefined
}

/**
 * One data-plane worker in a run-to-completion loop: drain the TUN, seal, send a batch; receive a batch, open, write the
 * TUN; sleep in poll(2) when there was nothing to do. All packets live in its slab; nothing is allocated per packet.
 */
export class Lane {
  private readonly port: MessagePort
  private readonly mail: Int32Array
  private readonly counters: Counters
  private readonly slab: Slab
  private readonly sum: SumKernel
  private readonly tun: TunQueue
  private readonly tunFd: number
  /** Octets of vnet header in front of each packet of the TUN: 10 or 0. */
  private readonly header: number
  private readonly wakeup: Wakeup
  private readonly poller: Poller
  private readonly receivers: readonly Receiver[]
  private readonly selection: EngineSelection
  /** Packets that are worked on together; undefined where no engine gains by it. */
  private readonly burst: Burst | undefined
  private readonly sad = new Sad()
  private readonly spd = new Spd()
  private readonly outbound: Outbound
  private readonly inbound: Inbound
  private readonly segmenter: Segmenter
  private readonly writer: TunWriter
  private readonly pending: PendingPackets
  /** Packets that other lanes have no SA for; undefined where there is one lane. */
  private readonly inbox: TunQueue | undefined
  private readonly handOver: HandOver
  private readonly pathMtus: PathMtus
  private readonly oversize: Oversize
  private readonly fragmenter: Ipv4Fragmenter
  private readonly outerFragmenter: OuterFragmenter
  private readonly reassembler: Reassembler
  /** MTU of the TUN device; 0 = not told yet. */
  private tunMtu = 0
  private readonly routes = new Map<OutboundSa, Route>()
  /** When an SA was last asked for, by policy. */
  private readonly acquired = new Map<number, number>()

  private readonly tunAt: number
  private readonly outBase: number
  private out: number
  private nowMs = 0
  private readonly ikeMessages = new Budget(IKE_MESSAGES)
  private readonly icmpMessages = new Budget(ICMP_MESSAGES)
  private readonly unknownSpis: UnknownSpis
  private readonly peers: PeerWatch
  private readonly unreachable = new Budget(UNREACHABLE)
  private dummiesAt = 0
  /** Dummy packets are to be sent without being woken. */
  private shaping = false
  /** Every lane hears every ICMP message: one of them counts those that are of no use. */
  private readonly countsIcmp: boolean
  /** Of large packets from the TUN. */
  private readonly vnetFaults = new FaultCount()
  /** TUN_F_ bits of the device. */
  private tunOffloads: number
  private stopping = false

  /**
   * @param options descriptors that the main thread opened and closes after the lane has stopped
   * @throws CryptoError when no engine passes its self-test
   */
  constructor(options: LaneOptions, port: MessagePort) {
    this.port = port
    this.mail = new Int32Array(options.mail)
    this.counters = new Counters(options.counters)

    const plan = new SlabPlan()
    const segmentHeaders = plan.take(SEGMENT_HEADER_MAX)
    const joinHeaders = plan.take(coalescerHeaderRoom)
    // The vnet header ends where a cache line begins, so that the packet starts on one.
    const tunAt = plan.take(64 + TUN_PACKET_MAX + TAIL_ROOM) + 64
    const oversizeAt = plan.take(OVERSIZE_ROOM)
    const fragmentHeader = plan.take(FRAGMENT_HEADER_ROOM)
    const outerFragmentHeader = plan.take(FRAGMENT_HEADER_ROOM)
    const reassemblyAt = plan.take(REASSEMBLY_ROOM)
    const pendingAt = plan.take(pendingRoom + TAIL_ROOM)
    this.outBase = plan.take(OUT_ROOM + SEALED_MAX + FRAGMENTS_MAX)
    this.out = this.outBase
    const rebuildAt = plan.take(REBUILD_ROOM)
    const slots = options.sockets.map((spec) => plan.take(slotsOf(spec) * strideOf(spec)))
    this.slab = nativeSlab(plan.length)

    this.selection = selectEngines(options.engine, this.slab)
    const cryptoQueue = this.selection.engines.find((engine) => engine.queue)?.queue?.(this.slab)
    this.burst = cryptoQueue && new Burst(cryptoQueue)
    this.sum = sumKernel(this.slab)
    this.header = options.tun.vnetHeader ? VNET_HDR_LEN : 0
    this.tunAt = tunAt - this.header
    this.tun = new NativeTunQueue(options.tun.fd, options.tun.vnetHeader, this.slab)
    this.tunOffloads = options.tun.offloads
    this.tunFd = options.tun.fd
    this.outbound = new Outbound(this.slab, this.spd, this.sad)
    this.inbound = new Inbound(this.slab, this.sad, { at: rebuildAt, length: REBUILD_ROOM })
    this.segmenter = new Segmenter(this.slab, segmentHeaders)
    this.writer = new TunWriter(this.slab, this.tun, this.counters, {
      joinTcp: options.tun.joinTcp,
      joinUdp: options.tun.joinUdp,
      headers: joinHeaders,
      vectors: new NativeIoVectors(this.slab, SEGMENTS_MAX + 1),
      stepBack: (feature, reason) => this.post({ op: 'stepBack', feature, reason }),
    })
    this.pending = new PendingPackets(this.slab, pendingAt)
    this.pathMtus = new PathMtus(this.slab, this.sad)
    this.oversize = new Oversize(this.slab, oversizeAt, (at, length) => this.writer.writeOne(at, length))
    this.fragmenter = new Ipv4Fragmenter(this.slab, fragmentHeader)
    const identification = randomBytes(4).readUInt32BE()
    this.outerFragmenter = new OuterFragmenter(this.slab, outerFragmentHeader, identification)
    this.reassembler = new Reassembler(this.slab, reassemblyAt)

    const queue = (fd: number): TunQueue => new NativeTunQueue(fd, options.tun.vnetHeader, this.slab)
    this.unknownSpis = new UnknownSpis((message) => this.post(message))
    this.peers = new PeerWatch((message) => this.post(message))
    this.handOver = new HandOver(this.slab, this.counters, options.outboxFds.map(queue))
    this.countsIcmp = options.lane === 0

    this.wakeup = new Wakeup(options.wakeFd)
    this.poller = new Poller(3 + options.sockets.length)
    this.poller.add(options.wakeFd)
    this.poller.add(options.tun.fd)
    if (options.inboxFd >= 0) {
      this.inbox = queue(options.inboxFd)
      this.poller.add(options.inboxFd)
    }
    this.receivers = options.sockets.map((spec, i) => this.receiver(spec, slots[i]!))
  }

  private receiver(spec: SocketSpec, slots: number): Receiver {
    this.poller.add(spec.fd)
    const socket = new NativePacketSocket(spec.fd, spec.family, spec.kind, this.slab, spec.linkFd)
    const queue = new TxQueue(socket, spec.gso, {
      sending: () => this.burst?.run(),
      sent: (packets) => this.counters.add(C.txDatagrams, packets),
      failed: (packets) => this.drop(DROP.SEND_FAILED, packets),
      gsoRefused: (errno) => this.post({ op: 'stepBack', feature: 'udpGso', reason: `errno ${errno}` }),
    })
    const size = slotsOf(spec)
    const stride = strideOf(spec)
    const rx: RxBatch = {
      size,
      at: Int32Array.from({ length: size }, (_, i) => slots + i * stride + HEAD_ROOM),
      room: stride - HEAD_ROOM,
      length: new Int32Array(size),
      segment: new Int32Array(size),
      tos: new Uint8Array(size),
      sourcePort: new Int32Array(size),
      source: new Uint8Array(size * 16),
    }
    return { spec, socket, rx, queue, watch: spec.gro ? new JoinedSlotWatch() : undefined }
  }

  /** Runs until a stop message. */
  run(): void {
    this.post({ op: 'ready', engines: this.selection.report })
    let housekeepingAt = 0
    while (!this.stopping) {
      this.nowMs = performance.timeOrigin + performance.now()
      this.outbound.nowMs = this.nowMs
      this.inbound.nowMs = this.nowMs
      if (this.nowMs >= housekeepingAt) {
        this.housekeeping()
        housekeepingAt = this.nowMs + HOUSEKEEPING_MS
      }
      if (Atomics.load(this.mail, MAIL) !== 0) this.readMail()
      let work = this.drain(this.tun)
      if (this.inbox) work += this.drain(this.inbox)
      for (const receiver of this.receivers) work += this.drainSocket(receiver)
      this.counters.add(C.loops, 1)
      if (work === 0 && !this.stopping) {
        this.counters.add(C.polls, 1)
        this.poller.wait(this.shaping ? HOUSEKEEPING_MS : IDLE_POLL_MS)
      }
    }
    this.sad.clear()
    this.slab.bytes.fill(0)
    this.post({ op: 'stopped' })
  }

  private post(message: FromLane): void {
    this.port.postMessage(message)
  }

  private drop(code: number, packets = 1): void {
    this.counters.drop(-code, packets)
  }

  // TUN to socket

  private drain(queue: TunQueue): number {
    let work = 0
    for (let octets = 0; work < TUN_PACKETS && octets < TUN_OCTETS; work++) {
      const n = queue.read(this.tunAt, this.header + TUN_PACKET_MAX)
      if (n <= this.header) break
      // What comes from another lane was counted there.
      if (queue === this.tun) this.counters.add(C.tunReadOctets, n - this.header)
      this.fromTun(this.tunAt + this.header, n - this.header)
      octets += n
    }
    if (work > 0) this.flushOut()
    return work
  }

  /** A packet from the TUN; its vnet header, if it has one, lies in front of it. */
  private fromTun(at: number, length: number): void {
    let segmentSize = 0
    if (this.header !== 0) {
      const b = this.slab.bytes
      const header = at - this.header
      if (vnetGsoType(b, header) !== VNET_GSO_NONE) segmentSize = vnetGsoSize(b, header)
      else if (vnetNeedsChecksum(b, header)) {
        const start = vnetChecksumStart(b, header)
        const offset = vnetChecksumOffset(b, header)
        if (!completeChecksum(this.slab, this.sum, at, length, start, offset)) {
          this.vnetFault()
          return this.drop(DROP.MALFORMED_INNER)
        }
      }
    }
    this.protect(at, length, segmentSize)
  }

  /**
   * Seals a packet, or all the segments of a large one, into the out area.
   * @param segmentSize transport octets a segment; 0 = the packet is one
   * @param gathered it came in fragments, and may go in fragments
   */
  private protect(at: number, available: number, segmentSize: number, gathered = false): void {
    const length = this.outbound.lookup(at, available)
    if (length !== DROP.MALFORMED_INNER && this.outbound.isPiece()) return this.gather(at)
    if (length === ACQUIRE) return this.hold(this.outbound.policy, at, available, segmentSize)
    if (length < 0) return this.drop(length)
    const sa = this.outbound.sa!
    const route = this.routes.get(sa)!
    let size = segmentSize
    if (length > sa.innerMtu) {
      const { packet } = this.outbound
      size = gathered ? 0 : this.oversize.judge(at, packet, sa.innerMtu, segmentSize, sa.wantsWhole)
      if (size === FRAGMENT) return this.sealFragments(sa, route, at, length)
      if (size < 0) return this.drop(size)
    }
    if (size === 0) {
      const { packet } = this.outbound
      if (packet.protocol === TCP) clampMss(this.slab.bytes, at, packet, sa.mssLimit(packet.version))
      return this.seal(sa, route, at, length)
    }
    const { segmenter } = this
    if (!segmenter.begin(at, length, size)) {
      this.vnetFault()
      return this.drop(DROP.UNSEGMENTABLE)
    }
    this.vnetFaults.succeeded()
    while (segmenter.next()) this.seal(sa, route, segmenter.at, segmenter.length)
  }

  /** A fragment of a packet that can be protected whole only. */
  private gather(at: number): void {
    const { reassembler, outbound } = this
    const length = reassembler.add(at, outbound.packet, this.nowMs)
    if (length < 0) this.drop(length)
    else if (length > 0) this.protect(reassembler.at, length, 0, true)
  }

  private sealFragments(sa: OutboundSa, route: Route, at: number, length: number): void {
    const { fragmenter } = this
    if (!fragmenter.begin(at, length, sa.innerMtu)) return this.drop(DROP.TOO_BIG)
    while (fragmenter.next()) this.seal(sa, route, fragmenter.at, fragmenter.length)
  }

  /** The device left us something that makes no sense: after a few of them it leaves us less. */
  private vnetFault(): void {
    if (!this.vnetFaults.failed()) return
    this.vnetFaults.succeeded()
    const { feature, bits } = lowerTunOffload(this.tunFd, this.tunOffloads)
    this.tunOffloads = bits
    const reason = 'large packets that cannot be cut'
    if (feature) this.post({ op: 'stepBack', feature, reason, tunOffloads: bits })
  }

  private seal(sa: OutboundSa, route: Route, at: number, length: number): void {
    const { outbound, out } = this
    this.counters.add(C.tunReadPackets, 1)
    const n = route.whole ? outbound.seal(sa, at, length, out) : outbound.sealPayload(sa, at, length, out)
    if (n < 0) return this.drop(n)
    if (!route.whole) route.queue.useDf(outbound.df)
    else if (n > sa.pathMtu) return this.pushFragments(sa, route, n)
    route.queue.push(out, n, route.destination, outbound.tos)
    this.out = out + n
    if (this.out > this.outBase + OUT_ROOM) this.flushOut()
  }

  /** A sealed packet of `length` octets that is larger than the path. The kernel fragments no packet that has its header. */
  private pushFragments(sa: OutboundSa, { queue, destination }: Route, length: number): void {
    const { outerFragmenter, outbound, out } = this
    this.burst?.run()
    if (!outerFragmenter.begin(out, length, sa.pathMtu)) return this.drop(DROP.TOO_BIG)
    let to = out + length
    for (let n = outerFragmenter.next(to); n > 0; n = outerFragmenter.next(to)) {
      queue.push(to, n, destination, outbound.tos)
      to += n
    }
    this.out = to
    if (this.out > this.outBase + OUT_ROOM) this.flushOut()
  }

  /** Hands the packet to the lane that has the SA, or asks for one, once a second and policy, and lets the packet wait for it. */
  private hold(policy: number, at: number, length: number, segmentSize: number): void {
    if (this.handOver.take(policy, at, length, segmentSize !== 0)) return
    const asked = this.acquired.get(policy)
    if (asked === undefined || this.nowMs - asked >= ACQUIRE_INTERVAL_MS) {
      this.acquired.set(policy, this.nowMs)
      this.post({ op: 'acquire', policy })
    }
    // A large packet belongs to a flow that was open before: it comes again.
    if (segmentSize !== 0 || !this.pending.add(policy, at, length, this.nowMs)) this.drop(DROP.NO_SA)
  }

  /** Hands everything that is sealed to the kernel; the out area is free afterwards. */
  private flushOut(): void {
    for (const { queue, socket } of this.receivers) {
      if (queue.pending === 0) continue
      queue.flush()
      this.counters.add(C.txCalls, 1)
      this.counters.add(C.txDirect, socket.takeDirect())
    }
    this.out = this.outBase
  }

  // socket to TUN

  private drainSocket(receiver: Receiver): number {
    const { rx, socket, spec } = receiver
    const n = socket.receive(rx)
    if (n <= 0) return 0
    this.counters.add(C.rxCalls, 1)
    // The peer may use an SA as soon as IKE has told it: that was after the mail about it was posted, but maybe in this same turn.
    if (Atomics.load(this.mail, MAIL) !== 0) this.readMail()
    const { burst } = this
    for (let i = 0, announced = 0; i < n; i++) {
      if (burst && burst.users > 0 && i === announced) announced = this.announce(burst, receiver, i, n)
      const at = rx.at[i]!
      const length = rx.length[i]!
      const segment = rx.segment[i]!
      if (spec.kind === 'raw') this.fromRaw(receiver, i, at, length)
      else if (segment === 0) this.fromUdp(receiver, i, at, length)
      else this.fromJoinedUdp(receiver, i, at, length, segment)
    }
    this.writer.flush()
    this.inbound.rewind()
    if (receiver.watch?.guilty) this.withoutGro(receiver)
    return n
  }

  /**
   * Opens the packets of slots `from` and following together, as many as go into a burst.
   * @param n slots of the batch
   * @returns the first slot that was left
   */
  private announce(burst: Burst, { rx, spec }: Receiver, from: number, n: number): number {
    const { inbound } = this
    let slot = from
    burst.begin()
    for (let room = burst.queue.capacity; slot < n; slot++) {
      const at = rx.at[slot]!
      const length = rx.length[slot]!
      const segment = rx.segment[slot]! || length
      room -= Math.ceil(length / segment) || 1
      if (room < 0 && slot > from) break
      if (spec.kind !== 'raw')
        for (let o = 0; o < length; o += segment) inbound.announce(at + o, Math.min(segment, length - o))
      else if (spec.family === 4) inbound.announceIpv4(at, length)
      else if (spec.protocol === ESP) inbound.announce(at, length)
    }
    burst.run()
    return slot
  }

  private fromRaw({ spec, rx }: Receiver, slot: number, at: number, length: number): void {
    if (spec.protocol === ICMP || spec.protocol === ICMPV6) return this.fromIcmp(spec, at, length)
    this.counters.add(C.rxDatagrams, 1)
    const n =
      spec.family === 4
        ? this.inbound.openIpv4(at, length)
        : this.inbound.openIpv6Payload(at, length, spec.protocol, rx.tos[slot]!, rx.source, slot * 16)
    if (n === DROP.UNKNOWN_SPI) this.unknownSpis.report(this.slab.bytes, at, spec, rx.source, slot * 16, 0)
    this.deliver(n)
  }

  private fromIcmp({ protocol }: SocketSpec, at: number, length: number): void {
    if (!this.icmpMessages.take()) return this.drop(DROP.ICMP_IGNORED)
    const b = this.slab.bytes
    const gone = protocol === ICMP ? unreachableV4(b, at, length) : unreachableV6(b, at, length)
    if (gone !== undefined) return this.toldUnreachable(gone)
    const path =
      protocol === ICMP
        ? this.pathMtus.reportedV4(this.nowMs, at, length)
        : this.pathMtus.reportedV6(this.nowMs, at, length)
    if (typeof path !== 'number') this.pathsChanged()
    else if (path !== 0 && this.countsIcmp) this.drop(path)
  }

  /** A word for the operator, and nothing else. Every lane hears it: one tells. */
  private toldUnreachable(gone: Unreachable): void {
    if (this.countsIcmp && this.unreachable.take()) this.post({ op: 'unreachable', ...gone })
  }

  private pathsChanged(): void {
    this.refit()
    this.post({ op: 'pathMtu', paths: this.pathMtus.list() })
  }

  /** What fits: the device's MTU, or what is known of the path where that is less. */
  private refit(): void {
    const device = this.tunMtu === 0 ? IPV4_TOTAL_MAX : this.tunMtu
    for (const sa of this.sad.outbounds()) sa.fits = Math.min(device, sa.innerMtu)
    for (const sa of this.sad.inbounds()) sa.fits = this.sad.outbound(sa.policy)?.fits ?? device
  }

  /** A slot in which the kernel joined datagrams of `segment` octets. */
  private fromJoinedUdp(receiver: Receiver, slot: number, at: number, length: number, segment: number): void {
    const first = this.fromUdp(receiver, slot, at, Math.min(segment, length))
    let bad = false
    for (let from = segment; from < length; from += segment)
      if (isForeign(this.fromUdp(receiver, slot, at + from, Math.min(segment, length - from)))) bad = true
    if (first > 0) receiver.watch?.slot(bad)
  }

  /** @returns octets of the inner packet, a drop code, or 0 for what is no ESP */
  private fromUdp(receiver: Receiver, slot: number, at: number, length: number): number {
    this.counters.add(C.rxDatagrams, 1)
    switch (nattKind(this.slab.bytes, at, length)) {
      case NATT.ESP: {
        const { rx, spec } = receiver
        const n = this.inbound.openUdp(at, length, rx.tos[slot]!)
        const port = rx.sourcePort[slot]!
        if (n > 0) this.peers.accepted(this.inbound.sa!, this.slab.bytes, at, rx.source, slot * 16, port)
        else if (n === DROP.UNKNOWN_SPI)
          this.unknownSpis.report(this.slab.bytes, at, spec, rx.source, slot * 16, port)
        this.deliver(n)
        return n
      }
      case NATT.IKE:
        this.forwardIke(receiver, slot, at, length)
        return 0
      case NATT.KEEPALIVE:
        this.counters.add(C.keepalives, 1)
        return 0
      default:
        this.drop(DROP.MALFORMED_OUTER)
        return DROP.MALFORMED_OUTER
    }
  }

  /** UDP_GRO spoils datagrams: from now on each comes by itself. */
  private withoutGro(receiver: Receiver): void {
    receiver.watch = undefined
    disableUdpGro(receiver.spec.fd)
    this.post({ op: 'stepBack', feature: 'udpGro', reason: 'joined datagrams that are not authentic' })
  }

  private forwardIke({ spec, rx }: Receiver, slot: number, at: number, length: number): void {
    if (length > NON_ESP_MARKER_LEN + IKE_MESSAGE_MAX || !this.ikeMessages.take())
      return this.drop(DROP.IKE_OVERLOAD)
    this.counters.add(C.ikeForwarded, 1)
    this.post({
      op: 'ike',
      local: spec.local,
      localPort: NAT_T_PORT,
      remote: rx.source.slice(slot * 16, slot * 16 + spec.local.length),
      remotePort: rx.sourcePort[slot]!,
      message: this.slab.bytes.slice(at + NON_ESP_MARKER_LEN, at + length),
    })
  }

  /** @param length of the inner packet at inbound.at, or a drop code */
  private deliver(length: number): void {
    if (length < 0) return this.drop(length)
    this.writer.add(this.inbound.at, length)
  }

  // control

  private readMail(): void {
    Atomics.store(this.mail, MAIL, 0)
    this.wakeup.drain()
    for (let m = receiveMessageOnPort(this.port); m !== undefined; m = receiveMessageOnPort(this.port))
      this.handle(m.message as ToLane)
  }

  private handle(message: ToLane): void {
    switch (message.op) {
      case 'addSa':
        return this.addSa(message.sa, message.slot)
      case 'deleteSa':
        return this.deleteSa(message.key)
      case 'redirectSa':
        return this.redirectSa(message.key, message.remote, message.remotePort)
      case 'addPolicy':
        return this.spd.add(message.policy)
      case 'deletePolicy':
        this.acquired.delete(message.id)
        return this.spd.delete(message.id)
      case 'mtus':
        this.tunMtu = message.tun
        this.pathMtus.setWays(message.ways)
        return this.refit()
      case 'way': {
        const { local, remote, way } = message
        for (const { spec, socket } of this.receivers)
          if (spec.kind === 'raw' && Buffer.compare(spec.local, local) === 0) socket.setWay(remote, way)
        return
      }
      case 'handOver':
        return this.handOverTo(message.policy, message.to)
      case 'tunOffloads':
        this.tunOffloads = Math.min(this.tunOffloads, message.bits)
        return
      case 'paths':
        this.pathMtus.learnt(this.nowMs, message.paths)
        return this.refit()
      case 'stop':
        this.stopping = true
    }
  }

  private addSa(spec: SaSpec, slot: number): void {
    const from = this.counters.saBase(slot)
    const handling = this.spd.handling(spec.policy)
    const options = {
      nowMs: this.nowMs,
      cells: this.counters.cells.subarray(from, from + SA_CELLS),
      ivSalt: randomBytes(8),
      burst: this.burst,
      ...(handling && { handling }),
    }
    const { engines } = this.selection
    try {
      if (spec.direction === 'inbound')
        this.sad.addInbound(createInboundSa(spec, engines, this.slab, options))
      else this.addOutbound(createOutboundSa(spec, engines, this.slab, options))
      this.refit()
    } catch (error) {
      const { direction, protocol, spi, policy } = spec
      this.post({
        op: 'refused',
        key: { direction, protocol, spi, policy },
        reason: (error as Error).message,
      })
    } finally {
      wipe(spec.encryption?.key, spec.integrity?.key)
    }
  }

  private addOutbound(sa: OutboundSa): void {
    const { info, policy } = sa
    const protocol = info.udp ? UDP : info.protocol === 'esp' ? ESP : AH
    const receiver = this.receivers.find(
      ({ spec }) => spec.protocol === protocol && Buffer.compare(spec.local, info.local) === 0,
    )
    if (!receiver) {
      sa.destroy()
      throw new Error('no socket is bound to its local address')
    }
    const destination = receiver.socket.destination(info.remote, info.udp?.remotePort ?? 0)
    if (destination < 0) {
      sa.destroy()
      throw new Error('too many destinations')
    }
    const old = this.sad.outbound(policy)
    this.pathMtus.apply(sa)
    this.sad.addOutbound(sa)
    if (old) this.routes.delete(old)
    this.routes.set(sa, { queue: receiver.queue, destination, whole: receiver.spec.kind === 'raw' })
    this.acquired.delete(policy)
    this.pending.release(policy, (at, length) => this.protect(at, length, 0))
    this.flushOut()
  }

  /** What waits for an SA of this lane goes where the packets after it go. */
  private handOverTo(policy: number, to: number | undefined): void {
    this.handOver.set(policy, to)
    if (to === undefined) return
    this.acquired.delete(policy)
    const at = this.tunAt + this.header
    this.pending.release(policy, (from, length) => {
      this.slab.bytes.copyWithin(at, from, from + length)
      this.handOver.take(policy, at, length, false)
    })
  }

  /** What was sealed already goes where it was meant to. */
  private redirectSa(key: SaKey, remote: IpAddress, port: number): void {
    for (const [sa, route] of this.routes) {
      const { spi, policy, protocol } = sa.key
      if (spi !== key.spi || protocol !== key.protocol || policy !== key.policy || !sa.info.udp) continue
      const receiver = this.receivers.find(({ queue }) => queue === route.queue)
      const destination = receiver?.socket.destination(remote, port) ?? -1
      // A full table: it goes on as it is until it is negotiated anew.
      if (destination < 0) continue
      sa.redirect(remote, port)
      this.routes.set(sa, { ...route, destination })
      this.pathMtus.apply(sa)
      this.refit()
    }
  }

  private deleteSa(key: SaKey): void {
    this.sad.delete(key)
    if (key.direction === 'inbound') return
    for (const sa of this.routes.keys()) if (this.sad.outbound(sa.policy) !== sa) this.routes.delete(sa)
  }

  /** Those that are due since the last time. */
  private sendDummies(): void {
    const seconds = Math.min(1, (this.nowMs - this.dummiesAt) / 1000)
    this.dummiesAt = this.nowMs
    this.shaping = false
    for (const [sa, route] of this.routes) {
      const { dummyRate } = sa.handling
      if (dummyRate === 0 || !sa.tunnel || !sa.esp) continue
      this.shaping = true
      const due = dummyRate * seconds
      const count = Math.floor(due) + (randomInt(1000) < (due % 1) * 1000 ? 1 : 0)
      for (let i = 0; i < count; i++) {
        const length = sa.tfcPadding(0) || randomInt(DUMMY_MIN, Math.min(sa.fits, DUMMY_MAX))
        const n = this.outbound.sealDummy(sa, length, this.out, route.whole)
        if (n < 0) break
        if (!route.whole) route.queue.useDf(this.outbound.df)
        route.queue.push(this.out, n, route.destination, 0)
        this.counters.add(C.dummies, 1)
        this.out += n
        if (this.out > this.outBase + OUT_ROOM) this.flushOut()
      }
    }
    this.flushOut()
  }

  private housekeeping(): void {
    this.ikeMessages.refill()
    this.icmpMessages.refill()
    this.unknownSpis.refill()
    this.peers.refill()
    this.unreachable.refill()
    this.oversize.refill()
    if (this.pathMtus.expire(this.nowMs)) this.pathsChanged()
    const expired = this.pending.expire(this.nowMs)
    if (expired > 0) this.drop(DROP.PENDING_EXPIRED, expired)
    const incomplete = this.reassembler.expire(this.nowMs)
    if (incomplete > 0) this.drop(DROP.FRAGMENTS_LOST, incomplete)
    this.sendDummies()
    for (const sa of this.sad) {
      const expiry = sa.expiry(this.nowMs)
      if (expiry) this.post({ op: 'expire', expiry })
    }
  }
}

const isIcmp = (s: SocketSpec): boolean => s.protocol === ICMP || s.protocol === ICMPV6
const slotsOf = (s: SocketSpec): number => (isIcmp(s) ? ICMP_SLOTS : SLOTS)
const strideOf = (s: SocketSpec): number => HEAD_ROOM + (isIcmp(s) ? ICMP_SLOT : SLOT)

/** True for the codes of a datagram that no peer has sent. */
const isForeign = (code: number): boolean =>
  code === DROP.BAD_ICV ||
  code === DROP.UNKNOWN_SPI ||
  code === DROP.BAD_LENGTH ||
  code === DROP.MALFORMED_OUTER

/** Hands out areas of a slab before it is made. Each begins on a cache line. */
class SlabPlan {
  private at = SCRATCH_LEN

  take(octets: number): number {
    const from = this.at
    this.at = from + ((octets + 63) & ~63)
    return from
  }

  /** Octets that the slab needs besides its scratch area. */
  get length(): number {
    return this.at - SCRATCH_LEN
  }
}
