import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { Slab } from '../bytes/slab.js'
import { type EngineSelection, selectEngines } from '../crypto/select.js'
import { nativeSlab } from '../ffi/slab.js'
import { Burst } from '../ipsec/burst.js'
import { DROP } from '../ipsec/drop.js'
import { Inbound } from '../ipsec/inbound.js'
import { Outbound } from '../ipsec/outbound.js'
import { Sad } from '../ipsec/sad.js'
import { Spd } from '../ipsec/spd.js'
import { NativeIoVectors } from '../net/iovectors.js'
import { Poller } from '../net/poller.js'
import { NativeTunQueue } from '../net/tun-queue.js'
import type { TunQueue } from '../net/types.js'
import { Wakeup } from '../net/wakeup.js'
import { SEGMENTS_MAX } from './coalescing.js'
import { C, Counters } from './counters.js'
import { DummyTraffic } from './dummy-traffic.js'
import { HandOver } from './hand-over.js'
import { IcmpWatch } from './icmp-watch.js'
import { planLane } from './lane-memory.js'
import { LaneSas } from './lane-sas.js'
import { type LaneSocket, laneSocket } from './lane-socket.js'
import { type LaneOptions, MAIL, type Post, type ToLane } from './messages.js'
import { PathFit } from './path-fit.js'
import { TunOffloads } from './tun-offloads.js'
import { TunReader } from './tun-reader.js'
import { TunWriter } from './tun-writer.js'
import type { TxListener } from './tx-queue.js'
import { UnservedPolicies } from './unserved-policies.js'
import { WayIn } from './way-in.js'
import { WayOut } from './way-out.js'

const HOUSEKEEPING_MS = 100
const IDLE_POLL_MS = 500

/**
 * One data-plane worker in a run-to-completion loop: drain the TUN, seal, send a batch; receive a batch, open, write the
 * TUN; sleep in poll(2) when there was nothing to do. All packets live in its slab; nothing is allocated per packet.
 *
 * What it is made of is built from below: none of the parts knows the lane.
 */
export class Lane {
  private readonly port: MessagePort
  private readonly post: Post
  private readonly mail: Int32Array
  private readonly wakeup: Wakeup
  private readonly poller: Poller
  private readonly counters: Counters
  private readonly slab: Slab
  private readonly selection: EngineSelection
  private readonly sad = new Sad()
  private readonly spd = new Spd()
  private readonly outbound: Outbound
  private readonly inbound: Inbound
  private readonly tun: TunQueue
  /** Packets that other lanes have no SA for; undefined where there is one lane. */
  private readonly inbox: TunQueue | undefined
  private readonly sockets: readonly LaneSocket[]
  private readonly fit: PathFit
  private readonly offloads: TunOffloads
  private readonly unserved: UnservedPolicies
  private readonly wayOut: WayOut
  private readonly reader: TunReader
  private readonly dummies: DummyTraffic
  private readonly wayIn: WayIn
  private readonly sas: LaneSas
  private nowMs = 0
  private stopping = false

