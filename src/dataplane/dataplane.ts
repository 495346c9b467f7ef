import type { EngineReport } from '../crypto/select.js'
import type { EngineName } from '../crypto/types.js'
import { DROP_NAMES } from '../ipsec/drop.js'
import { mergePaths, type PathMtu, type Way } from '../ipsec/path-mtu.js'
import { closeFd } from '../net/fd.js'
import { sendDatagram } from '../net/open-socket.js'
import { laneOfPolicy, lanePolicy } from '../sadb/lane-policy.js'
import type { PolicySpec, Sadb, SaExpiry, SaKey, SaProtocol, SaSpec } from '../sadb/sa-spec.js'
import { NON_ESP_MARKER_LEN } from '../wire/ike/header.js'
import { formatIp, type IpAddress } from '../wire/ip-address.js'
import type { Unreachable } from '../wire/unreachable.js'
import { type Counters, LANE_COUNTERS, type LaneCounter, SA_SLOTS } from './counters.js'
import { type DescriptorOptions, type Descriptors, openDescriptors } from './descriptors.js'
import { DirectWays, type UnderlayPair } from './direct-ways.js'
import { LaneThread } from './lane-thread.js'
import type { FromLane, SocketSpec, ToLane } from './messages.js'

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
  /** A packet on an SPI that nobody knows; port 0: it was in no UDP. Some a second and lane at most. */
  unknownSpi(local: Endpoint, remote: Endpoint, protocol: SaProtocol, spi: number): void
  /** The newest packet of an inbound SA in UDP came from elsewhere than the ones before. */
  packetFrom(key: SaKey, remote: Endpoint): void
  /** An SA that could not be installed. */
  refused(key: SaKey, reason: string): void
  /** ICMP says that a peer cannot be reached. Anybody can send that. */
  unreachable(what: Unreachable): void
  /** A router says that the way to a peer carries less, or that was long ago. */
  pathMtu(paths: readonly PathMtu[]): void
  /** An offload that misbehaved and was switched off. */
  stepBack(feature: string, reason: string): void
  /** A lane is gone: its flows are not carried any more. The daemon stops, its fail-closed rules stay. */
  fault(error: Error): void
}

export interface DataplaneOptions extends DescriptorOptions {
  readonly engine: EngineName | 'auto'
  readonly listener: DataplaneListener
}

export interface SaStatus extends Omit<SaSpec, 'encryption' | 'integrity'> {
  readonly lane: number
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
  readonly lanes: number
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
  readonly lane: number
  /** In its lane's counters. */
  readonly slot: number
  readonly addedMs: number
}

/**
 * The data path as the daemon sees it. Opens the TUN device and the sockets, runs lanes in worker threads and hands them
 * SAs and policies, each to the lane that its policy's id names (src/sadb/lane-policy.ts). Owns every descriptor that it opens
 * and closes them in `stop`.
 */
export class Dataplane implements Sadb {
  readonly tunName: string
  private readonly listener: DataplaneListener
  private readonly lanes: readonly LaneThread[]
  private readonly ways: DirectWays | undefined
  /** Lane 0's: it has what is not of any SA. */
  private readonly sockets: readonly SocketSpec[]
  private readonly fds: readonly number[]
  private readonly installed = new Map<string, Installed>()
  private readonly freeSlots: number[][]
  private features: Record<string, boolean>
  private paths: readonly PathMtu[] = []
  private stopped = false

  private constructor(options: DataplaneOptions, opened: Descriptors) {
    this.listener = options.listener
    this.tunName = opened.tunName
    this.sockets = opened.lanes[0]!.sockets
    this.fds = opened.fds
    this.features = { ...opened.features }
    this.freeSlots = opened.lanes.map(() => Array.from({ length: SA_SLOTS }, (_, i) => SA_SLOTS - 1 - i))
    this.ways = this.features.rawDirect
      ? new DirectWays(
          options.fwmark,
          () => this.rawPairs(),
          ([local, remote], way) => this.postAll({ op: 'way', local, remote, way }),
        )
      : undefined
    this.lanes = opened.lanes.map(
      (descriptors, lane) =>
        new LaneThread({
          ...descriptors,
          lane,
          engine: options.engine,
          said: (message) => this.handle(lane, message),
          fault: (error) => this.fault(error),
        }),
    )
  }

