import { createHash } from 'node:crypto'
import type { Endpoint, IkeEnvironment, TimestampStore, WallTime } from '../../src/ike/environment.js'
import type { SaKey, SaSpec } from '../../src/sadb/sa-spec.js'
import { formatIp, type IpAddress } from '../../src/wire/ip-address.js'

// A network without sockets and a clock without waiting: both ends of an exchange live in one process, every
// millisecond of theirs is ours to give, and every datagram's fate is decided by the test.

/** What the network drives: the shape of `Ike`, and of the pre-phase behind a small adapter. */
export interface VirtualNode {
  receive(now: number, local: Endpoint, remote: Endpoint, message: Uint8Array): void
  tick(now: number): void
  nextDeadline(): number | undefined
}

/** One datagram on its way. The octets are the network's own copy. */
export interface Datagram {
  /** Counts all datagrams sent in this network, from 0. */
  readonly index: number
  readonly sentAt: number
  readonly from: Endpoint
  readonly to: Endpoint
  readonly message: Uint8Array
}

/**
 * What becomes of a datagram: the delays in milliseconds after which copies of it arrive. `[]` is lost, `[5]` is an
 * ordinary way, `[5, 90]` is doubled; reordering comes from unequal delays.
 */
export type Fate = readonly number[]

/** Decides about each datagram at the moment it is sent. */
export type Impairment = (datagram: Datagram) => Fate

export interface VirtualNetworkOptions {
  /** One-way delay of the unimpaired link, 5 ms unless told. */
  readonly latencyMs?: number
  readonly impairment?: Impairment
  /** First value of the clock. */
  readonly startMs?: number
}

interface Arrival {
  readonly at: number
  readonly order: number
  readonly datagram: Datagram
}

/** Events at one instant beyond this are a livelock: somebody answers itself or leaves a deadline in the past. */
const EVENTS_PER_INSTANT_MAX = 10_000

export class VirtualNetwork {
  /** Monotonic milliseconds that every node is told. */
  now: number
  readonly latencyMs: number
  /** May be replaced at any time. */
  impairment: Impairment
  /** All datagrams ever sent, lost ones included. */
  readonly sent: Datagram[] = []
  /** Datagrams that reached a node, in order of arrival. */
  readonly delivered: Datagram[] = []
  private readonly nodes = new Map<string, VirtualNode>()
  private queue: Arrival[] = []
  private order = 0

  constructor(options: VirtualNetworkOptions = {}) {
    this.now = options.startMs ?? 1_000
    this.latencyMs = options.latencyMs ?? 5
    this.impairment = options.impairment ?? (() => [this.latencyMs])
  }

  /** Makes the node reachable at all ports of the address. Attaching again replaces the node: a restart. */
  attach(address: IpAddress, node: VirtualNode): void {
    this.nodes.set(formatIp(address), node)
  }

  detach(address: IpAddress): void {
    this.nodes.delete(formatIp(address))
  }

  /** Takes a datagram from `from`; the impairment decides whether and when it arrives. */
  send(from: Endpoint, to: Endpoint, message: Uint8Array): void {
    const datagram = { index: this.sent.length, sentAt: this.now, from, to, message: new Uint8Array(message) }
    this.sent.push(datagram)
    for (const delay of this.impairment(datagram)) this.arrive(datagram, delay)
  }

  /** An attacker's datagram: any source, no impairment, arrives after `delayMs`. */
  inject(from: Endpoint, to: Endpoint, message: Uint8Array, delayMs = 0): void {
    this.arrive({ index: -1, sentAt: this.now, from, to, message: new Uint8Array(message) }, delayMs)
  }

  /** Datagrams on the way. */
  get inFlight(): number {
    return this.queue.length
  }

  /** Runs until the clock shows `until`. */
  runTo(until: number): void {
    this.run(until, () => false)
  }

  /** Runs for `ms`. */
  runFor(ms: number): void {
    this.runTo(this.now + ms)
  }

  /** Runs until the condition holds or `limitMs` have passed; returns whether it holds. */
  runUntil(condition: () => boolean, limitMs: number): boolean {
    this.run(this.now + limitMs, condition)
    return condition()
  }

  /** Runs until no datagram is on the way and no deadline is set, at most `limitMs`; returns whether that was reached. */
  runUntilIdle(limitMs: number): boolean {
    return this.runUntil(() => this.nextEvent() === undefined, limitMs)
  }

  private nextEvent(): number | undefined {
    let next = this.queue[0]?.at
    for (const node of this.nodes.values()) {
      const deadline = node.nextDeadline()
      if (deadline !== undefined && (next === undefined || deadline < next)) next = deadline
    }
    return next
  }

  private run(until: number, stop: () => boolean): void {
    let instant = this.now
    let events = 0
    while (!stop()) {
      const next = this.nextEvent()
      if (next === undefined || next > until) {
        this.now = until
        return
      }
      this.now = Math.max(this.now, next)
      if (this.now !== instant) {
        instant = this.now
        events = 0
      } else if (++events > EVENTS_PER_INSTANT_MAX) {
        throw new Error(`livelock at ${this.now} ms: ${this.queue.length} datagrams on the way`)
      }
      this.step()
    }
  }

