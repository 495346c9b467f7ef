import { equalOctets } from '../../bytes/octets.js'
import { keyShareFor } from '../../crypto/ml-kem.js'
import { ProtocolError, WireError } from '../../errors.js'
import type { SaProtocol } from '../../sadb/sa-spec.js'
import { EXCHANGE, type IkeHeader } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { parseDelete } from '../../wire/ike/v2/notify.js'
import { NOTIFY, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { AgreedChild } from '../child-sa.js'
import { softSeconds } from '../child-spec.js'
import type { ChildConfig } from '../config.js'
import { earliest, isDue } from '../due.js'
import type { Millis } from '../environment.js'
import type { IkeSaOwner } from '../ike-sa.js'
import { copyPath, type Path, sameEndpoint } from '../path.js'
import { transition } from '../transition-table.js'
import { type AwaitedExchange, forgetAwaited } from './awaited-exchange.js'
import { openMessage } from './fragmentation.js'
import { type Keying, sealed, wipeKeying } from './keying.js'
import type { ChildKeymat } from './keys.js'
import { mayMove, type NatState } from './nat.js'
import type { NextIkeSa, Task } from './next-ike-sa.js'
import { selectorsOf, uncovered } from './one-sa.js'
import type { Outgoing } from './outgoing.js'
import { OWN_EXCHANGES } from './own-exchanges.js'
import {
  forgetChild,
  forgetOwn,
  IDLE,
  type OwnContext,
  type OwnEffect,
  type OwnEvent,
  type OwnedChild,
  type OwnState,
} from './own-states.js'
import { type MessageRules, notify, PayloadSet, RULES, UnknownCritical } from './payload-set.js'
import { answerRequest } from './peers-requests.js'
import type { Joined } from './reassembly.js'
import { formatSelectors } from './selectors.js'
import type { Window } from './window.js'

/** Octets of what tells our awaited exchanges apart. */
const LINK_LEN = 8

/** TEMPORARY_FAILURE answers to one wish before it counts as refused. */
const TRIES_MAX = 6

/** Doublings of the wait before a refused renewal is asked for again: 17 to 34 minutes at the most. */
const DOUBLINGS_MAX = 10

/** What an IKE SA does for what runs under it. */
export interface EstablishedHost {
  readonly owner: IkeSaOwner
  readonly sa: NextIkeSa
  send(path: Path, message: Outgoing): void
  tell(story: string, state: string): void
  /** The IKE SA that takes the predecessor's place, once it is promoted. */
  next(now: Millis, keying: Keying, predecessor: Established, peersToken: Uint8Array | undefined): NextIkeSa
}

/** What the exchange that made an IKE SA has settled. */
export interface AgreedIkeSa {
  readonly keying: Keying
  readonly nat: NatState
  readonly path: Path
  /** Lanes of the peer's data path. */
  readonly peersLanes: number
  /** The peer's token of quick crash detection (RFC 6290). */
  readonly peersToken: Uint8Array | undefined
}

/** UP: in use. REPLACED: another one is, and the peer deletes this one. CLOSING: we delete it. */
export type Phase = 'HELD' | 'UP' | 'REPLACED' | 'CLOSING' | 'CLOSED'

/** Everything under an established IKE SA: its CHILD_SAs, our requests and the peer's, signs of life. Owns the keys. */
export class Established {
  readonly keying: Keying
  readonly nat: NatState
  readonly peersLanes: number
  readonly establishedAt: Millis
  readonly hardAt: Millis
  softAt: Millis | undefined
  /** Refusals of a renewal that are not for a moment; whether any has failed; and when another IKE SA is begun instead. */
  private refusals = 0
  private renewalFailed = false
  private readonly anewAt: Millis
  path: Path
  phase: Phase
  /** By a request of the peer's, which has its response. */
  endedByPeer = false
  readonly host: EstablishedHost
  readonly owner: IkeSaOwner
  /** Bounded by childSasPerPolicy, twice: the manager ends the oldest, which stays here until the peer confirms its end. */
  children: OwnedChild[] = []
  own: OwnState = IDLE
  private readonly window: Window
  /** Bounded by the number of children and of their SAs. */
  private tasks: Task[] = []
  private tries = 0
  aliveAt: Millis
  peersToken: Uint8Array | undefined
  private watches = true
  private keepaliveAt: Millis | undefined
  /** The peer's CREATE_CHILD_SA whose second key exchange is to come: one, as a peer asks for one thing at a time. */
  private waiting:
    | { readonly exchange: AwaitedExchange; readonly link: Uint8Array; readonly until: Millis }
    | undefined
  /** HELD: gone then, when nobody uses it. */
  private readonly heldUntil: Millis | undefined
  /** HELD: of which one it may take the place. */
  private readonly predecessor: Established | undefined

  constructor(
    now: Millis,
    host: EstablishedHost,
    agreed: AgreedIkeSa,
    window: Window,
    predecessor?: Established,
  ) {
    const { owner } = host
    const life = owner.config.ikeLifetimeSeconds
    this.host = host
    this.owner = owner
    this.keying = agreed.keying
    this.nat = agreed.nat
    this.path = agreed.path
    this.peersLanes = agreed.peersLanes
    this.peersToken = agreed.peersToken
    this.window = window
    this.phase = predecessor === undefined ? 'UP' : 'HELD'
    this.predecessor = predecessor
    this.heldUntil = predecessor && now + owner.limits.lingerUnsureMs
    this.establishedAt = now
    this.softAt = now + 1000 * softSeconds(life, agreed.keying.role, this.jitter())
    this.hardAt = now + 1000 * life
    this.anewAt = (this.softAt + this.hardAt) / 2
    this.aliveAt = now
    if (agreed.nat.local) this.keepaliveAt = now + owner.limits.keepaliveMs
  }

  // What the manager asks for

  negotiate(now: Millis, child: ChildConfig): void {
    if (this.phase !== 'UP' || this.negotiating(child)) return
    this.tasks.push({ kind: 'CHILD', child, renews: this.inUse(child), at: now, tries: 0 })
    this.pump(now)
  }

  /** The CHILD_SA that carries the child's traffic. */
  inUse({ policy }: ChildConfig): OwnedChild | undefined {
    return this.children.findLast((c) => c.agreed.child.policy === policy && isInUse(c))
  }

  /** The child has no SA, and waits for what is asked for: what has no answer yet is repeated now, all else waits behind it. */
  hurry(now: Millis, child: ChildConfig): void {
    if (this.negotiating(child)) this.repeatNow(now)
  }

  /** Something waits for the answer to the request under way. */
  repeatNow(now: Millis): void {
    if (this.phase !== 'UP') return
    const message = this.window.hurry(now, this.owner.limits.retransmitMs[0] ?? 0)
    if (message === undefined) return
    this.owner.env.count('ike.retransmitted')
    this.host.send(this.path, message)
  }

  negotiating(child: ChildConfig): boolean {
    const { policy } = child
    // What still comes of a request is deleted with the rest.
    if (this.phase === 'CLOSING' || this.phase === 'CLOSED') return false
    return (
      ('offer' in this.own && this.own.offer.child.policy === policy) ||
      this.awaits(policy) ||
      this.tasks.some((t) => t.kind === 'CHILD' && t.child.policy === policy) ||
      this.children.some(
        (c) => c.agreed.child.policy === policy && c.outboundKey !== undefined && !c.redundant,
      )
    )
  }

  /** The policy has no SA any more: one that the peer has not confirmed yet is better than none. */
  moveOver(now: Millis, child: ChildConfig): boolean {
    const waiting = this.children.find(
      (c) => c.agreed.child.policy === child.policy && c.outboundKey !== undefined && !c.redundant,
    )
    if (waiting !== undefined) this.move(now, waiting)
    return waiting !== undefined
  }

  /**
   * What waits to be asked for is not wanted any more. A CHILD_SA that the peer has made and may not know to be there yet is
   * moved to soon, so that it can be ended.
   */
  giveUp(now: Millis, child: ChildConfig): void {
    this.tasks = this.tasks.filter((t) => t.kind !== 'CHILD' || t.child !== child)
    if (this.awaits(child.policy)) this.awaitNothing()
    const by = now + 2 * this.owner.limits.temporaryMs
    for (const c of this.children)
      if (c.agreed.child === child && c.moveAt !== undefined) c.moveAt = Math.min(c.moveAt, by)
  }

  /** SAs that are not ours, or that are being deleted, are left out. */
  sendDelete(now: Millis, protocol: SaProtocol, inboundSpis: readonly number[]): void {
    const meant = this.children.filter(
      (c) =>
        c.agreed.proposal.protocol === protocol && inboundSpis.includes(c.agreed.inboundSpi) && !c.closing,
    )
    if (meant.length === 0 || this.phase === 'CLOSING' || this.phase === 'CLOSED') return
    for (const c of meant) c.closing = true
    this.tasks.push({ kind: 'DELETE', protocol, spis: meant.map((c) => c.agreed.inboundSpi) })
    this.pump(now)
  }

  checkAlive(now: Millis): void {
    const underWay = this.window.underWay
    if (underWay !== undefined) return this.host.send(this.path, underWay)
    if (this.phase !== 'UP' || this.own.kind !== 'IDLE' || this.tasks.some((t) => t.kind === 'ASK')) return
    this.tasks.push({ kind: 'ASK' })
    this.pump(now)
  }

  /** Asks for an IKE SA in this one's place. */
  renew(now: Millis): void {
    if (this.phase !== 'UP' || this.isRekeying) return
    this.softAt = now + this.owner.limits.retryMs * (1 + this.jitter())
    if (!this.tasks.some((t) => t.kind === 'REKEY')) this.tasks.push({ kind: 'REKEY' })
    this.pump(now)
  }

  /** The peer may take a new IKE SA where it refuses to renew this one: in time, so that traffic does not wait for it. */
  private renewOrLeave(now: Millis): void {
    if (!this.renewalFailed || now < this.anewAt || this.isRekeying) return this.renew(now)
    this.softAt = now + this.owner.limits.retryMs * (1 + this.jitter())
    this.owner.unrenewable(now, this.host.sa)
  }

  /** A lasting refusal is not asked for again and again: the waits double. */
  private renewLater(now: Millis, isPassing: boolean): void {
    this.renewalFailed = true
    if (!isPassing) this.refusals++
    if (this.softAt === undefined) return
    const doubled = 2 ** Math.min(Math.max(this.refusals, 1), DOUBLINGS_MAX)
    const at = now + this.owner.limits.temporaryMs * (1 + this.jitter()) * doubled
    this.softAt = now < this.anewAt ? Math.min(at, this.anewAt) : at
  }

  private get isRekeying(): boolean {
    return this.own.kind === 'REKEYING' || this.own.kind === 'REKEYING_KE'
  }

  /** No more renewing and no more dead peer detection. */
  retire(): void {
    this.softAt = undefined
    this.watches = false
  }

  /** Ends everything. With `tell` the peer gets a Delete, which is repeated until it answers. */
  close(now: Millis, tell: boolean): void {
    if (this.phase === 'CLOSED' || (this.phase === 'CLOSING' && tell)) return
    this.retire()
    if (!tell) return this.destroy()
    this.phase = 'CLOSING'
    this.awaitNothing()
    this.tasks = [{ kind: 'CLOSE' }]
    this.pump(now)
  }

  private destroy(): void {
    this.phase = 'CLOSED'
    this.tasks = []
    forgetOwn(this.own)
    this.own = IDLE
    this.awaitNothing()
    for (const c of this.children) forgetChild(c)
    wipeKeying(this.keying)
  }

  // Time

  tick(now: Millis): void {
    if (this.phase === 'CLOSED') return
    const due = this.window.due(now, this.heardAt(now))
    if (due === 'silent') return this.silent(now)
    if (due !== undefined) {
      this.owner.env.count('ike.retransmitted')
      // Not where it went before: the peer may have another port by now.
      this.host.send(this.path, due.message)
    }
    if (this.phase === 'HELD' && isDue(this.heldUntil, now)) return this.end(now)
    if (isDue(this.waiting?.until, now)) this.awaitedInVain(now)
    if (isDue(this.keepaliveAt, now)) {
      this.keepaliveAt = now + this.owner.limits.keepaliveMs
      this.owner.env.sendKeepalive?.(this.path.local, this.path.remote)
    }
    for (const c of this.children) if (isDue(c.moveAt, now)) this.moveOrEnd(now, c)
    if (isDue(this.softAt, now) && this.phase === 'UP') this.renewOrLeave(now)
    if (isDue(this.askAt(), now)) this.askAlive(now)
    this.pump(now)
  }

  nextDeadline(): Millis | undefined {
    if (this.phase === 'CLOSED') return undefined
    const tasks = this.own.kind === 'IDLE' ? this.tasks.filter((t) => !this.isHeldBack(t)) : []
    return earliest([
      this.window.nextDeadline(),
      this.keepaliveAt,
      this.phase === 'HELD' ? this.heldUntil : undefined,
      this.phase === 'UP' && !this.isRekeying ? this.softAt : undefined,
      this.waiting?.until,
      this.askAt(),
      ...Array.from(this.children, (c) => c.moveAt),
      ...tasks.map((t) => ('at' in t ? t.at : 0)),
    ])
  }

  /** The last sign of life: a message, or a packet on an SA. Of an IKE SA that is about to end none counts. */
  private heardAt(now: Millis): Millis {
    if (this.phase !== 'UP') return Number.NEGATIVE_INFINITY
    const idle = this.owner.inboundIdleMs()
    return idle === undefined ? this.aliveAt : Math.max(this.aliveAt, now - idle)
  }

  /** When to ask whether the peer is alive. A request of any kind asks that too. */
  private askAt(): Millis | undefined {
    const delay = this.owner.config.dpdDelaySeconds * 1000
    const busy = this.own.kind !== 'IDLE' || this.tasks.some((t) => t.kind === 'ASK')
    return this.watches && this.phase === 'UP' && delay > 0 && !busy ? this.aliveAt + delay : undefined
  }

  private askAlive(now: Millis): void {
    const idle = this.owner.inboundIdleMs()
    if (idle !== undefined) this.aliveAt = Math.max(this.aliveAt, now - idle)
    if (isDue(this.askAt(), now)) this.tasks.push({ kind: 'ASK' })
  }

  /** A request of ours has no answer. */
  private silent(now: Millis): void {
    if (this.phase === 'UP') return this.owner.dead(now, this.host.sa)
    this.end(now)
  }

  /** The peer has proved that it does not know it any more, and it was not in use. */
  forgotten(now: Millis): void {
    this.end(now)
  }

  /** It is of no use any more, and nobody has to be told. */
  private end(now: Millis): void {
    this.destroy()
    this.owner.gone(now, this.host.sa)
  }

  // Messages

  /**
   * A message with this SA's SPIs.
   * @param joined what was in its fragments, if it came in some: `message` is the first one then
   * @throws WireError for what is no encrypted message
   */
  receive(
    now: Millis,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    isResponse: boolean,
    joined?: Joined,
  ): void {
    if (isResponse && header.exchange !== this.window.exchange) return this.owner.refuse(now, 'exchange-type')
    const split = openMessage(this.keying.opener, header, message, joined)
    if (split === undefined) return this.owner.refuse(now, 'bad-icv')
    this.heard(now, path)
    const rules = RULES_OF[header.exchange] ?? RULES.informational
    try {
      const set = new PayloadSet(split(), rules)
      if (!isResponse) return this.request(now, path, header, message, set)
      this.window.finish()
      this.ownEvent(now, { kind: 'RESPONSE', set })
      if (set.error()?.type === NOTIFY.INVALID_SYNTAX) return this.refusedAsUnreadable(now)
      this.pump(now)
    } catch (error) {
      if (!(error instanceof WireError || error instanceof ProtocolError)) throw error
      this.malformed(now, path, header, message, isResponse, error)
    }
  }

  private request(now: Millis, path: Path, header: IkeHeader, message: Uint8Array, set: PayloadSet): void {
    // With a window of one the peer asks again only when it has our last response: it has the SA that we agreed to there, unless
    // this is to say that it has no use for it.
    const refused = deletedSpis(set)
    for (const c of this.children)
      if (c.outboundKey !== undefined && !c.contested && !c.redundant && !refused.has(c.agreed.outboundSpi))
        this.move(now, c)
    const { payloads, afterwards } = answerRequest(this, now, header.exchange, set)
    this.respond(path, header, message, payloads)
    afterwards()
    this.pump(now)
  }

  private respond(
    path: Path,
    header: IkeHeader,
    request: Uint8Array,
    payloads: readonly PayloadInit[],
  ): void {
    const response = sealed(this.keying, header.exchange, header.messageId, true, payloads)
    this.window.answered(request, response)
    this.host.send(copyPath(path), response)
  }

  /** The peer's own message makes no sense: what it thinks of this SA is unknown (RFC 7296 section 2.21.3). */
  private malformed(
    now: Millis,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    isResponse: boolean,
    error: WireError | ProtocolError,
  ): void {
    const critical = error instanceof UnknownCritical
    this.owner.refuse(now, 'malformed-authentic', `the peer's message is malformed: ${error.message}`)
    if (isResponse) {
      // There is no answer to a response: a Delete says it (RFC 7296 section 2.21.3).
      this.window.finish()
      forgetOwn(this.own)
      this.own = IDLE
      return this.phase === 'UP' ? this.owner.broken(now, this.host.sa) : this.end(now)
    }
    const said = critical
      ? notify('UNSUPPORTED_CRITICAL_PAYLOAD', Uint8Array.of(error.payload))
      : notify('INVALID_SYNTAX')
    this.respond(path, header, message, [said])
    if (!critical) this.unreadable(now)
  }

  /** A request of the peer's was answered with INVALID_SYNTAX: the IKE SA is over at both ends (RFC 7296 section 2.21.3). */
  unreadable(now: Millis): void {
    if (this.phase === 'CLOSED') return
    this.endedByPeer = true
    this.destroy()
    this.owner.closed(now, this.host.sa)
  }

  /** The same said to us. Not every peer forgets it then: a Delete is for those that do not. */
  private refusedAsUnreadable(now: Millis): void {
    if (this.phase === 'UP') this.owner.broken(now, this.host.sa)
    else if (this.phase !== 'CLOSING' && this.phase !== 'CLOSED') this.end(now)
    this.pump(now)
  }

  /** An authenticated message: a sign of life, perhaps a new way. */
  private heard(now: Millis, path: Path): void {
    this.aliveAt = now
    this.follow(now, path)
  }

  /**
   * Only a NAT changes a peer's address and port; ours are not for the peer to change (RFC 7296 section 2.23). What came to another port
   * of ours came through another mapping of the NAT, which says nothing of this one.
   */
  follow(now: Millis, path: Path): void {
    const { local, remote } = this.path
    if (!mayMove(this.nat) || !sameEndpoint(local, path.local) || sameEndpoint(remote, path.remote)) return
    this.path = { local, remote: copyPath(path).remote }
    this.owner.moved(now, this.host.sa)
  }

  // Our requests

  /** Starts the next request, unless one is under way. */
  private pump(now: Millis): void {
    while (this.own.kind === 'IDLE' && !this.window.isWaiting && this.phase !== 'CLOSED') {
      const i = this.tasks.findIndex((t) => !this.isHeldBack(t) && (!('at' in t) || t.at <= now))
      const task = this.tasks[i]
      if (task === undefined) return
      this.tasks.splice(i, 1)
      const event = this.eventOf(task)
      if (event !== undefined) this.ownEvent(now, event)
    }
  }

  /** The peer is about to put another IKE SA in this one's place: what would go on beyond that is for the new one. */
  private isHeldBack(task: Task): boolean {
    return this.waiting?.exchange.what === 'IKE' && (task.kind === 'CHILD' || task.kind === 'DELETE')
  }

  private eventOf(task: Task): OwnEvent | undefined {
    this.tries = 0
    switch (task.kind) {
      case 'CHILD': {
        this.tries = task.tries
        const { child, renews } = task
        // The peer has ended it or renewed it meanwhile: both are an answer to our wish.
        if (renews !== undefined && !(this.children.includes(renews) && isInUse(renews))) return undefined
        if (this.awaits(child.policy)) return undefined
        return { kind: 'CREATE', child, old: renews ?? this.inUse(child) }
      }
      case 'DELETE': {
        const { protocol, spis } = task
        const children = this.children.filter((c) => spis.includes(c.agreed.inboundSpi))
        return { kind: 'DELETE', protocol, spis, children }
      }
      case 'REKEY':
        // The peer is at it.
        return this.waiting?.exchange.what === 'IKE' ? undefined : { kind: 'REKEY' }
      default:
        return { kind: task.kind }
    }
  }

  ownEvent(now: Millis, event: OwnEvent): void {
    const t = transition(OWN_EXCHANGES, this.own, event)
    if (t === undefined) return
    const before = this.own.kind
    const { next, effects } = t.run(this.own, event, now, this.context())
    this.own = next
    if (before !== next.kind) this.host.tell(t.story, next.kind)
    for (const e of effects) this.apply(now, e)
  }

  context(): OwnContext {
    const { owner } = this
    return {
      peer: owner.config,
      limits: owner.limits,
      keying: this.keying,
      crashSecret: owner.env.crashSecret,
      nat: this.nat,
      path: this.path,
      random: (length) => owner.env.random(length),
      peersLanes: this.peersLanes,
      newSpi: (child) => owner.newSpi(child),
      newIkeSpi: () => owner.newIkeSpi(),
      keyShare: keyShareFor,
    }
  }

  private apply(now: Millis, e: OwnEffect): void {
    switch (e.do) {
      case 'request': {
        const message = sealed(this.keying, e.exchange, this.window.nextId, false, e.payloads)
        this.window.send(now, message, this.path, e.schedule ?? this.owner.limits.retransmitMs)
        return this.host.send(this.path, message)
      }
      case 'made':
        return this.made(now, e.agreed, e.keymat, e.old)
      case 'unmake':
        this.tasks.unshift({ kind: 'DELETE', protocol: e.protocol, spis: [e.spi] })
        return
      case 'rival-child':
        return this.settleRival(now, e.rival, e.stays)
      case 'rival-stops':
        return this.awaitNothing()
      case 'child-failed':
        return this.owner.childFailed(now, this.host.sa, e.child, e.reason, e.fields)
      case 'child-later':
        return this.later(now, e.child, e.old)
      case 'child-unknown': {
        const { proposal, outboundSpi } = e.old.agreed
        if (!this.children.includes(e.old)) return
        this.drop(e.old)
        this.owner.childrenDeleted(now, proposal.protocol, [outboundSpi])
        this.tasks.push({ kind: 'CHILD', child: e.child, renews: undefined, at: now, tries: 0 })
        return
      }
      case 'rekeyed':
        return this.rekeyed(now, e.keying, e.peersToken, e.rival, e.stays)
      case 'outdone':
        if (e.rival !== undefined) this.replaceBy(now, e.rival)
        return
      case 'rekey-failed':
        if (e.rival !== undefined) return this.replaceBy(now, e.rival)
        if (this.waiting?.exchange.what === 'IKE') return
        this.renewLater(now, e.isPassing === true)
        return this.owner.refuse(now, 'rekey-failed', `no new IKE SA: ${e.reason}`)
      case 'rekey-unusable':
        this.owner.refuse(now, 'rekey-unusable', `no new IKE SA, and the peer has one: ${e.reason}`)
        return this.phase === 'UP' ? this.owner.broken(now, this.host.sa) : undefined
      case 'deleted':
        for (const c of e.children) {
          this.drop(c)
          this.owner.childSettled(now, c.agreed)
        }
        return
      case 'closed':
        return this.end(now)
    }
  }

  private later(now: Millis, child: ChildConfig, renews: OwnedChild | undefined): void {
    if (this.tries >= TRIES_MAX)
      return this.owner.childFailed(
        now,
        this.host.sa,
        child,
        'the peer says TEMPORARY_FAILURE, again and again',
      )
    const at = now + this.owner.limits.temporaryMs * (1 + this.jitter())
    this.tasks.push({ kind: 'CHILD', child, renews, at, tries: this.tries + 1 })
  }

  // Second key exchanges of the peer's (RFC 9370)

  /** Waits for one, in the place of another one if there is any. @returns the link to give the peer */
  await(now: Millis, exchange: AwaitedExchange): Uint8Array {
    if (this.waiting !== undefined) this.awaitedInVain(now)
    const link = this.owner.env.random(LINK_LEN)
    this.waiting = { exchange, link, until: now + this.owner.limits.halfOpenMs }
    return link
  }

  /** The exchange that the peer goes on with, the caller's from now on; undefined when we do not know it. */
  awaited(link: Uint8Array | undefined): AwaitedExchange | undefined {
    const { waiting } = this
    if (waiting === undefined || link === undefined || !equalOctets(waiting.link, link)) return undefined
    this.waiting = undefined
    return waiting.exchange
  }

  private awaits(policy: number): boolean {
    const exchange = this.waiting?.exchange
    return exchange?.what === 'CHILD' && exchange.agreed.child.policy === policy
  }

  private awaitNothing(): void {
    forgetAwaited(this.waiting?.exchange)
    this.waiting = undefined
  }

  private awaitedInVain(now: Millis): void {
    const exchange = this.waiting?.exchange
    this.awaitNothing()
    this.owner.refuse(now, 'follow-up-missing')
    if (exchange?.what !== 'CHILD' || this.own.kind === 'CREATING') return
    const { child } = exchange.agreed
    // We may have given up our own wish for it.
    if (this.inUse(child) === undefined)
      this.owner.childFailed(now, this.host.sa, child, 'the peer began it and did not go on')
  }

  // CHILD_SAs

  /** The peer has made an SA of which we have nothing. @param spi the one that we gave it */
  unmake(now: Millis, protocol: SaProtocol, spi: number): void {
    this.tasks.unshift({ kind: 'DELETE', protocol, spis: [spi] })
    this.pump(now)
  }

  /** A CHILD_SA that we asked for, in IKE_AUTH or later: receive on it, send on it, delete the one that it replaces. */
  made(now: Millis, agreed: AgreedChild, keymat: ChildKeymat, old: OwnedChild | undefined): void {
    this.children.push(ownedChild(agreed, old))
    if (old === undefined) {
      this.tellUnpadded(agreed)
      this.tellNarrowed(agreed)
    }
    this.owner.childInbound(now, this.host.sa, agreed, keymat.toInitiator)
    this.owner.childOutbound(now, this.host.sa, agreed, keymat.toResponder)
    if (old === undefined || !this.children.includes(old)) return
    old.replaced = true
    if (old.closing) return
    old.closing = true
    const { proposal, inboundSpi } = old.agreed
    this.tasks.unshift({ kind: 'DELETE', protocol: proposal.protocol, spis: [inboundSpi] })
  }

  /** A CHILD_SA that the peer asked for: receive on it, and send when the peer does. */
  granted(
    now: Millis,
    agreed: AgreedChild,
    keymat: ChildKeymat,
    old: OwnedChild | undefined,
    contested: boolean,
  ): OwnedChild {
    const child = ownedChild(agreed, old)
    child.outboundKey = keymat.toInitiator
    child.contested = contested
    child.moveAt = now + this.owner.limits.lingerUnsureMs
    this.children.push(child)
    if (old === undefined) this.tellUnpadded(agreed)
    this.owner.childInbound(now, this.host.sa, agreed, keymat.toResponder)
    return child
  }

  /** The peer takes a part of what we asked for: the rest of the child's traffic has no SA. */
  private tellNarrowed(agreed: AgreedChild): void {
    const missing = uncovered(agreed)
    if (missing === undefined) return
    const { env, config } = this.owner
    const text = 'ike: the peer has narrowed the traffic selectors, and what is left out has no SA'
    const fields = {
      child: agreed.child.name,
      uncovered: missing,
      agreed: formatSelectors(selectorsOf(agreed)),
    }
    env.log('warn', text, { peer: config.name, ...fields })
  }

  private tellUnpadded({ noTfc, child }: AgreedChild): void {
    if (noTfc !== true || child.pads !== true) return
    const { env, config } = this.owner
    const text = 'ike: packets are not padded: the peer takes no TFC padding (tfc_padding)'
    env.log('warn', text, { peer: config.name, child: child.name })
  }

  /** The peer has it as well: traffic moves. */
  move(now: Millis, child: OwnedChild): void {
    const key = child.outboundKey
    if (key === undefined) return
    child.outboundKey = undefined
    child.moveAt = undefined
    child.contested = false
    if (child.replaces !== undefined) child.replaces.replaced = true
    this.owner.childOutbound(now, this.host.sa, child.agreed, key)
  }

  private moveOrEnd(now: Millis, child: OwnedChild): void {
    if (!child.redundant) return this.move(now, child)
    // The peer has not deleted what it made too much.
    child.moveAt = undefined
    this.owner.childAbandoned(now, child.agreed)
    this.sendDelete(now, child.agreed.proposal.protocol, [child.agreed.inboundSpi])
  }

  private settleRival(now: Millis, child: OwnedChild, stays: boolean): void {
    child.contested = false
    if (!stays) {
      child.redundant = child.outboundKey !== undefined
      return
    }
    if (child.replaces === undefined || !this.children.includes(child.replaces)) this.move(now, child)
  }

  /** Forgets a CHILD_SA that is not any more. */
  drop(child: OwnedChild): void {
    forgetChild(child)
    this.children = this.children.filter((c) => c !== child)
  }

  takeChildren(): readonly AgreedChild[] {
    const agreed = this.children.map((c) => c.agreed)
    for (const c of this.children) forgetChild(c)
    this.children = []
    return agreed
  }

  // The IKE SA itself

  private rekeyed(
    now: Millis,
    keying: Keying,
    peersToken: Uint8Array | undefined,
    rival: NextIkeSa | undefined,
    stays: boolean,
  ): void {
    const next = this.host.next(now, keying, this, peersToken)
    this.owner.held(now, next)
    if (stays && this.phase === 'UP') {
      this.replaceBy(now, next)
      return this.close(now, true)
    }
    next.discard(now)
    if (rival !== undefined) this.replaceBy(now, rival)
  }

  /** Another IKE SA takes this one's place, with all that belongs to it. */
  replaceBy(now: Millis, next: NextIkeSa): void {
    if (this.phase !== 'UP' || next.stage !== 'HELD') return
    this.phase = 'REPLACED'
    this.retire()
    this.awaitNothing()
    const { children, tasks } = this
    this.children = []
    this.tasks = []
    next.promote(
      now,
      children,
      tasks.filter((t) => t.kind === 'CHILD' || t.kind === 'DELETE'),
    )
    this.owner.replaced(now, this.host.sa, next)
  }

  /** HELD, and the peer uses it: it has decided. */
  used(now: Millis): void {
    if (this.phase === 'HELD') this.predecessor?.replaceBy(now, this.host.sa)
  }

  promote(now: Millis, children: readonly OwnedChild[], tasks: readonly Task[]): void {
    if (this.phase !== 'HELD') return
    this.phase = 'UP'
    this.children.push(...children)
    this.tasks.push(...tasks)
    // The responder has told its token in the exchange itself (RFC 6290 section 4.3).
    const tells = this.owner.env.crashSecret !== undefined && this.predecessor?.peersToken !== undefined
    if (tells && this.keying.role === 'initiator') this.tasks.push({ kind: 'TELL' })
    this.pump(now)
  }

  /** 0 to 1. */
  private jitter(): number {
    return this.owner.env.random(1)[0]! / 256
  }
}

const RULES_OF: Readonly<Record<number, MessageRules>> = {
  [EXCHANGE.CREATE_CHILD_SA]: RULES.createChild,
  [EXCHANGE.IKE_FOLLOWUP_KE]: RULES.followUp,
}

const ownedChild = (agreed: AgreedChild, replaces: OwnedChild | undefined): OwnedChild => ({
  agreed,
  replaces,
  outboundKey: undefined,
  moveAt: undefined,
  contested: false,
  redundant: false,
  closing: false,
  replaced: false,
})

/** SPIs that the peer deletes in this request. */
const deletedSpis = (set: PayloadSet): ReadonlySet<number> =>
  new Set(set.all(PAYLOAD.DELETE).flatMap((body) => parseDelete(body).spis))

/** Not replaced, not about to go, and the peer is known to have it. */
const isInUse = (c: OwnedChild): boolean =>
  !c.closing && !c.replaced && !c.redundant && c.outboundKey === undefined
