import { plainSlab, SCRATCH_LEN, type Slab } from '../../src/bytes/slab.js'
import { must } from './trace.js'

const GUARD = 96

/**
 * A slab for one packet at a time: what stands around it is known, so that a write beyond it is found, and a read beyond
 * it changes with `filling`.
 */
export class GuardedSlab {
  readonly slab: Slab
  /** Where packets go. */
  readonly at: number
  private readonly head: number
  private from = 0
  private to = 0
  private filling = 0

  /** @param head octets in front of the packet that may be written @param room octets of the longest packet */
  constructor(head: number, room: number, slab: Slab = plainSlab(GuardedSlab.octets(head, room))) {
    this.head = head
    this.slab = slab
    this.at = SCRATCH_LEN + GUARD + head
  }

  static octets(head: number, room: number): number {
    return GUARD + head + room + GUARD
  }

  /** Puts a packet in its place and the filling around it. */
  put(packet: Uint8Array, filling: number): void {
    const b = this.slab.bytes
    this.from = this.at - this.head
    this.to = this.at + packet.length
    this.filling = filling
    b.fill(filling, this.from - GUARD, this.to + GUARD)
    b.set(packet, this.at)
  }

  /** @param tail octets behind the packet that may have been written @throws Finding when others were */
  check(tail = 0): void {
    const b = this.slab.bytes
    const to = this.to + tail
    for (let i = this.from - GUARD; i < this.from; i++)
      must(b[i] === this.filling, `octet ${i - this.at} in front of the packet is written`)
    for (let i = to; i < this.to + GUARD; i++)
      must(b[i] === this.filling, `octet ${i - this.to} behind the packet is written`)
  }
}
