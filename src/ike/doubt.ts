import type { Millis } from './environment.js'
import type { IkeLimits } from './limits.js'
import { TokenBucket } from './prephase/token-bucket.js'

/**
 * Somebody, who has proved nothing, says that the peer has forgotten us: it is asked, and contacted anew when nothing authentic comes
 * from it soon.
 */
export class Doubt {
  private readonly rate: TokenBucket
  private readonly patienceMs: number
  private since: Millis | undefined

  constructor({ doubtsPerSecond, doubtsBurst, doubtMs }: IkeLimits) {
    this.rate = new TokenBucket(doubtsPerSecond, doubtsBurst)
    this.patienceMs = doubtMs
  }

  /**
   * @param heardSince whether anything authentic has come from the peer since then
   * @returns whether the peer is to be asked
   */
  raise(now: Millis, heardSince: (at: Millis) => boolean): boolean {
    if (!this.rate.take(now) || heardSince(now - this.patienceMs)) return false
    this.since ??= now
    return true
  }

  /** When it is to be resolved. */
  get until(): Millis | undefined {
    return this.since === undefined ? undefined : this.since + this.patienceMs
  }

  /** Ends it. @returns whether it was well founded */
  resolve(heardSince: (at: Millis) => boolean): boolean {
    const at = this.since
    this.since = undefined
    return at !== undefined && !heardSince(at)
  }
}