  /**
   * @param options descriptors that the main thread opened and closes after the lane has stopped
   * @throws CryptoError when no engine passes its self-test
   */
  constructor(options: LaneOptions, port: MessagePort) {
    this.port = port
    this.mail = new Int32Array(options.mail)
    const post: Post = (message) => port.postMessage(message)
    this.post = post
    const counters = new Counters(options.counters)
    this.counters = counters

    const memory = planLane(options.sockets)
    const slab = nativeSlab(memory.length)
    this.slab = slab
    this.selection = selectEngines(options.engine, slab)
    const { engines } = this.selection
    const cryptoQueue = engines.find((engine) => engine.queue)?.queue?.(slab)
    // Packets that are worked on together; undefined where no engine gains by it.
    const burst = cryptoQueue && new Burst(cryptoQueue)
    const { sad, spd } = this
    const outbound = new Outbound(slab, spd, sad)
    const inbound = new Inbound(slab, sad, memory.rebuild)
    this.outbound = outbound
    this.inbound = inbound

    const queue = (fd: number): TunQueue => new NativeTunQueue(fd, options.tun.vnetHeader, slab)
    const tun = queue(options.tun.fd)
    this.tun = tun
    const handOver = new HandOver(slab, counters, options.outboxFds.map(queue))
    const listener: TxListener = {
      sending: () => burst?.run(),
      sent: (packets) => counters.add(C.txDatagrams, packets),
      failed: (packets) => counters.drop(-DROP.SEND_FAILED, packets),
      gsoRefused: (errno) => post({ op: 'stepBack', feature: 'udpGso', reason: `errno ${errno}` }),
    }
    const sockets = options.sockets.map((spec, i) => laneSocket(spec, memory.slots[i]!, slab, listener))
    this.sockets = sockets

    const writer = new TunWriter(slab, tun, counters, {
      joinTcp: options.tun.joinTcp,
      joinUdp: options.tun.joinUdp,
      headers: memory.joinHeaders,
      vectors: new NativeIoVectors(slab, SEGMENTS_MAX + 1),
      stepBack: (feature, reason) => post({ op: 'stepBack', feature, reason }),
    })
    const fit = new PathFit(slab, sad, post)
    const offloads = new TunOffloads(options.tun.fd, options.tun.offloads, post)
    const unserved = new UnservedPolicies(slab, memory, counters, handOver, post)
    const tell = (at: number, length: number): void => writer.writeOne(at, length)
    const wayOut = new WayOut(slab, memory, counters, { outbound, sockets, unserved, offloads, burst, tell })
    this.fit = fit
    this.offloads = offloads
    this.unserved = unserved
    this.wayOut = wayOut
    this.reader = new TunReader(slab, memory, counters, tun, wayOut, offloads)
    this.dummies = new DummyTraffic(wayOut)
    const icmp = new IcmpWatch(slab, counters, fit, options.lane === 0, post)
    const checkMail = (): void => this.checkMail()
    this.wayIn = new WayIn(slab, counters, { inbound, writer, icmp, burst, post, checkMail })
    this.sas = new LaneSas(slab, counters, { sad, spd, engines, burst, sockets, fit, wayOut, post })

    this.wakeup = new Wakeup(options.wakeFd)
    this.poller = new Poller(3 + options.sockets.length)
    this.poller.add(options.wakeFd)
    this.poller.add(options.tun.fd)
    if (options.inboxFd >= 0) {
      this.inbox = queue(options.inboxFd)
      this.poller.add(options.inboxFd)
    }
    for (const { fd } of options.sockets) this.poller.add(fd)
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
      this.checkMail()
      let work = this.reader.drain(this.tun)
      if (this.inbox) work += this.reader.drain(this.inbox)
      for (const socket of this.sockets) work += this.wayIn.drain(socket)
      this.counters.add(C.loops, 1)
      if (work === 0 && !this.stopping) {
        this.counters.add(C.polls, 1)
        this.poller.wait(this.dummies.wanted ? HOUSEKEEPING_MS : IDLE_POLL_MS)
      }
    }
    this.sad.clear()
    this.slab.bytes.fill(0)
    this.post({ op: 'stopped' })
  }

  private checkMail(): void {
    if (Atomics.load(this.mail, MAIL) !== 0) this.readMail()
  }

  private readMail(): void {
    Atomics.store(this.mail, MAIL, 0)
    this.wakeup.drain()
    for (let m = receiveMessageOnPort(this.port); m !== undefined; m = receiveMessageOnPort(this.port))
      this.handle(m.message as ToLane)
  }

  private handle(message: ToLane): void {
    switch (message.op) {
      case 'addSa':
        return this.sas.add(message.sa, message.slot, this.nowMs)
      case 'deleteSa':
        return this.sas.delete(message.key)
      case 'redirectSa':
        return this.sas.redirect(message.key, message.remote, message.remotePort)
      case 'addPolicy':
        return this.spd.add(message.policy)
      case 'deletePolicy':
        this.unserved.forget(message.id)
        return this.spd.delete(message.id)
      case 'mtus':
        return this.fit.mtus(message.tun, message.ways)
      case 'paths':
        return this.fit.learnt(this.nowMs, message.paths)
      case 'way': {
        const { local, remote, way } = message
        for (const { spec, socket } of this.sockets)
          if (spec.kind === 'raw' && Buffer.compare(spec.local, local) === 0) socket.setWay(remote, way)
        return
      }
      case 'handOver':
        return this.unserved.handOverTo(message.policy, message.to)
      case 'tunOffloads':
        return this.offloads.lowered(message.bits)
      case 'stop':
        this.stopping = true
    }
  }

  private housekeeping(): void {
    this.wayIn.refill()
    this.wayOut.refill()
    this.fit.expire(this.nowMs)
    this.wayOut.expire(this.nowMs)
    this.dummies.send(this.nowMs)
    this.sas.expire(this.nowMs)
  }
}
