import type { Millis } from '../environment.js'

/** A rate limit: `burst` at once, then `perSecond`. */
export class TokenBucket {
  private readonly perMs: number
  private readonly burst: number
  private tokens: number
  private filledAt: Millis | undefined

  constructor(perSecond: number, burst: number) {
    this.perMs = perSecond / 1000
    this.burst = burst
    this.tokens = burst
  }

  /** Takes a token; false when there is none. A clock that stands still or goes back fills nothing. */
  take(now: Millis): boolean {
    if (this.filledAt !== undefined && now > this.filledAt) {
      this.tokens = Math.min(this.burst, this.tokens + (now - this.filledAt) * this.perMs)
    }
    this.filledAt = Math.max(now, this.filledAt ?? now)
    if (this.tokens < 1) return false
    this.tokens -= 1
    return true
  }

  /** Gives a token back: what it was taken for has turned out to be no abuse. */
  giveBack(): void {
    this.tokens = Math.min(this.burst, this.tokens + 1)
  }
}
