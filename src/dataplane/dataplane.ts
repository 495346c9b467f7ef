import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { EngineReport } from '../crypto/select.js'
import type { EngineName } from '../crypto/types.js'
import { InternalError } from '../errors.js'
import { DROP_NAMES } from '../ipsec/drop.js'
import type { PathMtu, Way } from '../ipsec/path-mtu.js'
import { closeFd } from '../net/fd.js'
import {
  openLinkSocket,
  openRawSocket,
  openTooBigSocket,
  openUdpSocket,
  sendDatagram,
} from '../net/open-socket.js'
import { openTun, type TunOffload } from '../net/tun.js'
import { Wakeup } from '../net/wakeup.js'
import type { PolicySpec, Sadb, SaExpiry, SaKey, SaSpec } from '../sadb/sa-spec.js'
import { ICMP, ICMPV6 } from '../wire/icmp.js'
import { NAT_T_PORT, NON_ESP_MARKER_LEN } from '../wire/ike/header.js'
import { formatIp, type IpAddress } from '../wire/ip-address.js'
import { Counters, LANE_COUNTERS, type LaneCounter, SA_SLOTS } from './counters.js'
import { DirectWays, type UnderlayPair } from './direct-ways.js'
import { type FromLane, type LaneOptions, MAIL, type SocketSpec, type ToLane } from './messages.js'

/** Octets for ICMP messages that nobody has asked for. */
const ICMP_BUFFER = 64 * 1024
const ESP = 50
const AH = 51
/** How long a lane has to say that it is ready, or that it has stopped. */
const LANE_DEADLINE_MS = 10_000

export interface Endpoint {
  readonly address: IpAddress
  readonly port: number
}

/** What the data path says back; called on the main thread. */
export interface DataplaneListener {
  /** A packet matched a policy that has no SA: negotiate. */
  acquire(policy: number): void
  expire(expiry: SaExpiry): void
  /** An IKE message on port 4500, without its non-ESP marker. */
  ike(local: Endpoint, remote: Endpoint, message: Uint8Array): void
  /** An SA that could not be installed. */
  refused(key: SaKey, reason: string): void
  /** A router says that the way to a peer carries less, or that was long ago. */
  pathMtu(paths: readonly PathMtu[]): void
  /** An offload that misbehaved and was switched off. */
  stepBack(feature: string, reason: string): void
  /** The lane is gone: nothing is carried any more. The daemon stops, its fail-closed rules stay. */
  fault(error: Error): void
}

export interface OffloadOptions {
  readonly tun: TunOffload
  readonly udpGso: boolean
  readonly udpGro: boolean
  /** Raw ESP and AH goes to the Ethernet station of its peer without the kernel's IP layer. */
  readonly rawDirect: boolean
  /** Inner TCP segments, and UDP datagrams, are joined to large writes to the TUN device. */
  readonly joinTcp: boolean
  readonly joinUdp: boolean
}

export interface DataplaneOptions {
  readonly tunName: string
  /** Underlay addresses of this host, without repetition. */
  readonly locals: readonly IpAddress[]
  /** Mark of every packet that the gateway itself sends. */
  readonly fwmark: number
  readonly engine: EngineName | 'auto'
  /** Offloads that may be used; what the kernel refuses is done without. */
  readonly offload: OffloadOptions
  readonly listener: DataplaneListener
}

export interface SaStatus extends Omit<SaSpec, 'encryption' | 'integrity'> {
  /** IANA ids without keys. */
  readonly encryptionId: number | undefined
  readonly encryptionKeyBits: number
  readonly integrityId: number | undefined
  readonly packets: number
  readonly octets: number
  /** Sequence number last sent, or highest received. */
  readonly sequence: number
  /** Milliseconds since the SA was added and since its last packet; undefined when it had none. */
  readonly ageMs: number
  readonly idleMs: number | undefined
}

export interface DataplaneStatus {
  readonly tun: string
  readonly features: Readonly<Record<string, boolean>>
  readonly engines: readonly EngineReport[]
  readonly counters: Readonly<Record<LaneCounter, number>>
  /** Drops by cause; causes that never happened are absent. */
  readonly drops: Readonly<Record<string, number>>
  readonly sas: readonly SaStatus[]
  /** Ways to peers that routers have told the MTU of. */
  readonly paths: readonly PathMtu[]
}

