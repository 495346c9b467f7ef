import type { ChildConfig } from './config.js'
import type { Millis } from './environment.js'
import type { IkeSa } from './ike-sa.js'
import type { IkeLimits } from './limits.js'
import { goesFirst } from './simultaneous.js'

export interface HeldIkeSa {
  readonly sa: IkeSa
  /** Another one has taken its place: it is closed then. */
  closeAt: Millis | undefined
}

export interface IkeSaSetListener {
  added(sa: IkeSa): void
  /** It is of no use any more; it may still receive the confirmation of its end. */
  ended(now: Millis, sa: IkeSa): void
  removed(now: Millis, sa: IkeSa): void
}

/**
 * The IKE SAs of one peer, in order of creation. Bounded by halfOpenPerPeer + ikeSasPerPeer + closingPerPeer, one HELD for each that
 * is established, and our own attempt.
 */
export class IkeSaSet {
  private readonly limits: IkeLimits
  private readonly listener: IkeSaSetListener
  private held: readonly HeldIkeSa[] = []

  constructor(limits: IkeLimits, listener: IkeSaSetListener) {
    this.limits = limits
    this.listener = listener
  }

  /** A list that later changes leave alone. */
  all(): readonly HeldIkeSa[] {
    return this.held
  }

  /** The newest that no other has replaced. */
  usable(): IkeSa | undefined {
    return this.held.findLast((h) => h.sa.stage === 'ESTABLISHED' && h.closeAt === undefined)?.sa
  }

  anyEstablished(): boolean {
    return this.held.some((h) => h.sa.stage === 'ESTABLISHED')
  }

  /** First exchanges that the peer has begun. */
  halfOpen(): IkeSa[] {
    return this.held.map((h) => h.sa).filter((sa) => sa.stage === 'CONNECTING' && sa.role === 'responder')
  }

  negotiating(child: ChildConfig): boolean {
    return this.held.some((h) => h.sa.negotiating(child))
  }

  add(now: Millis, sa: IkeSa): void {
    this.held = [...this.held, { sa, closeAt: undefined }]
    this.listener.added(sa)
    // A renewed one closes its predecessor by itself.
    this.limitClosing(now)
  }

  remove(now: Millis, sa: IkeSa): void {
    this.listener.ended(now, sa)
    this.held = this.held.filter((h) => h.sa !== sa)
    this.listener.removed(now, sa)
  }

  /** Closes and removes, at once or when the peer has confirmed it. @param tell the peer gets a Delete */
  drop(now: Millis, sa: IkeSa, tell: boolean): void {
    sa.close(now, tell)
    if (sa.stage === 'CLOSED') return this.remove(now, sa)
    this.listener.ended(now, sa)
    this.limitClosing(now)
  }

  /** A peer that confirms no end has been told often enough. */
  private limitClosing(now: Millis): void {
    const closing = this.held.filter((h) => h.sa.stage === 'CLOSING')
    const tooMany = Math.max(0, closing.length - this.limits.closingPerPeer)
    for (const { sa } of closing.slice(0, tooMany)) this.drop(now, sa, false)
  }

  /** `next` has taken the place of `old`, which goes when the peer deletes it, or by itself. */
  replace(now: Millis, old: IkeSa): void {
    const held = this.held.find((h) => h.sa === old)
    if (held !== undefined) held.closeAt = now + this.limits.lingerUnsureMs
    this.limitEstablished(now)
  }

  /** Whether it is the one that loses against another one, or is replaced. */
  isReplaced(sa: IkeSa): boolean {
    return this.held.some((h) => h.sa === sa && h.closeAt !== undefined)
  }

  /** Drops a half-open one when there are too many: one behind which nobody may be, the oldest first. */
  limitHalfOpen(now: Millis): boolean {
    const half = this.halfOpen()
    if (half.length <= this.limits.halfOpenPerPeer) return false
    this.drop(now, half.find((sa) => !sa.answered) ?? half[0]!, false)
    return true
  }

  /**
   * A new IKE SA takes the place of all before it. Of two that were made at the same time both ends keep the one with
   * the lower initiator cookie.
   */
  settleOn(now: Millis, sa: IkeSa): void {
    // Only the initiator knows, when the exchange is over, that both ends have the new one.
    const closeAt = now + (sa.role === 'initiator' ? this.limits.lingerMs : this.limits.lingerUnsureMs)
    const others = this.held.filter(
      (h) => h.sa !== sa && h.sa.stage === 'ESTABLISHED' && h.closeAt === undefined,
    )
    const better = others.find(
      ({ sa: o }) => (o.establishedAt ?? 0) >= sa.startedAt && goesFirst(o.initiatorSpi, sa.initiatorSpi),
    )
    const losers = better === undefined ? others : this.held.filter((h) => h.sa === sa)
    for (const h of losers) {
      h.closeAt = closeAt
      h.sa.retire()
    }
    this.limitEstablished(now)
  }

  private limitEstablished(now: Millis): void {
    const open = this.held.filter((h) => h.sa.stage === 'ESTABLISHED')
    if (open.length > this.limits.ikeSasPerPeer) this.drop(now, open[0]!.sa, true)
  }

  /** Drops what was established before a new one began. The peer does not know it any more. */
  forgetBefore(now: Millis, sa: IkeSa): void {
    for (const { sa: old } of this.held)
      if (old !== sa && (old.establishedAt ?? Number.POSITIVE_INFINITY) < sa.startedAt)
        this.drop(now, old, false)
  }
}
