import type { InboundSa } from '../ipsec/sa.js'
import { espSequence } from '../wire/esp.js'
import { Budget } from './budget.js'
import type { FromLane } from './messages.js'

/** Movements told of in each span of housekeeping; what is beyond it is noticed with a later packet. */
const MOVEMENTS = 8

/**
 * Notices when the packets of an SA in UDP come from another address or port: a NAT has moved the peer (RFC 7296 section 2.23). Whether it
 * is followed is for key management to say.
 */
export class PeerWatch {
  private readonly movements = new Budget(MOVEMENTS)
  private readonly post: (message: FromLane) => void

  constructor(post: (message: FromLane) => void) {
    this.post = post
  }

  refill(): void {
    this.movements.refill()
  }

  /**
   * A packet that was accepted just now. Only the newest one tells where the peer is: others may have been on their way for long, or
   * been held back by somebody.
   * @param esp offset of its ESP header @param source the sender's address at `sourceAt`
   */
  accepted(
    sa: InboundSa,
    b: Uint8Array,
    esp: number,
    source: Uint8Array,
    sourceAt: number,
    port: number,
  ): void {
    if (sa.isFrom(source, sourceAt, port) || espSequence(b, esp) !== sa.replay.topLow) return
    if (!this.movements.take()) return
    sa.nowFrom(source, sourceAt, port)
    const remote = source.slice(sourceAt, sourceAt + sa.info.remote.length)
    this.post({ op: 'packetFrom', key: sa.key, remote, remotePort: port })
  }
}