interface Installed {
  readonly spec: SaSpec
  readonly slot: number
  readonly addedMs: number
}

/**
 * The data path as the daemon sees it. Opens the TUN device and the sockets, runs a lane in a worker thread and hands it
 * SAs and policies. Owns every descriptor that it opens and closes them in `stop`.
 */
export class Dataplane implements Sadb {
  readonly tunName: string
  private readonly listener: DataplaneListener
  private readonly worker: Worker
  private readonly port: MessagePort
  private readonly wakeup: Wakeup
  private readonly ways: DirectWays | undefined
  private readonly mail: Int32Array
  private readonly counters: Counters
  private readonly sockets: readonly SocketSpec[]
  private readonly fds: readonly number[]
  private readonly installed = new Map<string, Installed>()
  private readonly freeSlots: number[] = []
  private features: Record<string, boolean>
  private engines: readonly EngineReport[] = []
  private paths: readonly PathMtu[] = []
  private stopping: (() => void) | undefined
  private stopped = false
  /** The worker thread is gone: nobody answers any more. */
  private ended = false

  private constructor(options: DataplaneOptions, opened: Opened) {
    this.listener = options.listener
    this.tunName = opened.tun.name
    this.sockets = opened.sockets
    this.fds = opened.fds
    this.wakeup = opened.wakeup
    this.features = opened.features
    this.counters = new Counters()
    this.ways = this.features.rawDirect
      ? new DirectWays(
          options.fwmark,
          () => this.rawPairs(),
          ([local, remote], way) => this.post({ op: 'way', local, remote, way }),
        )
      : undefined
    const mail = new SharedArrayBuffer(4)
    this.mail = new Int32Array(mail)
    for (let slot = SA_SLOTS - 1; slot >= 0; slot--) this.freeSlots.push(slot)

    const { port1, port2 } = new MessageChannel()
    this.port = port1
    const laneOptions: LaneOptions = {
      lane: 0,
      tun: opened.tun,
      sockets: opened.sockets,
      wakeFd: opened.wakeup.fd,
      engine: options.engine,
      counters: this.counters.buffer,
      mail,
    }
    this.worker = new Worker(new URL('./lane-worker.js', import.meta.url), {
      name: 'sallyport lane 0',
      workerData: { options: laneOptions, port: port2 },
      transferList: [port2],
    })
  }

  /**
   * @throws SystemError when a device or a socket cannot be opened; nothing stays open then
   * @throws CryptoError when no engine passes its self-test
   */
  static async start(options: DataplaneOptions): Promise<Dataplane> {
    const dataplane = new Dataplane(options, open(options))
    try {
      await dataplane.ready()
      return dataplane
    } catch (error) {
      await dataplane.stop()
      throw error
    }
  }

