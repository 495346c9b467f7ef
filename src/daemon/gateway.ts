import type { Logger } from 'pino'
import { wipe } from '../bytes/octets.js'
import { random } from '../crypto/random.js'
import { Dataplane } from '../dataplane/dataplane.js'
import { ControlError } from '../errors.js'
import type { Endpoint, IkeEnvironment } from '../ike/environment.js'
import { Ike } from '../ike/ike.js'
import { basePolicy } from '../sadb/lane-policy.js'
import type { SaExpiry, SaKey, SaProtocol, SaSpec } from '../sadb/sa-spec.js'
import { formatIp, type IpAddress } from '../wire/ip-address.js'
import { Changes } from './changes.js'
import type { GatewayConfig, PolicySettings } from './config/config.js'
import { wipeManual } from './config/load.js'
import { openCrashSecret } from './crash-secret.js'
import { DeadlineTimer } from './deadline-timer.js'
import { EventCounts } from './event-counts.js'
import { HostNetwork } from './host-network.js'
import { IKE_PORT, IkeSockets } from './ike-sockets.js'
import { ikeViews } from './ike-view.js'
import { KeyLog } from './key-log/key-log.js'
import { lanePolicies, manualInLane, peersInLanes, wantedLanes } from './lanes.js'
import { type GatewayStatus, gatewayStatus } from './status.js'
import { FileTimestampStore } from './timestamp-store.js'
import { Undo } from './undo.js'

/** How long the last IKE messages may take to leave. */
const DRAIN_MS = 1_000
/** How often a command that waits looks whether it has what it waits for, besides whenever SAs come or go. */
const LOOK_MS = 250

export interface GatewayOptions {
  readonly config: GatewayConfig
  readonly version: string
  readonly log: Logger
  /** The gateway cannot go on. */
  fault(error: Error): void
  /** A line of the story of key management, for whoever watches the control socket. */
  told(message: string): void
}

/** Data path, IKE, network settings and the timer between them: everything that is up while the gateway is. */
export class Gateway {
  private readonly options: GatewayOptions
  private readonly startedMs = performance.now()
  private readonly events = new EventCounts()
  private readonly undo = new Undo()
  private readonly changed = new Changes()
  private readonly policies: ReadonlyMap<number, PolicySettings>
  private readonly timer: DeadlineTimer
  private dataplane: Dataplane | undefined
  private sockets: IkeSockets | undefined
  private ike: Ike | undefined
  private network: HostNetwork | undefined
  private keyLog: KeyLog | undefined
  private isUp = false
  private wasUp = false

  constructor(options: GatewayOptions) {
    this.options = options
    this.policies = new Map(options.config.policies.map((p) => [p.id, p]))
    this.timer = new DeadlineTimer(
      () => this.ike?.nextDeadline(),
      (now) => this.drive((ike) => ike.tick(now)),
    )
  }

