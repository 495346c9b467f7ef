import { spiNumber } from '../../wire/ike/v1/notify.js'

/** The IKE SA is renewed when so much of the message IDs of one end is used up. */
const RENEWED_AT = 0.75

/**
 * The message IDs of one IKE SA: each is good for one exchange. Those of both ends are remembered apart: nothing in HASH(1) or
 * the IV says whose a message is, so that a copy of one of ours would pass for the peer's (RFC 2409 sections 5.5 and 5.7).
 */
export class MessageIds {
  private readonly limit: number
  private readonly random: (length: number) => Uint8Array
  /** At most `limit`: what comes above it is refused. */
  private readonly peers = new Set<number>()
  /** At most `limit` and what one call sends: the IKE SA ends when it is `exhausted`. */
  private readonly own = new Set<number>()

  /** @param limit of each end */
  constructor(limit: number, random: (length: number) => Uint8Array) {
    this.limit = limit
    this.random = random
  }

  /** Why a message of the peer's may not begin an exchange with this ID; undefined when it may. */
  obstacle(id: number): string | undefined {
    if (this.own.has(id)) return 'reflected'
    if (this.peers.has(id)) return 'message-id-reused'
    return this.peers.size >= this.limit ? 'message-id-limit' : undefined
  }

  /** An authentic message of the peer's has had this ID. */
  heard(id: number): void {
    if (!this.own.has(id)) this.peers.add(id)
  }

  /** A new one for an exchange of ours, used up from now on. Never 0. */
  take(): number {
    for (;;) {
      const id = spiNumber(this.random(4))
      if (id === 0 || this.own.has(id) || this.peers.has(id)) continue
      this.own.add(id)
      return id
    }
  }

  get runLow(): boolean {
    return Math.max(this.own.size, this.peers.size) > this.limit * RENEWED_AT
  }

  /** We may send nothing more. */
  get exhausted(): boolean {
    return this.own.size >= this.limit
  }
}
