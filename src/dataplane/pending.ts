import type { Slab } from '../bytes/slab.js'

/** Policies that may have packets waiting at the same time. */
const POLICIES_MAX = 16
/** Packets that wait for one policy's SA. */
export const PENDING_PER_POLICY = 8
/** Octets of the largest packet that may wait. */
export const PENDING_PACKET_MAX = 9_216
/** How long a packet waits: TCP would have sent it again by then. */
const PENDING_LIFE_MS = 10_000

/** Octets of slab that a PendingPackets needs. */
export const pendingRoom = POLICIES_MAX * PENDING_PER_POLICY * PENDING_PACKET_MAX

/**
 * The first packets of a policy without SA: a few wait until the negotiation that they started is over. Bounded in
 * policies, packets and time; the newest packet is refused when the place is full, as the first ones open the flow.
 */
export class PendingPackets {
  private readonly slab: Slab
  private readonly base: number
  private readonly policy = new Int32Array(POLICIES_MAX).fill(-1)
  private readonly count = new Int32Array(POLICIES_MAX)
  private readonly sinceMs = new Float64Array(POLICIES_MAX)
  private readonly length = new Int32Array(POLICIES_MAX * PENDING_PER_POLICY)

  /** @param base slab offset of pendingRoom octets that this object owns */
  constructor(slab: Slab, base: number) {
    this.slab = slab
    this.base = base
  }

  /** Copies a packet to the waiting place; false when there is no room for it. */
  add(policy: number, at: number, length: number, nowMs: number): boolean {
    if (length > PENDING_PACKET_MAX) return false
    let entry = this.policy.indexOf(policy)
    if (entry < 0) {
      entry = this.policy.indexOf(-1)
      if (entry < 0) return false
      this.policy[entry] = policy
      this.count[entry] = 0
      this.sinceMs[entry] = nowMs
    }
    const n = this.count[entry]!
    if (n === PENDING_PER_POLICY) return false
    const slot = entry * PENDING_PER_POLICY + n
    this.slab.bytes.copyWithin(this.base + slot * PENDING_PACKET_MAX, at, at + length)
    this.length[slot] = length
    this.count[entry] = n + 1
    return true
  }

  /** Calls `send` with each waiting packet of the policy, oldest first, and forgets them. */
  release(policy: number, send: (at: number, length: number) => void): void {
    const entry = this.policy.indexOf(policy)
    if (entry < 0) return
    this.policy[entry] = -1
    for (let i = 0; i < this.count[entry]!; i++) {
      const slot = entry * PENDING_PER_POLICY + i
      send(this.base + slot * PENDING_PACKET_MAX, this.length[slot]!)
    }
  }

  /** Forgets what waited too long; returns how many packets that were. */
  expire(nowMs: number): number {
    let dropped = 0
    for (let entry = 0; entry < POLICIES_MAX; entry++) {
      if (this.policy[entry] === -1 || nowMs - this.sinceMs[entry]! < PENDING_LIFE_MS) continue
      this.policy[entry] = -1
      dropped += this.count[entry]!
    }
    return dropped
  }
}