  private ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new InternalError('the lane did not start')), LANE_DEADLINE_MS)
      let started = false
      this.worker.on('error', (error: unknown) => {
        clearTimeout(deadline)
        const fault = error instanceof Error ? error : new InternalError(String(error))
        if (started) this.fault(fault)
        else reject(fault)
      })
      this.worker.on('exit', (status) => {
        this.ended = true
        this.stopping?.()
        if (started && !this.stopped)
          this.fault(new InternalError(`the lane ended by itself with status ${status}`))
      })
      this.port.on('message', (message: FromLane) => {
        if (message.op === 'ready') {
          clearTimeout(deadline)
          started = true
          this.engines = message.engines
          resolve()
        } else this.handle(message)
      })
    })
  }

  private fault(error: Error): void {
    if (this.stopped) return
    this.stopped = true
    this.listener.fault(error)
  }

  private handle(message: Exclude<FromLane, { op: 'ready' }>): void {
    switch (message.op) {
      case 'acquire':
        return this.listener.acquire(message.policy)
      case 'expire':
        return this.listener.expire(message.expiry)
      case 'ike':
        return this.listener.ike(
          { address: message.local, port: message.localPort },
          { address: message.remote, port: message.remotePort },
          message.message,
        )
      case 'refused':
        this.forget(message.key)
        return this.listener.refused(message.key, message.reason)
      case 'pathMtu':
        this.paths = message.paths
        return this.listener.pathMtu(message.paths)
      case 'stepBack':
        this.features = { ...this.features, [message.feature]: false }
        return this.listener.stepBack(message.feature, message.reason)
      case 'stopped':
        this.stopping?.()
    }
  }

  private post(message: ToLane): void {
    if (this.stopped) return
    this.port.postMessage(message)
    Atomics.store(this.mail, MAIL, 1)
    this.wakeup.wake()
  }

  /** @param tun MTU of the TUN device @param ways MTU of the underlay towards each peer, as its routes have it */
  setMtus(tun: number, ways: readonly Way[]): void {
    this.post({ op: 'mtus', tun, ways })
  }

  addPolicy(policy: PolicySpec): void {
    this.post({ op: 'addPolicy', policy })
  }

  deletePolicy(id: number): void {
    this.post({ op: 'deletePolicy', id })
  }

  /** The keys are cloned to the lane; the caller wipes its own. A full table refuses the SA through the listener. */
  addSa(sa: SaSpec): void {
    const name = nameOf(sa)
    const old = this.installed.get(name)
    const slot = old?.slot ?? this.freeSlots.pop()
    if (slot === undefined) return this.listener.refused(sa, `more than ${SA_SLOTS} SAs`)
    this.counters.clearSa(slot)
    // What status shows carries no key.
    const { encryption, integrity, ...rest } = sa
    const spec: SaSpec = {
      ...rest,
      ...(encryption && { encryption: { id: encryption.id, key: new Uint8Array(encryption.key.length) } }),
      ...(integrity && { integrity: { id: integrity.id, key: new Uint8Array(integrity.key.length) } }),
    }
    this.installed.set(name, { spec, slot, addedMs: performance.now() })
    this.post({ op: 'addSa', sa, slot })
    if (isRawOutbound(sa)) this.ways?.find([sa.local, sa.remote])
  }

  private rawPairs(): Iterable<UnderlayPair> {
    const raw = [...this.installed.values()].map(({ spec }) => spec).filter(isRawOutbound)
    return new Map(
      raw.map(({ local, remote }) => [`${formatIp(local)} ${formatIp(remote)}`, [local, remote] as const]),
    ).values()
  }

  deleteSa(key: SaKey): void {
    this.forget(key)
    this.post({ op: 'deleteSa', key })
  }

  private forget(key: SaKey): void {
    const name = nameOf(key)
    const sa = this.installed.get(name)
    if (!sa) return
    this.installed.delete(name)
    this.freeSlots.push(sa.slot)
  }

  /** Sends an IKE message from port 4500, with the non-ESP marker in front (RFC 3948 section 2.2). */
  sendIke(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    const datagram = new Uint8Array(NON_ESP_MARKER_LEN + message.length)
    datagram.set(message, NON_ESP_MARKER_LEN)
    this.send(local, remote, datagram)
  }

  /** Sends one 0xFF octet, which keeps a NAT's mapping alive (RFC 3948 section 2.3). */
  sendKeepalive(local: Endpoint, remote: Endpoint): void {
    this.send(local, remote, Uint8Array.of(0xff))
  }

  private send(local: Endpoint, remote: Endpoint, datagram: Uint8Array): void {
    const address = formatIp(local.address)
    const socket = this.sockets.find((s) => s.kind === 'udp' && formatIp(s.local) === address)
    // A datagram that the kernel refuses is a lost datagram: IKE sends it again.
    if (socket && !this.stopped) sendDatagram(socket.fd, remote.address, remote.port, datagram)
  }

  status(): DataplaneStatus {
    const drops: Record<string, number> = {}
    for (const [code, name] of DROP_NAMES.entries()) {
      const n = code === 0 ? 0 : this.counters.drops(code)
      if (name && n > 0) drops[name] = n
    }
    const counters = {} as Record<LaneCounter, number>
    for (const name of LANE_COUNTERS) counters[name] = this.counters.get(name)
    const { paths } = this
    const now = performance.now()
    const sas = [...this.installed.values()].map(({ spec, slot, addedMs }): SaStatus => {
      const { encryption, integrity, ...rest } = spec
      const lastUse = this.counters.getSa(slot, 'lastUseMs')
      return {
        ...rest,
        encryptionId: encryption?.id,
        encryptionKeyBits: (encryption?.key.length ?? 0) * 8,
        integrityId: integrity?.id,
        packets: this.counters.getSa(slot, 'packets'),
        octets: this.counters.getSa(slot, 'octets'),
        sequence:
          this.counters.getSa(slot, 'sequenceHigh') * 2 ** 32 + this.counters.getSa(slot, 'sequenceLow'),
        ageMs: now - addedMs,
        idleMs: lastUse === 0 ? undefined : Math.max(0, performance.timeOrigin + now - lastUse),
      }
    })
    return { tun: this.tunName, features: this.features, engines: this.engines, counters, drops, sas, paths }
  }

  /** Ends the lane and closes every descriptor; the TUN device goes with them. Safe to call again. */
  async stop(): Promise<void> {
    this.post({ op: 'stop' })
    this.stopped = true
    await new Promise<void>((resolve) => {
      if (this.ended) return resolve()
      const deadline = setTimeout(resolve, LANE_DEADLINE_MS)
      this.stopping = () => {
        clearTimeout(deadline)
        resolve()
      }
    })
    await this.worker.terminate()
    this.ways?.close()
    this.port.close()
    for (const fd of this.fds) closeFd(fd)
    this.wakeup.close()
  }
}