  /** One arrival if one is due, else one tick of every node whose deadline is due. */
  private step(): void {
    const arrival = this.queue[0]
    if (arrival !== undefined && arrival.at <= this.now) {
      this.queue.shift()
      const { from, to, message } = arrival.datagram
      const node = this.nodes.get(formatIp(to.address))
      if (node === undefined) return
      this.delivered.push(arrival.datagram)
      // As from a socket: a Buffer, whose slice() aliases, and which is reused after the call. Whoever keeps a view
      // instead of a copy notices here.
      const buffer = Buffer.from(message)
      node.receive(this.now, to, from, buffer)
      buffer.fill(0xee)
      return
    }
    for (const node of this.nodes.values()) {
      const deadline = node.nextDeadline()
      if (deadline !== undefined && deadline <= this.now) node.tick(this.now)
    }
  }

  private arrive(datagram: Datagram, delayMs: number): void {
    const arrival = { at: this.now + Math.max(0, delayMs), order: this.order++, datagram }
    // Most arrive behind all that are on the way.
    this.queue.splice(this.queue.findLastIndex((a) => a.at <= arrival.at) + 1, 0, arrival)
  }
}

// Impairments to combine.

/** Loses the datagrams with these indexes, once each. */
export const losing =
  (indexes: readonly number[], latencyMs = 5): Impairment =>
  (d) =>
    indexes.includes(d.index) ? [] : [latencyMs]

export interface LinkQuality {
  /** Probabilities from 0 to 1. */
  readonly loss?: number
  readonly duplication?: number
  /** One-way delay, drawn evenly from this range for each copy: what reorders. */
  readonly delayMs?: readonly [number, number]
}

/** A random link, the same for the same seed. */
export function unreliable(seed: number | string, quality: LinkQuality): Impairment {
  const random = seededRandom(`link ${seed}`)
  const chance = (): number => new DataView(random(4).buffer).getUint32(0) / 2 ** 32
  const [from, to] = quality.delayMs ?? [5, 5]
  const delay = (): number => from + chance() * (to - from)
  return () => {
    if (chance() < (quality.loss ?? 0)) return []
    return chance() < (quality.duplication ?? 0) ? [delay(), delay()] : [delay()]
  }
}

/** Octets that depend on the seed alone. Every result has its own buffer. */
export function seededRandom(seed: number | string): (length: number) => Uint8Array<ArrayBuffer> {
  let counter = 0
  return (length) => {
    const out = new Uint8Array(length)
    for (let at = 0; at < length; at += 32) {
      const block = createHash('sha256').update(`${seed} ${counter++}`).digest()
      out.set(block.subarray(0, Math.min(32, length - at)), at)
    }
    return out
  }
}

/** The store of pre-phase timestamps without a disk. `fail` makes every write throw it. */
export class MemoryTimestamps implements TimestampStore {
  readonly sent = new Map<string, Uint8Array>()
  readonly accepted = new Map<string, Uint8Array>()
  fail: Error | undefined
  lastSent(peer: string): Uint8Array | undefined {
    return this.sent.get(peer)
  }
  lastAccepted(peer: string): Uint8Array | undefined {
    return this.accepted.get(peer)
  }
  setLastSent(peer: string, label: Uint8Array): void {
    if (this.fail) throw this.fail
    this.sent.set(peer, new Uint8Array(label))
  }
  setLastAccepted(peer: string, label: Uint8Array): void {
    if (this.fail) throw this.fail
    this.accepted.set(peer, new Uint8Array(label))
  }
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Record<string, unknown> | undefined
}

/** The surroundings of an IKE end in a virtual network. Everything that the end does to the world is kept for the test. */
export class VirtualEnvironment implements IkeEnvironment {
  readonly network: VirtualNetwork
  readonly random: (length: number) => Uint8Array
  timestamps = new MemoryTimestamps()
  /** Wall-clock seconds at network time 0; change it to set this end's clock wrong. */
  wallOffsetSeconds = 1_750_000_000
  readonly sas = new Map<string, SaSpec>()
  /** Every addSa and deleteSa in order. */
  readonly saEvents: ({ add: SaSpec } | { delete: SaKey })[] = []
  readonly lines: LogLine[] = []
  readonly counters = new Map<string, number>()

  constructor(network: VirtualNetwork, seed: number | string) {
    this.network = network
    this.random = seededRandom(seed)
  }

  wallTime(): WallTime {
    const ms = this.network.now
    return {
      unixSeconds: this.wallOffsetSeconds + Math.floor(ms / 1000),
      nanoseconds: Math.floor((ms % 1000) * 1_000_000),
    }
  }
  send(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    this.network.send(local, remote, message)
  }
  addSa(sa: SaSpec): void {
    this.sas.set(saName(sa), sa)
    this.saEvents.push({ add: sa })
  }
  deleteSa(key: SaKey): void {
    this.sas.delete(saName(key))
    this.saEvents.push({ delete: key })
  }
  log(level: LogLine['level'], message: string, fields?: Record<string, unknown>): void {
    this.lines.push({ level, message, fields })
  }
  count(counter: string): void {
    this.counters.set(counter, (this.counters.get(counter) ?? 0) + 1)
  }
  /** Value of a counter, 0 when nobody touched it. */
  counted(counter: string): number {
    return this.counters.get(counter) ?? 0
  }
}

const saName = (key: SaKey): string => JSON.stringify([key.direction, key.protocol, key.spi])
