import type { Slab } from '../bytes/slab.js'
import { DROP } from '../ipsec/drop.js'
import type { Counters } from './counters.js'
import type { HandOver } from './hand-over.js'
import type { LaneMemory } from './lane-memory.js'
import type { Post } from './messages.js'
import { PendingPackets } from './pending.js'

const ACQUIRE_INTERVAL_MS = 1_000

/**
 * Policies that have no SA in this lane: their packets are handed to the lane that has one, or one is asked for, once a second
 * and policy, and the first packets wait for it.
 */
export class UnservedPolicies {
  private readonly slab: Slab
  private readonly tunPacket: number
  private readonly counters: Counters
  private readonly handOver: HandOver
  private readonly post: Post
  private readonly pending: PendingPackets
  /** When an SA was last asked for, by policy. */
  private readonly acquired = new Map<number, number>()

  constructor(slab: Slab, memory: LaneMemory, counters: Counters, handOver: HandOver, post: Post) {
    this.slab = slab
    this.tunPacket = memory.tunPacket
    this.counters = counters
    this.handOver = handOver
    this.post = post
    this.pending = new PendingPackets(slab, memory.pending)
  }

  /**
   * A packet that has no SA to go by.
   * @param at the packet, behind its vnet header @param large it is to be cut
   */
  hold(policy: number, at: number, length: number, large: boolean, nowMs: number): void {
    if (this.handOver.take(policy, at, length, large)) return
    const asked = this.acquired.get(policy)
    if (asked === undefined || nowMs - asked >= ACQUIRE_INTERVAL_MS) {
      this.acquired.set(policy, nowMs)
      this.post({ op: 'acquire', policy })
    }
    // A large packet belongs to a flow that was open before: it comes again.
    if (large || !this.pending.add(policy, at, length, nowMs)) this.counters.drop(-DROP.NO_SA)
  }

  /** The policy has an SA now. @param send is given each packet that waited, oldest first */
  served(policy: number, send: (at: number, length: number) => void): void {
    this.acquired.delete(policy)
    this.pending.release(policy, send)
  }

  /**
   * Another lane has an SA for it. What waits for one of this lane goes where the packets after it go.
   * @param to the lane; undefined: none has one any more
   */
  handOverTo(policy: number, to: number | undefined): void {
    this.handOver.set(policy, to)
    if (to === undefined) return
    const at = this.tunPacket
    this.served(policy, (from, length) => {
      // To where there is room for a vnet header in front of it.
      this.slab.bytes.copyWithin(at, from, from + length)
      this.handOver.take(policy, at, length, false)
    })
  }

  /** The policy is gone. */
  forget(policy: number): void {
    this.acquired.delete(policy)
  }

  /** Drops what waited too long. */
  expire(nowMs: number): void {
    const expired = this.pending.expire(nowMs)
    if (expired > 0) this.counters.drop(-DROP.PENDING_EXPIRED, expired)
  }
}