/** Outbound SPIs are the peers' choice, and only with the policy unique. */
const nameOf = (key: SaKey): string =>
  `${key.direction} ${key.protocol} ${key.spi} ${key.direction === 'outbound' ? (key.policy ?? '') : ''}`

const isRawOutbound = (sa: SaSpec): boolean => sa.direction === 'outbound' && !sa.udp

interface Opened {
  readonly tun: LaneOptions['tun'] & { readonly name: string }
  readonly sockets: readonly SocketSpec[]
  readonly wakeup: Wakeup
  readonly fds: readonly number[]
  readonly features: Record<string, boolean>
}

/** Opens everything or nothing. */
function open(options: DataplaneOptions): Opened {
  const fds: number[] = []
  try {
    const device = openTun({ name: options.tunName, offload: options.offload.tun })
    fds.push(device.fd)
    const tun = {
      ...device,
      joinTcp: options.offload.joinTcp && device.vnetHeader,
      // A kernel that does not know USO refuses large UDP packets.
      joinUdp: options.offload.joinUdp && device.offload === 'uso',
    }
    const linkFd = options.offload.rawDirect ? openLinkSocket(options.fwmark) : -1
    if (linkFd >= 0) fds.push(linkFd)
    const sockets: SocketSpec[] = []
    for (const local of options.locals) {
      const udp = openUdpSocket({
        local,
        port: NAT_T_PORT,
        mark: options.fwmark,
        gro: options.offload.udpGro,
      })
      fds.push(udp.fd)
      const gso = options.offload.udpGso && udp.gso
      sockets.push({ ...udp, kind: 'udp', protocol: 17, local, gso, linkFd: -1 })
      const icmp = openTooBigSocket({ local, receiveBuffer: ICMP_BUFFER })
      fds.push(icmp.fd)
      for (const protocol of [ESP, AH]) {
        const raw = openRawSocket({
          local,
          protocol,
          mark: options.fwmark,
          headerIncluded: true,
          // DF is in our own header. What the kernel has learnt of the path may be a forger's word.
          df: 'probe',
        })
        fds.push(raw.fd)
        sockets.push({ ...raw, kind: 'raw', protocol, local, gro: false, gso: false, linkFd })
      }
      const protocol = icmp.family === 4 ? ICMP : ICMPV6
      sockets.push({ ...icmp, kind: 'raw', protocol, local, gro: false, gso: false, linkFd: -1 })
    }
    const wakeup = Wakeup.open()
    const udp = sockets.filter((s) => s.kind === 'udp')
    const features = {
      vnetHeader: tun.vnetHeader,
      tunTso: tun.offload === 'tso' || tun.offload === 'uso',
      tunUso: tun.offload === 'uso',
      tunChecksum: tun.offloads !== 0,
      joinTcp: tun.joinTcp,
      joinUdp: tun.joinUdp,
      udpGro: udp.some((s) => s.gro),
      udpGso: udp.some((s) => s.gso),
      rawDirect: linkFd >= 0,
    }
    return { tun, sockets, wakeup, fds, features }
  } catch (error) {
    for (const fd of fds) closeFd(fd)
    throw error
  }
}
