import { equalOctets } from '../../../src/bytes/octets.js'
import type { Endpoint } from '../../../src/ike/environment.js'
import type { SaKey, SaSpec } from '../../../src/sadb/sa-spec.js'
import { type IkeEnd, IkeEnvironmentTwin } from '../ike-ends.js'
import type { VirtualNetwork, VirtualNode } from '../virtual-network.js'

// Data packets between two ends, on the same virtual network as their IKE messages. Each end sends all the time on the
// newest outbound SA of each policy, as the data path does, and asks for one when there is none. A packet goes out right
// before and right after every change of the SA that carries a policy: no gap is narrow enough to be missed.

/** The port that data comes from; IKE never has it. */
const DATA_PORT = 1

/** Between packets for a while after anything has changed, and else. */
const BUSY_MS = 2
const CALM_MS = 5_000
const BUSY_FOR_MS = 40

export interface TrafficCounts {
  sent: number
  received: number
  /** Sent on an SA that the other end does not receive on when it comes, or with another key. */
  lost: number
  /** There was no SA to send on. */
  unsent: number
}

/** The environment of an end whose data path sends. */
export class TrafficEnvironment extends IkeEnvironmentTwin {
  /** Called before and after each change of the outbound SAs, and after each of the inbound ones. */
  onChange: (policy: number | undefined) => void = () => {}

  /** Without quick crash detection: its messages are more orders to drive, and none of them is about SAs. */
  constructor(network: VirtualNetwork, seed: number | string) {
    super(network, seed)
    Reflect.deleteProperty(this, 'crashSecret')
  }

  override addSa(sa: SaSpec): void {
    if (sa.direction === 'outbound') this.onChange(sa.policy)
    super.addSa(sa)
    this.onChange(sa.policy)
  }
  override deleteSa(key: SaKey): void {
    if (key.direction === 'outbound') this.onChange(key.policy)
    super.deleteSa(key)
    this.onChange(key.policy)
  }
}

/** An end of the network: its IKE, and its data path. */
export class TrafficNode implements VirtualNode {
  readonly counts: TrafficCounts = { sent: 0, received: 0, lost: 0, unsent: 0 }
  /** What went wrong, each once. */
  readonly faults = new Set<string>()
  /** Whether data is sent; the SAs of these policies are asked for by it. */
  policies: readonly number[] = []
  /** Whether an SA is asked for when there is none. */
  acquires = true
  private readonly network: VirtualNetwork
  private readonly name: string
  private readonly end: IkeEnd
  private readonly env: TrafficEnvironment
  private readonly local: Endpoint
  private readonly remote: Endpoint
  private readonly latencyMs: number
  private nextAt = Number.POSITIVE_INFINITY
  private busyUntil = 0

  constructor(
    network: VirtualNetwork,
    name: string,
    end: IkeEnd,
    env: TrafficEnvironment,
    way: { readonly local: Endpoint; readonly remote: Endpoint; readonly latencyMs: number },
  ) {
    this.network = network
    this.name = name
    this.end = end
    this.env = env
    this.local = { address: way.local.address, port: DATA_PORT }
    this.remote = { address: way.remote.address, port: DATA_PORT }
    this.latencyMs = way.latencyMs
    env.onChange = (policy) => this.changed(policy)
    network.attach(way.local.address, this)
  }

  /** Begins to send for these policies; none: stops. */
  send(policies: readonly number[]): void {
    this.policies = policies
    this.nextAt = policies.length === 0 ? Number.POSITIVE_INFINITY : this.network.now
  }

  receive(now: number, local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    if (remote.port === DATA_PORT) return this.deliver(now, message)
    this.busy(now)
    this.end.receive(now, local, remote, message)
  }

  tick(now: number): void {
    if ((this.end.nextDeadline() ?? Number.POSITIVE_INFINITY) <= now) this.end.tick(now)
    if (this.nextAt > now) return
    this.nextAt = now + (now < this.busyUntil ? BUSY_MS : CALM_MS)
    for (const policy of this.policies) this.sendOne(policy, true)
  }

  nextDeadline(): number | undefined {
    const ike = this.end.nextDeadline()
    const at = ike === undefined ? this.nextAt : Math.min(ike, this.nextAt)
    return Number.isFinite(at) ? at : undefined
  }

  private changed(policy: number | undefined): void {
    this.busy(this.network.now)
    if (policy !== undefined && this.policies.includes(policy)) this.sendOne(policy, false)
  }

  private busy(now: number): void {
    this.busyUntil = now + BUSY_FOR_MS
    if (this.policies.length > 0) this.nextAt = Math.min(this.nextAt, now + BUSY_MS)
  }

  /** Eight octets: SPI, and so much of the key that another one is noticed. */
  private sendOne(policy: number, due: boolean): void {
    const sa = this.env.newestOutbound(policy)
    if (sa === undefined) {
      if (!due) return
      this.counts.unsent++
      if (this.acquires) this.end.ike.acquire(this.network.now, policy)
      return
    }
    this.counts.sent++
    const packet = new Uint8Array(8)
    new DataView(packet.buffer).setUint32(0, sa.spi)
    packet.set(keyOf(sa), 4)
    this.network.inject(this.local, this.remote, packet, this.latencyMs)
  }

  private deliver(now: number, packet: Uint8Array): void {
    const spi = new DataView(packet.buffer, packet.byteOffset).getUint32(0)
    const sa = this.env.inbound().find((s) => s.spi === spi)
    if (sa !== undefined && equalOctets(keyOf(sa), new Uint8Array(packet).subarray(4, 8))) {
      this.counts.received++
      this.env.inboundAt.set(spi, now)
      return
    }
    this.counts.lost++
    this.faults.add(
      `${this.name} gets a packet on SPI ${spi.toString(16)} ${sa ? 'with another key' : 'that it does not receive on'}`,
    )
  }
}

const keyOf = (sa: SaSpec): Uint8Array => (sa.encryption ?? sa.integrity)!.key.subarray(0, 4)
