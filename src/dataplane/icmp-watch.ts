import type { Slab } from '../bytes/slab.js'
import { DROP } from '../ipsec/drop.js'
import { ICMP } from '../wire/ip-protocol.js'
import { unreachableV4, unreachableV6 } from '../wire/unreachable.js'
import { Budget } from './budget.js'
import type { Counters } from './counters.js'
import type { Post } from './messages.js'
import type { PathFit } from './path-fit.js'

/** ICMP messages looked at in each span of housekeeping. */
const MESSAGES = 64
/** Of them, those about a peer that cannot be reached, which are handed to the main thread. */
const UNREACHABLE = 4

/** What ICMP says of the way to the peers. Anybody can send such a message. */
export class IcmpWatch {
  private readonly slab: Slab
  private readonly counters: Counters
  private readonly fit: PathFit
  private readonly post: Post
  private readonly first: boolean
  private readonly messages = new Budget(MESSAGES)
  private readonly unreachable = new Budget(UNREACHABLE)

  /** @param first every lane hears every message: the first one tells of peers, and counts what is of no use */
  constructor(slab: Slab, counters: Counters, fit: PathFit, first: boolean, post: Post) {
    this.slab = slab
    this.counters = counters
    this.fit = fit
    this.first = first
    this.post = post
  }

  /**
   * A message to this host.
   * @param protocol of the raw socket that it came from: with its IP header where that is ICMP, without where it is ICMPv6
   */
  heard(protocol: number, nowMs: number, at: number, length: number): void {
    if (!this.messages.take()) return this.counters.drop(-DROP.ICMP_IGNORED)
    const b = this.slab.bytes
    const gone = protocol === ICMP ? unreachableV4(b, at, length) : unreachableV6(b, at, length)
    if (gone !== undefined) {
      // A word for the operator, and nothing else.
      if (this.first && this.unreachable.take()) this.post({ op: 'unreachable', ...gone })
      return
    }
    const code = this.fit.reported(protocol, nowMs, at, length)
    if (code !== 0 && this.first) this.counters.drop(-code)
  }

  refill(): void {
    this.messages.refill()
    this.unreachable.refill()
  }
}