  /**
   * @throws SystemError when a device or a socket cannot be opened; nothing stays open then
   * @throws CryptoError when no engine passes its self-test
   */
  static async start(options: DataplaneOptions): Promise<Dataplane> {
    const dataplane = new Dataplane(options, openDescriptors(options))
    try {
      await Promise.all(dataplane.lanes.map((lane) => lane.ready()))
      return dataplane
    } catch (error) {
      await dataplane.stop()
      throw error
    }
  }

  /** How many lanes there are. */
  get laneCount(): number {
    return this.lanes.length
  }

  private fault(error: Error): void {
    if (this.stopped) return
    this.stopped = true
    this.listener.fault(error)
  }

  private handle(lane: number, message: Exclude<FromLane, { op: 'ready' | 'stopped' }>): void {
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
      case 'unknownSpi':
        return this.listener.unknownSpi(
          { address: message.local, port: message.localPort },
          { address: message.remote, port: message.remotePort },
          message.protocol,
          message.spi,
        )
      case 'packetFrom':
        return this.listener.packetFrom(message.key, {
          address: message.remote,
          port: message.remotePort,
        })
      case 'refused':
        this.forget(message.key)
        return this.listener.refused(message.key, message.reason)
      case 'unreachable': {
        const { remote, protocol, port, reason } = message
        return this.listener.unreachable({ remote, protocol, port, reason })
      }
      case 'pathMtu':
        this.paths = this.lanes.length === 1 ? message.paths : this.merged(message.paths)
        // A router's message quotes the SA of one lane; the path is the same for all.
        this.postOthers(lane, { op: 'paths', paths: message.paths })
        return this.listener.pathMtu(this.paths)
      case 'stepBack':
        // They have one device.
        if (message.tunOffloads !== undefined)
          this.postOthers(lane, { op: 'tunOffloads', bits: message.tunOffloads })
        if (this.features[message.feature] === false) return
        this.features = { ...this.features, [message.feature]: false }
        return this.listener.stepBack(message.feature, message.reason)
    }
  }

  private merged(paths: readonly PathMtu[]): PathMtu[] {
    return mergePaths(performance.timeOrigin + performance.now(), this.paths, paths)
  }

  private postAll(message: ToLane): void {
    if (!this.stopped) for (const lane of this.lanes) lane.post(message)
  }

  private postOthers(than: number, message: ToLane): void {
    for (const [i, lane] of this.lanes.entries()) if (i !== than) lane.post(message)
  }

  private laneOf(policy: number): { readonly lane: LaneThread; readonly index: number } | undefined {
    const index = laneOfPolicy(policy)
    const lane = this.lanes[index]
    return lane && !this.stopped ? { lane, index } : undefined
  }

  /** @param tun MTU of the TUN device @param ways MTU of the underlay towards each peer, as its routes have it */
  setMtus(tun: number, ways: readonly Way[]): void {
    this.postAll({ op: 'mtus', tun, ways })
  }

  addPolicy(policy: PolicySpec): void {
    this.laneOf(policy.id)?.lane.post({ op: 'addPolicy', policy })
  }

  deletePolicy(id: number): void {
    this.laneOf(id)?.lane.post({ op: 'deletePolicy', id })
  }

  /**
   * So many lanes have SAs of the policy, from lane 0 on; the others hand its packets to those.
   * @param policy as the configuration numbers it
   */
  shareLanes(policy: number, lanes: number): void {
    for (const [index, lane] of this.lanes.entries()) {
      const to = index < lanes ? undefined : index % lanes
      lane.post({ op: 'handOver', policy: lanePolicy(policy, index), to })
    }
  }

  /** The keys are cloned to the lane; the caller wipes its own. A full table refuses the SA through the listener. */
  addSa(sa: SaSpec): void {
    const to = this.laneOf(sa.policy)
    if (to === undefined) return
    const name = nameOf(sa)
    const old = this.installed.get(name)
    const slot = old?.slot ?? this.freeSlots[to.index]!.pop()
    if (slot === undefined) return this.listener.refused(sa, `more than ${SA_SLOTS} SAs`)
    to.lane.counters.clearSa(slot)
    // What status shows carries no key.
    const { encryption, integrity, ...rest } = sa
    const spec: SaSpec = {
      ...rest,
      ...(encryption && { encryption: { id: encryption.id, key: new Uint8Array(encryption.key.length) } }),
      ...(integrity && { integrity: { id: integrity.id, key: new Uint8Array(integrity.key.length) } }),
    }
    this.installed.set(name, { spec, lane: to.index, slot, addedMs: performance.now() })
    to.lane.post({ op: 'addSa', sa, slot })
    if (isRawOutbound(sa)) this.ways?.find([sa.local, sa.remote])
  }

  private rawPairs(): Iterable<UnderlayPair> {
    const raw = [...this.installed.values()].map(({ spec }) => spec).filter(isRawOutbound)
    return new Map(
      raw.map(({ local, remote }) => [`${formatIp(local)} ${formatIp(remote)}`, [local, remote] as const]),
    ).values()
  }

  /** An outbound SA in UDP sends to another address and port from now on. Unknown keys are no error. */
  redirectSa(key: SaKey, remote: Endpoint): void {
    const name = nameOf(key)
    const sa = this.installed.get(name)
    if (sa?.spec.udp === undefined || this.stopped) return
    const { address, port } = remote
    const spec = { ...sa.spec, remote: address, udp: { ...sa.spec.udp, remotePort: port } }
    this.installed.set(name, { ...sa, spec })
    this.lanes[sa.lane]!.post({ op: 'redirectSa', key, remote: address, remotePort: port })
  }

  deleteSa(key: SaKey): void {
    const sa = this.forget(key)
    if (sa && !this.stopped) this.lanes[sa.lane]!.post({ op: 'deleteSa', key })
  }

  private forget(key: SaKey): Installed | undefined {
    const name = nameOf(key)
    const sa = this.installed.get(name)
    if (!sa) return undefined
    this.installed.delete(name)
    this.freeSlots[sa.lane]!.push(sa.slot)
    return sa
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

  /** Milliseconds since the last packet of an SA; undefined when there was none, or there is no such SA. */
  idleMs(key: SaKey): number | undefined {
    const sa = this.installed.get(nameOf(key))
    return sa && this.sinceLastUse(sa, performance.now())
  }

  private sinceLastUse({ lane, slot }: Installed, now: number): number | undefined {
    const lastUse = this.lanes[lane]!.counters.getSa(slot, 'lastUseMs')
    return lastUse === 0 ? undefined : Math.max(0, performance.timeOrigin + now - lastUse)
  }

  /** The policies that have an SA; of one direction, if it is given. */
  policiesWithSa(direction?: SaKey['direction']): Set<number> {
    const policies = new Set<number>()
    for (const { spec } of this.installed.values())
      if (direction === undefined || spec.direction === direction) policies.add(spec.policy)
    return policies
  }

  status(): DataplaneStatus {
    const sum = (of: (counters: Counters) => number): number =>
      this.lanes.reduce((total, lane) => total + of(lane.counters), 0)
    const drops: Record<string, number> = {}
    for (const [code, name] of DROP_NAMES.entries()) {
      const n = code === 0 ? 0 : sum((c) => c.drops(code))
      if (name && n > 0) drops[name] = n
    }
    const counters = {} as Record<LaneCounter, number>
    for (const name of LANE_COUNTERS) counters[name] = sum((c) => c.get(name))
    const { paths } = this
    const now = performance.now()
    const sas = [...this.installed.values()].map((sa): SaStatus => {
      const { spec, lane, slot, addedMs } = sa
      const { encryption, integrity, ...rest } = spec
      const own = this.lanes[lane]!.counters
      return {
        ...rest,
        lane,
        encryptionId: encryption?.id,
        encryptionKeyBits: (encryption?.key.length ?? 0) * 8,
        integrityId: integrity?.id,
        packets: own.getSa(slot, 'packets'),
        octets: own.getSa(slot, 'octets'),
        sequence: own.getSa(slot, 'sequenceHigh') * 2 ** 32 + own.getSa(slot, 'sequenceLow'),
        ageMs: now - addedMs,
        idleMs: this.sinceLastUse(sa, now),
      }
    })
    const { tunName: tun, features, laneCount: lanes } = this
    return { tun, lanes, features, engines: this.lanes[0]!.engines, counters, drops, sas, paths }
  }

  /** Ends the lanes and closes every descriptor; the TUN device goes with them. Safe to call again. */
  async stop(): Promise<void> {
    this.stopped = true
    this.ways?.close()
    await Promise.all(this.lanes.map((lane) => lane.stop()))
    for (const fd of this.fds) closeFd(fd)
  }
}

/** Outbound SPIs are the peers' choice, and only with the policy unique. */
const nameOf = (key: SaKey): string =>
  `${key.direction} ${key.protocol} ${key.spi} ${key.direction === 'outbound' ? (key.policy ?? '') : ''}`

const isRawOutbound = (sa: SaSpec): boolean => sa.direction === 'outbound' && !sa.udp
