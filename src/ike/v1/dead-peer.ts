import type { Millis } from '../environment.js'

/**
 * Dead peer detection, RFC 3706: when nothing has been heard for a while, ask R-U-THERE, ask again, and at last believe
 * that the peer is dead. Any authenticated message or packet is a sign of life.
 */
export class DeadPeerDetection {
  private readonly delayMs: number
  private readonly repeatMs: readonly number[]
  private aliveAt: Millis
  private sequence: number
  /** R-U-THERE messages sent without answer. */
  private tries = 0
  private dueAt: Millis | undefined
  /** When the question that waits for its answer was asked first. */
  private askedAt: Millis = Number.NEGATIVE_INFINITY

  /**
   * @param delayMs idle time before asking; 0 = only when told to
   * @param firstSequence random, below 2^31 (RFC 3706 section 6.2)
   */
  constructor(now: Millis, delayMs: number, repeatMs: readonly number[], firstSequence: number) {
    this.delayMs = delayMs
    this.repeatMs = repeatMs
    this.aliveAt = now
    this.sequence = firstSequence
    this.dueAt = delayMs > 0 ? now + delayMs : undefined
  }

  /** A sign of life. One from before the question under way is no answer to it: the peer may have died since. */
  alive(at: Millis): void {
    if (at < this.aliveAt || at < this.askedAt) return
    this.askedAt = Number.NEGATIVE_INFINITY
    this.aliveAt = at
    this.tries = 0
    this.dueAt = this.delayMs > 0 ? at + this.delayMs : undefined
  }

  /** Ask now, however lately the peer was heard, unless that is under way. @returns as `due` */
  check(now: Millis): number | 'dead' | undefined {
    if (this.tries > 0) return undefined
    this.dueAt = now
    return this.due(now)
  }

  /** The sequence number of a question that waits for its answer. */
  get asked(): number | undefined {
    return this.tries === 0 || this.dueAt === undefined ? undefined : this.sequence
  }

  /** Since when the peer leaves a question that was asked again without an answer. */
  silentSince(): Millis | undefined {
    return this.tries > 1 ? this.aliveAt : undefined
  }

  nextDeadline(): Millis | undefined {
    return this.dueAt
  }

  /**
   * Call when due.
   * @returns the sequence number to ask with, 'dead', or undefined when there is nothing to do
   */
  due(now: Millis): number | 'dead' | undefined {
    if (this.dueAt === undefined || now < this.dueAt) return undefined
    const wait = this.repeatMs[this.tries]
    if (wait === undefined) {
      this.dueAt = undefined
      return 'dead'
    }
    if (this.tries === 0) {
      this.sequence = (this.sequence + 1) >>> 0
      this.askedAt = now
    }
    this.tries++
    this.dueAt = now + wait
    return this.sequence
  }
}
