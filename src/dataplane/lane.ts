import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { type SumKernel, sumKernel } from '../bytes/simd/sum-kernel.js'
import type { Slab } from '../bytes/slab.js'
import type { selectEngines } from '../crypto/select.js'
import { nativeSlab } from '../ffi/slab.js'
import { ACQUIRE, DROP } from '../ipsec/drop.js'
import type { Inbound } from '../ipsec/inbound.js'
import type { Outbound } from '../ipsec/outbound.js'
import { createInboundSa, createOutboundSa, type OutboundSa } from '../ipsec/sa.js'
import { Sad } from '../ipsec/sad.js'
import { Spd } from '../ipsec/spd.js'
import { NativeIoVectors } from '../net/iovectors.js'
import { NativePacketSocket } from '../net/packet-socket.js'
import type { Poller } from '../net/poller.js'
import { NativeTunQueue } from '../net/tun-queue.js'
import type { PacketSocket, RxBatch, TunQueue } from '../net/types.js'
import type { Wakeup } from '../net/wakeup.js'
import type { SaExpiry, SaSpec } from '../sadb/sa-spec.js'
import { VNET_HDR_LEN } from '../wire/virtio-net-hdr.js'
import { type CoalescedSink, Coalescer, coalescerHeaderRoom, SEGMENTS_MAX } from './coalescing.js'
import { C, Counters } from './counters.js'
import { type FromLane, type LaneOptions, MAIL, type SocketSpec, type ToLane } from './messages.js'
import { PendingPackets, pendingRoom } from './pending.js'
import { completeChecksum, SEGMENT_HEADER_MAX, Segmenter } from './segmentation.js'
import type { TxQueue } from './tx-queue.js'

/** A TUN read brings at most a 64 KiB packet and its vnet header. */
const TUN_READ_MAX = VNET_HDR_LEN + 65_535
/** Room behind a packet for the ESP trailer that is written in place (255 octets of padding at most). */
const TAIL_ROOM = 320
/** Packets read from the TUN before the sockets get their turn. */
const TUN_BUDGET = 8
/** Sealed packets between two sends: the expansion of TUN_BUDGET full reads and then some. */
const OUT_ROOM = 1 << 20
/** A slot of a UDP socket with GRO holds 64 KiB; raw sockets bring one packet a slot, jumbo frames included. */
const GRO_SLOTS = 8
const GRO_SLOT = 65_536
const PLAIN_SLOTS = 64
const PLAIN_SLOT = 9_600
/** Free octets in front of each received packet: the vnet header of an inner packet may reach before its slot. */
const HEAD_ROOM = 64
/** IKE messages handed on between two looks at the clock; more are dropped. IKE on port 4500 is rare once SAs are up. */
const IKE_BUDGET = 64
const HOUSEKEEPING_MS = 100
const ACQUIRE_INTERVAL_MS = 1_000
const IDLE_POLL_MS = 500
/** EINVAL on this many joined TUN writes in a row: the kernel does not take them. */
const TUN_GSO_FAULTS = 4

/** What the lane keeps beside each outbound SA: how its packets leave. */
interface Route {
  readonly queue: TxQueue
  readonly destination: number
  /** Octets in front of the ESP or AH header that the socket wants: a raw socket with the IP header included. */
  readonly withHeader: boolean
  readonly slot: number
}

interface Receiver {
  readonly spec: SocketSpec
  readonly socket: PacketSocket
  readonly rx: RxBatch
  readonly queue: TxQueue
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
  private readonly wakeup: Wakeup
  private readonly poller: Poller
  private readonly receivers: readonly Receiver[]
  private readonly engines: ReturnType<typeof selectEngines>
  private readonly sad = new Sad()
  private readonly spd = new Spd()
  private readonly outbound: Outbound
  private readonly inbound: Inbound
  private readonly segmenter: Segmenter
  private readonly coalescer: Coalescer
  private readonly pending: PendingPackets
  private readonly routes = new Map<number, Route>()
  private readonly slots = new Map<string, number>()
  private readonly acquired = new Map<number, number>()

  private readonly tunAt: number
  private readonly outBase: number
  private out: number
  private nowMs = 0
  private ikeLeft = IKE_BUDGET
  private joining: boolean
  private joinFaults = 0
  private stopping = false

  constructor(options: LaneOptions, port: MessagePort) {
    this.port = port
    this.mail = new Int32Array(options.mail)
    this.counters = new Counters(options.counters)

    const receiveRoom = options.sockets.reduce((n, s) => n + receiveRoomOf(s), 0)
    const headers = VNET_HDR_LEN + TUN_READ_MAX + TAIL_ROOM + SEGMENT_HEADER_MAX + coalescerHeaderRoom + 256
    this.slab = nativeSlab(headers + OUT_ROOM + pendingRoom + receiveRoom)
    let at = this.slab.scratch + SCRATCH_LEN
    const take = (octets: number): number => {
      const from = at
      at = from + ((octets + 63) & ~63)
      return from
    }
    this.sum = sumKernel(this.slab)
    this.segmenter = new Segmenter(this.slab, take(SEGMENT_HEADER_MAX))
    // The vnet header ends on a 64-octet boundary, so that the packet starts on one.
    this.tunAt = take(64 + 65_535 + TAIL_ROOM) + 64 - VNET_HDR_LEN
    const sink: CoalescedSink = {
      writeOne: (packet, length) => this.writeTun(packet, length),
      writeMany: (vectors, count) => this.writeJoined(vectors, count),
    }
    this.vectors = new NativeIoVectors(this.slab, SEGMENTS_MAX + 1)
    this.coalescer = new Coalescer(this.slab, take(coalescerHeaderRoom), this.vectors, sink)
    this.pending = new PendingPackets(this.slab, take(pendingRoom))
    this.outBase = take(OUT_ROOM)
    this.out = this.outBase
  }

  /** Runs until a stop message. Returns when every queue is flushed. */
  run(): void {
    this.port.postMessage({ op: 'ready', engines: this.engines.report } satisfies FromLane)
    let housekeepingAt = 0
    while (!this.stopping) {
      this.nowMs = performance.now()
      if (this.nowMs >= housekeepingAt) {
        this.housekeeping()
        housekeepingAt = this.nowMs + HOUSEKEEPING_MS
      }
      if (Atomics.load(this.mail, MAIL) !== 0) this.readMail()
      let work = this.drainTun()
      for (const receiver of this.receivers) work += this.drainSocket(receiver)
      this.counters.add(C.loops, 1)
      if (work === 0) {
        this.counters.add(C.polls, 1)
        this.poller.wait(IDLE_POLL_MS)
      }
    }
    this.destroy()
  }

  // ---- TUN -> socket

  private drainTun(): number {
    let work = 0
    for (; work < TUN_BUDGET; work++) {
      const n = this.tun.read(this.tunAt, TUN_READ_MAX)
      if (n <= 0) break
      this.fromTun(this.tunAt + VNET_HDR_LEN, n - VNET_HDR_LEN)
    }
    if (work > 0) this.flushOut()
    return work
  }

