import type { Slab } from '../bytes/slab.js'
import { DROP } from '../ipsec/drop.js'
import { IKE_MESSAGE_MAX, NAT_T_PORT, NON_ESP_MARKER_LEN } from '../wire/ike/header.js'
import { Budget } from './budget.js'
import { C, type Counters } from './counters.js'
import type { LaneSocket } from './lane-socket.js'
import type { Post } from './messages.js'

/** IKE messages handed to the main thread in each span of housekeeping: a few of each of hundreds of peers that go at once; more are dropped and counted. */
const MESSAGES = 1024

/** Hands the IKE messages that come in between ESP, on port 4500, to the main thread. */
export class IkeForward {
  private readonly slab: Slab
  private readonly counters: Counters
  private readonly post: Post
  private readonly messages = new Budget(MESSAGES)

  constructor(slab: Slab, counters: Counters, post: Post) {
    this.slab = slab
    this.counters = counters
    this.post = post
  }

  /** @param at the non-ESP marker in front of the message, in that slot of the batch; `length` octets with it */
  take({ spec, rx }: Pick<LaneSocket, 'spec' | 'rx'>, slot: number, at: number, length: number): void {
    if (length > NON_ESP_MARKER_LEN + IKE_MESSAGE_MAX || !this.messages.take())
      return this.counters.drop(-DROP.IKE_OVERLOAD)
    this.counters.add(C.ikeForwarded, 1)
    this.post({
      op: 'ike',
      local: spec.local,
      localPort: NAT_T_PORT,
      remote: rx.source.slice(slot * 16, slot * 16 + spec.local.length),
      remotePort: rx.sourcePort[slot]!,
      message: this.slab.bytes.slice(at + NON_ESP_MARKER_LEN, at + length),
    })
  }

  refill(): void {
    this.messages.refill()
  }
}
