import type { Slab } from '../bytes/slab.js'
import { DROP } from '../ipsec/drop.js'
import type { TunQueue } from '../net/types.js'
import { VNET_HDR_LEN, writePlainVnetHeader } from '../wire/virtio-net-hdr.js'
import { C, type Counters } from './counters.js'

/**
 * Packets of policies that have no SA in this lane, on their way to a lane that has: the peer has fewer lanes. They travel as
 * they came from the TUN device, so that the other lane reads them as from a queue of its own; a flow's packets all go the
 * same way, and stay in order.
 */
export class HandOver {
  private readonly slab: Slab
  private readonly counters: Counters
  private readonly outboxes: readonly TunQueue[]
  private readonly ways = new Map<number, TunQueue>()

  /** @param outboxes by lane, each with the vnet header of the TUN device or without, as that */
  constructor(slab: Slab, counters: Counters, outboxes: readonly TunQueue[]) {
    this.slab = slab
    this.counters = counters
    this.outboxes = outboxes
  }

  /** @param to lane that has the SA, or undefined: this one has it again */
  set(policy: number, to: number | undefined): void {
    const outbox = to === undefined ? undefined : this.outboxes[to]
    if (outbox) this.ways.set(policy, outbox)
    else this.ways.delete(policy)
  }

  /**
   * Hands a packet over, or drops it when the other lane is that far behind.
   * @param at the packet, behind the vnet header that it came with, which is used if `large` and overwritten otherwise
   * @param large a packet that is to be cut
   * @returns false when the policy's packets are this lane's own
   */
  take(policy: number, at: number, length: number, large: boolean): boolean {
    const outbox = this.ways.get(policy)
    if (!outbox) return false
    const header = outbox.vnetHeader ? VNET_HDR_LEN : 0
    // Its checksum is complete by now.
    if (header !== 0 && !large) writePlainVnetHeader(this.slab.bytes, at - header)
    if (outbox.write(at - header, header + length) > 0) this.counters.add(C.handedOver, 1)
    else this.counters.drop(-DROP.LANE_BUSY)
    return true
  }
}
