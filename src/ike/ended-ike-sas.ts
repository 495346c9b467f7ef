import type { Millis } from './environment.js'
import type { IkeSa } from './ike-sa.js'
import type { IkeLimits } from './limits.js'

interface Kept {
  readonly sa: IkeSa
  readonly until: Millis
}

/**
 * IKE SAs of one peer that have ended with a response of ours, in order of their ends: RFC 7296 section 2.1 wants each response
 * remembered, and the peer that has lost this one would take us for crashed. They have no keys any more. Kept for as long as a
 * peer repeats a request; at most endedPerPeer.
 */
export class EndedIkeSas {
  private readonly limits: IkeLimits
  private readonly forget: (sa: IkeSa) => void
  private kept: Kept[] = []

  /** @param forget called with each that is kept no longer */
  constructor(limits: IkeLimits, forget: (sa: IkeSa) => void) {
    this.limits = limits
    this.forget = forget
  }

  /** @returns whether it is kept */
  keep(now: Millis, sa: IkeSa): boolean {
    const { endedPerPeer, lingerUnsureMs } = this.limits
    if (endedPerPeer === 0) return false
    this.kept.push({ sa, until: now + lingerUnsureMs })
    while (this.kept.length > endedPerPeer) this.forget(this.kept.shift()!.sa)
    return true
  }

  tick(now: Millis): void {
    while (this.kept[0] !== undefined && this.kept[0].until <= now) this.forget(this.kept.shift()!.sa)
  }

  nextDeadline(): Millis | undefined {
    return this.kept[0]?.until
  }
}