  /** Starts everything or nothing. @throws SallyportError naming what could not be started */
  async start(): Promise<void> {
    try {
      this.startKeyLog()
      await this.startDataplane()
      this.startNetwork()
      await this.startIke()
      this.isUp = this.wasUp = true
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  private get log(): Logger {
    return this.options.log
  }

  private get config(): GatewayConfig {
    return this.options.config
  }

  /** Underlay addresses of this host, each once. */
  private locals(): IpAddress[] {
    return [...new Map(this.config.peers.map((p) => [formatIp(p.local), p.local])).values()]
  }

  private startKeyLog(): void {
    if (this.config.keyLog === undefined) return
    const keyLog = KeyLog.open(this.config.keyLog, this.log)
    this.keyLog = keyLog
    this.undo.push('key log', () => keyLog.close())
  }

  /** Hands an SA to the data path. Its keys are its giver's to wipe. */
  private addSa(sa: SaSpec): void {
    this.keyLog?.sa(sa)
    this.dataplane?.addSa(sa)
    this.changed.emit()
  }

  private deleteSa(key: SaKey): void {
    this.dataplane?.deleteSa(key)
    this.changed.emit()
  }

  private async startDataplane(): Promise<void> {
    const { tun, dataplane: settings } = this.config
    const dataplane = await Dataplane.start({
      tunName: tun.name,
      locals: this.locals(),
      fwmark: settings.fwmark,
      engine: settings.engine,
      offload: settings.offload,
      lanes: wantedLanes(this.config),
      listener: {
        acquire: (policy) => this.acquire(policy),
        expire: (expiry) => this.expire(expiry),
        ike: (local, remote, message) => this.drive((ike, now) => ike.receive(now, local, remote, message)),
        unknownSpi: (local, remote, protocol, spi) => this.unknownSpi(local, remote, protocol, spi),
        packetFrom: (key, remote) => this.drive((ike, now) => ike.packetFrom(now, key, remote)),
        refused: (key, reason) => this.refused(key, reason),
        unreachable: (what) => this.drive((ike, now) => ike.unreachable(now, what)),
        pathMtu: (paths) => {
          for (const { remote, mtu } of paths) this.log.info({ remote: formatIp(remote), mtu }, 'path MTU')
        },
        stepBack: (feature, reason) => {
          this.events.add('offload.step-back')
          this.log.warn({ feature, reason }, 'offload switched off')
        },
        fault: (error) => this.options.fault(error),
      },
    })
    this.dataplane = dataplane
    this.undo.push('data path', () => dataplane.stop())
    const wanted = wantedLanes(this.config)
    if (dataplane.laneCount < wanted)
      this.log.warn({ wanted }, 'one lane only: this kernel cannot keep flows in order over several')
    for (const policy of this.config.policies)
      for (const spec of lanePolicies(policy, dataplane.laneCount)) dataplane.addPolicy(spec)
    for (const policy of this.config.policies) if (policy.manual) dataplane.shareLanes(policy.id, 1)
    for (const sa of this.config.manual) this.addSa(manualInLane(sa, dataplane.laneCount))
    wipeManual(this.config)
    const { engines, features } = dataplane.status()
    const [first, ...others] = engines.filter((e) => e.refused === undefined)
    this.log.info(
      { engine: first?.name, detail: first?.detail, behind: others.map((e) => e.name) },
      'crypto engine',
    )
    this.log.info({ tun: dataplane.tunName, lanes: dataplane.laneCount, ...features }, 'data path')
    for (const e of engines)
      if (e.refused !== undefined)
        this.log.debug({ engine: e.name, reason: e.refused }, 'crypto engine not used')
  }

  private startNetwork(): void {
    this.network = HostNetwork.apply(this.config, this.log)
    this.undo.push('network settings', () => this.revertNetwork())
    this.dataplane?.setMtus(this.network.plan.mtu, this.network.plan.ways)
  }

  private async startIke(): Promise<void> {
    if (this.config.ike.length === 0) return
    const sockets = await IkeSockets.open({
      locals: this.locals(),
      fwmark: this.config.dataplane.fwmark,
      receive: (local, remote, message) => this.drive((ike, now) => ike.receive(now, local, remote, message)),
      trouble: (local, error) => {
        this.events.add('ike.socket-error')
        this.log.debug({ local, error: error.message }, 'IKE socket')
      },
    })
    this.sockets = sockets
    this.undo.push('IKE sockets', () => sockets.close())
    const manualSpis = new Set(this.config.manual.map((sa) => sa.spi))
    const { state } = this.config.host
    const crashSecret = openCrashSecret(state, random)
    this.undo.push('crash secret', () => wipe(crashSecret))
    const environment = this.environment(FileTimestampStore.open(state), crashSecret)
    const peers = peersInLanes(this.config.ike, this.dataplane?.laneCount ?? 1)
    this.ike = new Ike(peers, environment, {
      preferUdp: this.dataplane?.status().features.udpGso === true,
      spiInUse: (spi) => manualSpis.has(spi),
    })
    this.undo.push('IKE', async () => {
      this.drive((ike, now) => ike.shutdown(now))
      this.ike = undefined
      this.timer.stop()
      await sockets.drain(DRAIN_MS)
    })
    this.timer.arm()
  }

  private environment(timestamps: FileTimestampStore, crashSecret: Uint8Array): IkeEnvironment {
    const { keyLog } = this
    return {
      ...(keyLog && { keyLog: (keys) => keyLog.ike(keys) }),
      random,
      wallTime: () => {
        const ms = Date.now()
        return { unixSeconds: Math.floor(ms / 1000), nanoseconds: (ms % 1000) * 1_000_000 }
      },
      timestamps,
      crashSecret,
      send: (local, remote, message) => this.send(local, remote, message),
      addSa: (sa) => this.addSa(sa),
      deleteSa: (key) => this.deleteSa(key),
      shareLanes: (peer, lanes) => this.shareLanes(peer, lanes),
      redirectSa: (key, remote) => this.dataplane?.redirectSa(key, remote),
      sendKeepalive: (local, remote) => this.dataplane?.sendKeepalive(local, remote),
      inboundIdleMs: (key) => this.dataplane?.idleMs(key),
      log: (level, message, fields) => {
        this.log[level](fields ?? {}, message)
        if (level !== 'debug') this.options.told(message)
      },
      count: (counter) => this.events.add(counter),
    }
  }

  private shareLanes(peer: string, lanes: number): void {
    for (const policy of this.policies.values())
      if (policy.peer === peer && !policy.manual) this.dataplane?.shareLanes(policy.id, lanes)
  }

  private send(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    if (local.port === IKE_PORT) this.sockets?.send(local, remote, message)
    else this.dataplane?.sendIke(local, remote, message)
  }

  /** Calls into IKE, and sets the timer by what it waits for afterwards. A fault in it is a fault of the gateway. */
  private drive(call: (ike: Ike, now: number) => void): void {
    if (!this.ike) return
    try {
      call(this.ike, performance.now())
    } catch (error) {
      this.options.fault(error instanceof Error ? error : new Error(String(error)))
    }
    this.timer.arm()
  }

  private acquire(id: number): void {
    const policy = this.policies.get(basePolicy(id))
    if (!policy) return
    if (policy.manual)
      this.log.warn({ peer: policy.peer, child: policy.child }, 'packets without a manual SA')
    else this.drive((ike, now) => ike.acquire(now, id))
  }

  private expire(expiry: SaExpiry): void {
    if (this.policies.get(basePolicy(expiry.policy))?.manual)
      this.log.warn({ spi: expiry.spi, cause: expiry.cause }, 'manual SA has come to its end')
    else this.drive((ike, now) => ike.expire(now, expiry))
  }

  private unknownSpi(local: Endpoint, remote: Endpoint, protocol: SaProtocol, spi: number): void {
    const on = (e: Endpoint): Endpoint => (e.port === 0 ? { ...e, port: IKE_PORT } : e)
    this.drive((ike, now) => ike.unknownSpi(now, on(local), on(remote), protocol, spi))
  }

  private refused(key: SaKey, reason: string): void {
    this.events.add('sa.refused')
    this.log.error(
      { spi: key.spi, direction: key.direction, protocol: key.protocol, reason },
      'SA refused by the data path',
    )
  }

  status(): GatewayStatus {
    const { dataplane } = this.running()
    return gatewayStatus({
      version: this.options.version,
      uptimeSeconds: (performance.now() - this.startedMs) / 1000,
      config: this.config,
      dataplane: dataplane.status(),
      ike: ikeViews(this.ike?.status(performance.now()) ?? []),
      events: this.events.toJSON(),
    })
  }

  /**
   * Negotiates a child, or without a name all of the peer's; with an empty one the IKE SA alone.
   * @throws ControlError
   */
  async initiate(peer: string | undefined, child: string | undefined, timeoutMs: number): Promise<void> {
    if (child === '') return this.initiateIkeSa(peer, timeoutMs)
    const policies = this.chosen(peer, child)
    if (policies.length > 1 && child !== undefined)
      throw new ControlError(
        `${policies.map((p) => p.peer).join(', ')} each have a child ${child}; name the peer as well (ike)`,
      )
    for (const policy of policies)
      this.drive((ike, now) => ike.initiate(now, policy.peer, child === undefined ? undefined : policy.child))
    if (timeoutMs === 0) return
    const wanted = new Set(policies.map((p) => p.id))
    await this.wait(timeoutMs, 'not up', policies[0]!.peer, () => {
      for (const id of this.running().dataplane.policiesWithSa('outbound')) wanted.delete(basePolicy(id))
      return wanted.size === 0
    })
  }

  private async initiateIkeSa(peer: string | undefined, timeoutMs: number): Promise<void> {
    if (peer === undefined) throw new ControlError('expected a peer (ike)')
    this.chosen(peer, undefined)
    this.drive((ike, now) => ike.initiateIkeSa(now, peer))
    if (timeoutMs === 0) return
    await this.wait(timeoutMs, 'not up', peer, () => {
      this.running()
      return this.ike?.status().some((p) => p.peer === peer && p.phase === 'established') === true
    })
  }

  /**
   * Has new SAs negotiated in the place of the current ones, as when their time were over: a child's, or without one the peer's
   * IKE SA.
   * @returns how many children, or IKE SAs, there are to replace
   * @throws ControlError
   */
  rekey(peer: string | undefined, child: string | undefined): number {
    if (child === undefined) {
      const [{ peer: name }] = this.chosen(peer, child) as [PolicySettings]
      let found = false
      this.drive((ike, now) => {
        found = ike.rekey(now, name)
      })
      return found ? 1 : 0
    }
    const ids = new Set(this.chosen(peer, child).map((p) => p.id))
    const current = this.running()
      .dataplane.status()
      .sas.filter((sa) => sa.direction === 'outbound' && ids.has(basePolicy(sa.policy)))
    for (const { direction, protocol, spi, policy } of current)
      this.expire({ direction, protocol, spi, policy, limit: 'soft', cause: 'asked' })
    return new Set(current.map((sa) => basePolicy(sa.policy))).size
  }

  /**
   * Ends a child's SAs, or without one everything with the peer.
   * @throws ControlError
   */
  async terminate(peer: string | undefined, child: string | undefined, timeoutMs: number): Promise<void> {
    const policies = this.chosen(peer, child)
    const peers = new Set(policies.map((p) => p.peer))
    for (const name of peers) this.drive((ike, now) => ike.terminate(now, name, child))
    if (timeoutMs === 0) return
    const ids = new Set(policies.map((p) => p.id))
    await this.wait(timeoutMs, 'not down', policies[0]!.peer, () => {
      const left = [...this.running().dataplane.policiesWithSa()]
      return !left.some((id) => ids.has(basePolicy(id)))
    })
  }

  /** The negotiated policies that a command names. */
  private chosen(peer: string | undefined, child: string | undefined): PolicySettings[] {
    if (peer === undefined && child === undefined) throw new ControlError('expected a peer (ike) or a child')
    const chosen = this.config.policies.filter(
      (p) =>
        !p.manual && (peer === undefined || p.peer === peer) && (child === undefined || p.child === child),
    )
    if (chosen.length === 0) {
      const names = this.config.policies.filter((p) => !p.manual).map((p) => `${p.peer}.${p.child}`)
      throw new ControlError(
        `no negotiated child is called ${[peer, child].filter((n) => n !== undefined).join('.')}; there are: ${names.join(', ')}`,
      )
    }
    return chosen
  }

  private async wait(timeoutMs: number, what: string, peer: string, done: () => boolean): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!done()) {
      if (performance.now() >= deadline) {
        const error = this.status().peers.find((p) => p.name === peer)?.ike?.lastError
        throw new ControlError(`${what} within ${timeoutMs / 1000} s${error ? `; last error: ${error}` : ''}`)
      }
      await this.changed.next(LOOK_MS)
    }
  }

  private running(): { readonly dataplane: Dataplane } {
    if (!this.dataplane || !this.isUp)
      throw new ControlError('the daemon is starting or stopping; ask again in a moment')
    return { dataplane: this.dataplane }
  }

  /**
   * Takes the network settings back and nothing else. Settings that a killed daemon left stay when this one does not
   * come up either: what is protected stays shut.
   */
  revertNetwork(): void {
    const { network } = this
    this.network = undefined
    if (network?.inherited && !this.wasUp) network.close()
    else network?.revert((what, error) => this.cannotUndo(what, error))
  }

  /** Tells the peers, takes the network settings back, ends the data path. Safe to call at any time, and again. */
  async stop(): Promise<void> {
    this.isUp = false
    await this.undo.run((what, error) => this.cannotUndo(what, error))
  }

  private cannotUndo(what: string, error: unknown): void {
    this.log.error({ error: error instanceof Error ? error.message : String(error) }, `cannot undo: ${what}`)
  }
}
