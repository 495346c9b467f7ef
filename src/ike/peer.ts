import { hex, wipe } from '../bytes/octets.js'
import type { SaExpiry, SaProtocol } from '../sadb/sa-spec.js'
import type { IkeHeader } from '../wire/ike/header.js'
import { formatSelector } from '../wire/traffic-selector.js'
import { NATT_PORT, UDP } from '../wire/udp.js'
import type { Unreachable } from '../wire/unreachable.js'
import type { AgreedChild } from './child-sa.js'
import { ChildTable } from './children.js'
import type { ChildConfig, IkePeerConfig } from './config.js'
import { Doubt } from './doubt.js'
import { earliest, isDue } from './due.js'
import { EndedIkeSas } from './ended-ike-sas.js'
import type { Endpoint, IkeEnvironment, Millis } from './environment.js'
import { keysOf, plainKeys } from './first-keys.js'
import type { Admission, FirstKeys, IkeSa, IkeSaOwner, IkeVersion, Missing } from './ike-sa.js'
import { IkeSaSet } from './ike-sa-set.js'
import { inSharedLane, sharedLanes } from './lanes.js'
import { type IkeLimits, PATIENCE } from './limits.js'
import { copyPath, formatEndpoint, IKE_PORT, type Path } from './path.js'
import { describeIkeSa, peerStatus } from './peer-status.js'
import type { Prephase } from './prephase/prephase.js'
import { TokenBucket } from './prephase/token-bucket.js'
import type { PrephaseResult, PrephaseStatus } from './prephase/types.js'
import { formatChildProposal } from './proposals.js'
import type { RefusalLog } from './refusal-log.js'
import { goesFirst } from './simultaneous.js'
import { type IkePeerStatus, spiText } from './status.js'
import type { Trouble } from './trouble.js'
import { unreachableText } from './unreachable.js'
import type { Cookies } from './v2/cookies.js'

const IKE_PORTS: ReadonlySet<number> = new Set([IKE_PORT, NATT_PORT])

/** What all peers share. */
export interface PeerShared {
  readonly env: IkeEnvironment
  readonly limits: IkeLimits
  readonly prephase: Prephase
  readonly refusals: RefusalLog
  readonly prefersUdp: boolean
  readonly cookies: Cookies
  /** The peer has authenticated itself in an exchange that it began. */
  proved(peer: Peer): void
  /** Says without protection that an IKE SA is not there, once in a while. */
  tellUnknown(now: Millis, peer: Peer, path: Path, answer: Uint8Array): void
  newIkeSpi(): Uint8Array
  newSpi(child: ChildConfig): number
  /** The peer's IKE SAs receive messages between these calls. */
  register(peer: Peer, sa: IkeSa): void
  unregister(peer: Peer, sa: IkeSa): void
}

/** Our own way to a new IKE SA. */
interface Attempt {
  /** `doubt`: the peer seems to have forgotten the IKE SA that is there; `anew`: it cannot be renewed. */
  readonly purpose: 'initial' | 'rekey' | 'doubt' | 'anew'
  /** The IKE SA whose place it takes. */
  readonly renews: IkeSa | undefined
  /** Undefined while the pre-phase is under way. */
  sa: IkeSa | undefined
}

/**
 * One configured peer: which CHILD_SAs it should have, and the IKE SAs that serve them. It decides when to negotiate,
 * renew and give up; the machines of the IKE SAs know how.
 */
export class Peer implements IkeSaOwner {
  readonly config: IkePeerConfig
  private readonly shared: PeerShared
  private readonly version: IkeVersion
  readonly children: ChildTable
  private readonly sas: IkeSaSet
  private readonly ended: EndedIkeSas
  private attempt: Attempt | undefined
  /** Children to negotiate: without SA, or with one to be renewed. */
  private readonly wanted = new Set<ChildConfig>()
  /** Not before: children that the peer has just refused, and attempts after one that failed at once. */
  private readonly retryAt = new Map<ChildConfig, Millis>()
  /** What of a child was begun by then is not wanted any more. */
  private readonly unwantedBy = new Map<ChildConfig, Millis>()
  /** An IKE SA is wanted, whether or not there is anything to negotiate under it. */
  private wantsIkeSa = false
  private attemptAt: Millis = Number.NEGATIVE_INFINITY
  private pursueAt: Millis | undefined
  private readonly doubt: Doubt
  private readonly unknownSpis: TokenBucket
  /** The peer has begun an IKE SA: ours waits until then. */
  private waitUntil: Millis | undefined
  private lastError: Trouble | undefined
  /** What ICMP has said since the last attempt. */
  private unreached: Trouble | undefined
  /** Trouble from before is over. */
  private workedAt: Millis = Number.NEGATIVE_INFINITY
  private started = false
  /** Lanes that have CHILD_SAs with the peer; all of ours until it has said how many it has. */
  private lanes: number

  constructor(config: IkePeerConfig, version: IkeVersion, shared: PeerShared) {
    this.config = config
    this.version = version
    this.shared = shared
    this.lanes = sharedLanes(config, Number.POSITIVE_INFINITY)
    this.unknownSpis = new TokenBucket(shared.limits.unknownSpisPerSecond, shared.limits.unknownSpisBurst)
    this.doubt = new Doubt(shared.limits)
    this.sas = new IkeSaSet(shared.limits, {
      added: (sa) => shared.register(this, sa),
      ended: (now, sa) => this.children.endWith(now, sa.takeChildren()),
      removed: (now, sa) => {
        if (sa.hasLastWord !== true || !this.ended.keep(now, sa)) shared.unregister(this, sa)
      },
    })
    this.ended = new EndedIkeSas(shared.limits, (sa) => shared.unregister(this, sa))
    this.children = new ChildTable(shared.env, shared.limits, {
      rekey: (now, child) => this.rekeyChild(now, child),
      lost: (now, child, expired) => this.lost(now, child, expired),
      deleted: (now, protocol, spis, needed) => this.tellDeleted(now, protocol, spis, needed),
    })
  }

  get env(): IkeEnvironment {
    return this.shared.env
  }
  get limits(): IkeLimits {
    return this.shared.limits
  }
  get prefersUdp(): boolean {
    return this.shared.prefersUdp
  }
  get cookies(): Cookies {
    return this.shared.cookies
  }
  newIkeSpi(): Uint8Array {
    return this.shared.newIkeSpi()
  }
  newSpi(child: ChildConfig): number {
    return this.shared.newSpi(child)
  }

  // What others ask for

  /** The child should have an SA. @param urgent a refusal of a moment ago is forgotten */
  want(now: Millis, asked: ChildConfig, urgent: boolean): void {
    const child = this.inSharedLane(asked)
    if (this.children.current(child) !== undefined) return
    this.hurry(now, child)
    if (urgent) {
      this.retryAt.delete(child)
      this.attemptAt = Number.NEGATIVE_INFINITY
    } else if (now < (this.retryAt.get(child) ?? now) || now < this.attemptAt) return
    this.unwantedBy.delete(child)
    this.wanted.add(child)
    this.pursue(now)
  }

  /** There should be an IKE SA, even with nothing under it. A refusal of a moment ago is forgotten. */
  wantIkeSa(now: Millis): void {
    if (this.sas.usable() !== undefined) return
    this.wantsIkeSa = true
    this.attemptAt = Number.NEGATIVE_INFINITY
    this.pursue(now)
  }

  /** Renews the IKE SA before its time. @returns whether there is one */
  rekey(now: Millis): boolean {
    const sa = this.sas.usable()
    if (sa?.renewsItself === false) this.begin(now, 'rekey')
    else sa?.renew(now)
    return sa !== undefined
  }

  expire(now: Millis, e: SaExpiry): void {
    this.children.expire(now, e, e.limit)
  }

  /** Ends everything with the peer; it comes back when it is wanted again. */
  terminate(now: Millis): void {
    this.giveUpAttempt(now)
    this.wanted.clear()
    this.wantsIkeSa = false
    this.pursueAt = undefined
    const last = this.sas.usable()
    if (last !== undefined) this.endChildren(now, last, true)
    this.children.clear()
    for (const h of this.sas.all()) this.sas.drop(now, h.sa, true)
  }

  /**
   * Ends the SAs of one child; it comes back when it is wanted again. What is being negotiated cannot be taken back from the
   * peer: it ends as soon as both have it.
   */
  terminateChild(now: Millis, child: ChildConfig): void {
    this.wanted.delete(child)
    this.unwantedBy.set(child, now)
    for (const { sa } of this.sas.all()) sa.giveUp(now, child)
    this.children.endAll(now, child)
  }

  /** What is left waits for confirmations that nobody will wait for. */
  abandon(now: Millis): void {
    for (const h of this.sas.all()) this.sas.drop(now, h.sa, false)
  }

  tick(now: Millis): void {
    if (!this.started) {
      this.started = true
      for (const child of this.config.children) if (child.start === 'start') this.wanted.add(child)
      this.pursue(now)
    }
    this.ended.tick(now)
    for (const { sa } of this.sas.all()) sa.tick(now)
    for (const h of this.sas.all()) {
      if (h.sa.stage !== 'ESTABLISHED') continue
      if (isDue(h.closeAt, now) || isDue(h.sa.hardAt, now)) {
        if (this.isLast(h.sa)) this.endChildren(now, h.sa, true)
        this.sas.drop(now, h.sa, true)
        this.afterClose(now)
      } else if (!h.sa.renewsItself && isDue(h.sa.softAt, now)) this.begin(now, 'rekey')
    }
    this.children.tick(now)
    if (isDue(this.doubt.until, now)) this.resolveDoubt(now)
    if (isDue(this.pursueAt, now)) this.pursue(now)
  }

  nextDeadline(): Millis | undefined {
    if (!this.started) return 0
    return earliest([
      this.children.nextDeadline(),
      this.pursueAt,
      this.doubt.until,
      this.ended.nextDeadline(),
      ...this.sas.all().flatMap(({ sa, closeAt }) => {
        if (sa.stage !== 'ESTABLISHED') return [sa.nextDeadline()]
        const renewed = !sa.renewsItself && sa.softAt !== undefined && this.attempt === undefined
        const renewAt = renewed ? Math.max(sa.softAt, this.attemptAt, this.waitUntil ?? 0) : undefined
        return [sa.nextDeadline(), sa.hardAt, closeAt, renewAt]
      }),
    ])
  }

  // Messages

  /**
   * A first message from the peer, under a cookie or SPI that nobody uses yet.
   * @param takeKeys the keys that it has to be authenticated with
   */
  receiveFirst(
    now: Millis,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    takeKeys: () => FirstKeys | undefined,
    admission: Admission,
  ): void {
    if (this.goesOnInstead(now, header.initiatorSpi)) return this.refuse(now, 'simultaneous')
    const sa = this.version.answer(now, this, path, header, message, takeKeys, admission)
    if (sa === undefined) return
    this.sas.add(now, sa)
    if (this.sas.limitHalfOpen(now)) this.env.count('ike.half-open-limit')
  }

  /**
   * Both ends begin at once: whether it is our own attempt that goes on. One whose repetition has no answer either, in the time that
   * the first sending had, may not come through at all, behind a firewall say that opens from the peer's side only.
   */
  private goesOnInstead(now: Millis, peersSpi: Uint8Array): boolean {
    const own = this.attempt?.sa
    if (own?.stage !== 'CONNECTING') return false
    const { silence } = own.describe()
    const [patience = 0] = this.limits.retransmitMs
    if (silence !== undefined && now - silence.at >= 2 * patience) return false
    return own.answered || goesFirst(own.initiatorSpi, peersSpi)
  }

  /** First exchanges that the peer, or somebody in its name, has under way. */
  get halfOpen(): number {
    return this.sas.halfOpen().length
  }

  /** Of interest while the peer does not answer, or has SAs that nothing comes out of. */
  unreachable(now: Millis, what: Unreachable): void {
    const ike = what.protocol === UDP
    const concerned = ike
      ? (IKE_PORTS.has(what.port) && this.attempt !== undefined) || this.isSilent()
      : this.children.all().some((r) => !r.agreed.udp)
    if (!concerned) return
    this.unreached = { message: unreachableText(what), at: now }
    this.refuse(now, 'unreachable', this.unreached.message)
  }

  private isSilent(): boolean {
    return this.sas.all().some(({ sa }) => sa.describe().silence !== undefined)
  }

  // The pre-phase

  prephaseFinished(now: Millis, result: PrephaseResult): void {
    const { attempt } = this
    const sa = this.sas.usable()
    const served =
      sa !== undefined &&
      attempt?.purpose !== 'doubt' &&
      attempt?.purpose !== 'anew' &&
      (attempt?.purpose === 'initial' || (sa !== attempt?.renews && !isDue(sa.softAt, now)))
    if (attempt === undefined || attempt.sa !== undefined || served) {
      wipe(result.psk, result.ppk)
      if (served) this.attempt = undefined
      return this.pursue(now)
    }
    const path = { local: result.local, remote: result.remote }
    this.startIke(now, attempt, path, result.initiatorCookie, keysOf(this.config, result))
  }

  prephaseFailed(now: Millis, reason: string): void {
    this.attempt = undefined
    this.attemptFailed(now, now, `pre-phase: ${reason}`)
  }

  /** The peer's IKE exchange has taken the pre-phase that it began: ours, which stood back, is over. */
  prephaseTaken(): void {
    if (this.attempt === undefined || this.attempt.sa !== undefined) return
    this.shared.prephase.cancel(this.config.name)
    this.attempt = undefined
  }

  // IkeSaOwner

  isInitialContact(): boolean {
    return this.children.all().length === 0 && !this.sas.anyEstablished()
  }

  refuse(now: Millis, cause: string, error?: string, fields?: Record<string, unknown>): void {
    if (error !== undefined) this.lastError = { at: now, message: error }
    this.shared.refusals.refuse(now, cause, this.config.name, error, fields)
  }

  /** A message that belongs to nothing: of concern to the operator as long as the peer itself has not come through. */
  refuseStranger(now: Millis, cause: string, error: string, fields?: Record<string, unknown>): void {
    if (this.sas.anyEstablished()) this.refuse(now, cause)
    else this.refuse(now, cause, error, fields)
  }

  established(now: Millis, sa: IkeSa, initialContact: boolean): void {
    const doubted =
      this.attempt?.sa === sa && this.attempt.purpose === 'doubt' && !this.heardSince(now, sa.startedAt, sa)
    if (this.attempt?.sa === sa) {
      // CHILD_SAs end with their IKE SA: the new one needs its own before the old one goes.
      if (this.attempt.purpose === 'anew') for (const child of this.carried()) this.wanted.add(child)
      this.attempt = undefined
    } else if (this.attempt !== undefined && this.attempt.sa?.answered !== true) this.giveUpAttempt(now)
    this.waitUntil = undefined
    this.wantsIkeSa = false
    this.lastError = undefined
    this.unreached = undefined
    this.workedAt = now
    this.env.count('ike.established')
    if (sa.role === 'responder') this.shared.proved(this)
    this.env.log('info', 'ike: IKE SA established', { peer: this.config.name, ...describeIkeSa(sa) })
    if (initialContact || doubted) this.forgetBefore(now, sa)
    this.sas.settleOn(now, sa)
    this.shareLanes(sa)
    this.pursue(now)
  }

  initialContact(now: Millis, sa: IkeSa): void {
    this.forgetBefore(now, sa)
    this.pursue(now)
  }

  /** The peer knows nothing of what was before (RFC 2407 section 4.6.3.3). */
  private forgetBefore(now: Millis, sa: IkeSa): void {
    const had = this.carried()
    this.sas.forgetBefore(now, sa)
    this.children.clear(sa.startedAt)
    for (const child of had)
      if (child.start === 'start' && this.children.current(child) === undefined) this.wanted.add(child)
  }

  firstChild(now: Millis, peersLanes: number, needed: boolean): ChildConfig | undefined {
    const child = this.ready(now)[0] ?? this.instead(needed)
    if (child !== undefined) this.unwantedBy.delete(child)
    return child && inSharedLane(this.config.children, child, sharedLanes(this.config, peersLanes))
  }

  /** Where no child is wanted by itself: what the old IKE SA still carries, or what the peer does not do without. */
  private instead(needed: boolean): ChildConfig | undefined {
    if (this.attempt?.purpose === 'anew') return this.carried()[0]
    return needed && this.wantsIkeSa ? this.config.children[0] : undefined
  }

  /** Children that have an SA. */
  private carried(): ChildConfig[] {
    return this.config.children.filter((child) => this.children.current(child) !== undefined)
  }

  unrenewable(now: Millis, sa: IkeSa): void {
    if (this.sas.usable() === sa) this.begin(now, 'anew')
  }

  held(now: Millis, next: IkeSa): void {
    this.sas.add(now, next)
  }

  replaced(now: Millis, old: IkeSa, next: IkeSa): void {
    this.env.count('ike.rekeyed')
    this.env.log('info', 'ike: IKE SA renewed', { peer: this.config.name, ...describeIkeSa(next) })
    this.sas.replace(now, old)
    // Its first message may have come another way.
    if (next.follows) this.children.redirect(now, next.path)
    this.pursue(now)
  }

  gone(now: Millis, sa: IkeSa): void {
    this.sas.remove(now, sa)
  }

  failed(now: Millis, sa: IkeSa, reason: string, fields?: Record<string, unknown>): void {
    this.sas.remove(now, sa)
    if (sa.role === 'initiator') {
      this.attempt = undefined
      this.attemptFailed(now, sa.startedAt, reason, fields)
    } else {
      this.refuseStranger(now, 'half-open-failed', reason, fields)
      this.pursue(now)
    }
  }

  closing(now: Millis, sa: IkeSa): void {
    if (this.isLast(sa)) this.endChildren(now, sa, false)
  }

  closed(now: Millis, sa: IkeSa): void {
    this.sas.remove(now, sa)
    this.env.log('info', 'ike: the peer has closed the IKE SA', {
      peer: this.config.name,
      cookie: hex(sa.initiatorSpi),
    })
    this.afterClose(now)
  }

  broken(now: Millis, sa: IkeSa): void {
    this.sas.drop(now, sa, true)
    this.afterClose(now)
  }

  /** The newest authentic packet of an SA came from elsewhere than the ones before. */
  packetFrom(now: Millis, remote: Endpoint): void {
    const sa = this.sas.usable()
    if (sa?.follows !== true) return this.refuse(now, 'move-ignored')
    sa.peerMoved(now, { local: sa.path.local, remote })
  }

  /** A packet came on an SPI that nobody knows: a peer that is up can be told so that it believes it. */
  unknownSpi(now: Millis, protocol: SaProtocol, spi: number): void {
    const sa = this.sas.usable()
    if (sa?.unknownSpi === undefined || !this.unknownSpis.take(now)) return
    this.env.count('ike.invalid-spi-sent')
    sa.unknownSpi(now, protocol, spi)
  }

  // A peer that has forgotten us

  get isUp(): boolean {
    return this.sas.anyEstablished()
  }

  doubted(now: Millis): void {
    const sa = this.sas.usable()
    if (sa === undefined || !this.doubt.raise(now, (at) => this.heardSince(now, at)))
      return this.refuse(now, 'hint-ignored')
    this.env.count('ike.doubted')
    this.env.log('debug', 'ike: the peer seems to have forgotten us; it is asked', { peer: this.config.name })
    sa.checkAlive(now)
  }

  /** Whether anything authentic has come from the peer since then, but by one IKE SA. */
  private heardSince(now: Millis, at: Millis, except?: IkeSa): boolean {
    if (this.sas.all().some(({ sa }) => sa !== except && (sa.heardAt ?? Number.NEGATIVE_INFINITY) > at))
      return true
    const idle = this.inboundIdleMs()
    return idle !== undefined && now - idle > at
  }

  private resolveDoubt(now: Millis): void {
    const founded = this.doubt.resolve((at) => this.heardSince(now, at))
    if (!founded || this.sas.usable() === undefined) return
    for (const { state, agreed } of this.children.all())
      if (state === 'CURRENT') this.wanted.add(agreed.child)
    this.begin(now, 'doubt')
  }

  crashed(now: Millis, sa: IkeSa): void {
    const message = 'the peer has lost its state: it has proved it (quick crash detection)'
    this.env.count('ike.crash-detected')
    this.env.log('warn', `ike: ${message}`, { peer: this.config.name })
    this.sas.drop(now, sa, false)
    for (const child of this.config.children) this.retryAt.delete(child)
    this.attemptAt = Number.NEGATIVE_INFINITY
    this.afterClose(now)
  }

  unknown(now: Millis, path: Path, answer: Uint8Array): void {
    this.shared.tellUnknown(now, this, path, answer)
  }

  dead(now: Millis, sa: IkeSa): void {
    // The peer may have forgotten what another one has taken the place of: of that one its silence says nothing.
    if (sa !== this.sas.usable()) {
      this.sas.drop(now, sa, false)
      return this.afterClose(now)
    }
    const message = 'the peer does not answer any more (dead peer detection)'
    this.lastError = { at: now, message }
    this.env.count('ike.dead-peer')
    this.env.log('warn', `ike: ${message}`, { peer: this.config.name })
    for (const h of this.sas.all()) if (h.sa.stage === 'ESTABLISHED') this.sas.drop(now, h.sa, false)
    this.afterClose(now)
  }

  moved(now: Millis, sa: IkeSa): void {
    // On one that another has taken the place of, the last words may come from where the peer was before.
    if (sa !== this.sas.usable()) return
    this.env.log('info', 'ike: the peer is reached another way', {
      peer: this.config.name,
      remote: formatEndpoint(sa.path.remote),
    })
    this.children.redirect(now, sa.path)
  }

  childInbound(now: Millis, sa: IkeSa, agreed: AgreedChild, key: Uint8Array): void {
    this.children.addInbound(now, agreed, key, sa.path)
  }

  childOutbound(now: Millis, sa: IkeSa, agreed: AgreedChild, key: Uint8Array): void {
    const stays = sa.version === 1 ? undefined : !this.sas.isReplaced(sa)
    const current = this.children.addOutbound(now, agreed, key, stays)
    this.wanted.delete(agreed.child)
    this.retryAt.delete(agreed.child)
    for (const { sa: other } of this.sas.all()) other.yield?.(now, agreed.child)
    this.lastError = undefined
    this.env.count('ike.child-established')
    this.env.log('info', 'ike: CHILD_SA established', {
      peer: this.config.name,
      child: agreed.child.name,
      role: agreed.role,
      inbound: spiText(agreed.inboundSpi),
      outbound: spiText(agreed.outboundSpi),
      proposal: `${agreed.proposal.protocol} ${formatChildProposal(agreed.proposal)}`,
      mode: agreed.udp ? `${agreed.mode} in UDP` : agreed.mode,
      local: agreed.localTs.map(formatSelector),
      remote: agreed.remoteTs.map(formatSelector),
      ...(!current && { unused: true }),
    })
    if (agreed.startedAt <= (this.unwantedBy.get(agreed.child) ?? Number.NEGATIVE_INFINITY))
      this.children.endAll(now, agreed.child)
  }

  childSettled(now: Millis, agreed: AgreedChild): void {
    this.children.settle(now, agreed)
  }

  childAbandoned(_now: Millis, agreed: AgreedChild): void {
    this.children.abandon(agreed)
  }

  childFailed(
    now: Millis,
    _sa: IkeSa,
    child: ChildConfig,
    reason: string,
    fields?: Record<string, unknown>,
    missing?: Missing,
  ): void {
    // The peer has had its way with another one.
    if (missing === 'confirmation' && this.children.current(child) !== undefined) return this.pursue(now)
    const named = reason.startsWith(`child ${child.name}: `) ? reason : `child ${child.name}: ${reason}`
    this.lastError = { at: now, message: named }
    this.env.count('ike.child-failed')
    this.env.log('warn', 'ike: no CHILD_SA', { peer: this.config.name, child: child.name, reason, ...fields })
    // Silence has taken its time already.
    const wait = missing === undefined ? this.limits.retryMs : (this.limits.retransmitMs[0] ?? 0)
    this.retryAt.set(child, now + wait)
    if (child.start !== 'start') this.wanted.delete(child)
    this.pursue(now)
  }

  childrenDeleted(now: Millis, protocol: SaProtocol, outboundSpis: readonly number[]): void {
    for (const { agreed, state, installedAt } of this.children.deletedByPeer(now, protocol, outboundSpis)) {
      if (agreed.modeDeclined && now - installedAt < this.limits.responderWaitMs)
        this.refuse(
          now,
          'mode-declined',
          `child ${agreed.child.name}: mode: ours tunnel, theirs transport (the peer has deleted the SA)`,
        )
      this.env.log(state === 'CURRENT' ? 'info' : 'debug', 'ike: the peer has deleted a CHILD_SA', {
        peer: this.config.name,
        child: agreed.child.name,
        outbound: spiText(agreed.outboundSpi),
      })
    }
  }

  yieldTo(now: Millis, child: ChildConfig, peersId: number): boolean {
    const rivals = this.sas.all().flatMap(({ sa }) => {
      const asking = sa.asking?.(child)
      return asking === undefined ? [] : [{ sa, ...asking }]
    })
    if (rivals.some((r) => r.id < peersId && r.times <= PATIENCE)) return false
    // One of ours that goes first stays: the peer may have answered it, and given up its own.
    for (const r of rivals) if (r.id >= peersId) r.sa.yield?.(now, child)
    return true
  }

  hasTraffic(a: AgreedChild): boolean {
    return this.children.idleMs(a) !== undefined
  }

  inboundIdleMs(): number | undefined {
    return this.children.leastIdleMs()
  }

  // Decisions

  /** Does the next thing for the children that are wanted. */
  private pursue(now: Millis): void {
    this.pursueAt = undefined
    const ready = this.ready(now)
    const sa = this.sas.usable()
    if (sa === undefined) {
      if (ready.length > 0 || this.wantsIkeSa) this.begin(now, 'initial')
      return
    }
    if (ready.length === 0) return
    // The initiator of an IKE SA has the first word, so that both ends do not ask for the same at once.
    const ourTurn = sa.role === 'initiator' ? now : (sa.establishedAt ?? now) + this.limits.responderWaitMs
    if (now < ourTurn) return this.later(ourTurn)
    for (const child of ready) sa.negotiate(now, child)
  }

  /** Children that are wanted and that nobody negotiates. */
  private ready(now: Millis): ChildConfig[] {
    const ready: ChildConfig[] = []
    for (const child of this.wanted) {
      const at = this.retryAt.get(child)
      if (at !== undefined && at > now) this.later(at)
      else if (!this.sas.negotiating(child)) ready.push(child)
    }
    return ready
  }

  /**
   * Each IKE SA knows which of them are its own. One that another has taken the place of, and that the peer may not know any more,
   * ends soon with all that is left of them.
   */
  private tellDeleted(now: Millis, protocol: SaProtocol, spis: readonly number[], needed: boolean): void {
    if (this.config.version === 1) return this.sas.usable()?.sendDelete(now, protocol, spis, needed)
    for (const { sa } of this.sas.all())
      if (needed || !this.sas.isReplaced(sa)) sa.sendDelete(now, protocol, spis, needed)
  }

  private isLast(sa: IkeSa): boolean {
    return this.sas.all().every((h) => h.sa === sa || h.sa.stage !== 'ESTABLISHED')
  }

  /**
   * Says that we no longer receive on any CHILD_SA, before the last IKE SA goes. The end of an IKEv2 SA says it already (RFC 7296
   * section 1.4.1); in IKEv1 the peer might keep them, and send to nobody. Ours do not outlive it: without it nothing
   * would tell that the peer is gone.
   */
  private endChildren(now: Millis, last: IkeSa, needed: boolean): void {
    if (last.version !== 1) return
    for (const [protocol, spis] of this.children.inboundSpis()) last.sendDelete(now, protocol, spis, needed)
  }

  private later(at: Millis): void {
    if (this.pursueAt === undefined || at < this.pursueAt) this.pursueAt = at
  }

  /** Begins an IKE SA, with its own pre-phase where the peer has one. */
  private begin(now: Millis, purpose: Attempt['purpose']): void {
    if (this.attempt !== undefined) return
    if (now < this.attemptAt) {
      if (purpose === 'initial') this.later(this.attemptAt)
      return
    }
    if (this.sas.halfOpen().length > 0) {
      // The peer has begun: ours waits, but not for ever, as anybody can begin in the peer's name.
      this.waitUntil ??= now + this.limits.retryMs
      if (now < this.waitUntil) return this.later(this.waitUntil)
    }
    this.waitUntil = undefined
    const renews = purpose === 'rekey' ? this.sas.usable() : undefined
    const attempt: Attempt = { purpose, renews, sa: undefined }
    this.attempt = attempt
    if (this.config.dynamicPsk !== 'off') return this.shared.prephase.start(now, this.config.name)
    this.startIke(now, attempt, this.firstPath(renews), this.newIkeSpi(), plainKeys(this.config))
  }

  /** Behind a NAT the peer is where it is heard, and nowhere else: an IKE SA is renewed from there (RFC 3947 section 4). */
  private firstPath(renews: IkeSa | undefined): Path {
    if (renews?.follows) return copyPath(renews.path)
    const { local, remote } = this.config
    return { local: { address: local, port: IKE_PORT }, remote: { address: remote, port: IKE_PORT } }
  }

  private startIke(now: Millis, attempt: Attempt, path: Path, spi: Uint8Array, keys: FirstKeys): void {
    const sa = this.version.initiate(now, this, path, spi, keys)
    if (sa.stage === 'CLOSED') {
      this.attempt = undefined
      return
    }
    attempt.sa = sa
    this.sas.add(now, sa)
  }

  private attemptFailed(
    now: Millis,
    startedAt: Millis,
    reason: string,
    fields?: Record<string, unknown>,
  ): void {
    const { unreached } = this
    this.unreached = undefined
    const told = unreached === undefined ? reason : `${unreached.message}; ${reason}`
    this.lastError = { at: now, message: told }
    this.attemptAt = Math.max(now, startedAt + this.limits.retryMs)
    this.env.count('ike.failed')
    this.env.log('warn', 'ike: no IKE SA', { peer: this.config.name, reason: told, ...fields })
    this.wantsIkeSa = false
    for (const child of this.wanted) if (child.start !== 'start') this.wanted.delete(child)
    if (this.wanted.size > 0) this.later(Math.max(this.attemptAt, now + 1_000))
  }

  private giveUpAttempt(now: Millis): void {
    const { attempt } = this
    this.attempt = undefined
    if (attempt === undefined) return
    if (attempt.sa === undefined) return this.shared.prephase.cancel(this.config.name)
    this.sas.drop(now, attempt.sa, false)
  }

  private rekeyChild(now: Millis, child: ChildConfig): void {
    // The peer came back with fewer lanes: what is left of the others is not renewed.
    if (this.inSharedLane(child) !== child) return
    this.wanted.add(child)
    this.pursue(now)
  }

  /** A policy has lost its SA: `start` wants it back, not at once when the peer did not want it; `trap` waits for a packet. */
  private lost(now: Millis, gone: ChildConfig, expired: boolean): void {
    this.wanted.delete(gone)
    if (this.sas.all().some(({ sa }) => sa.moveOver?.(now, gone) === true)) return
    this.hurry(now, gone)
    const child = this.inSharedLane(gone)
    if (child.start !== 'start') return
    if (!expired) this.retryAt.set(child, now + 1_000)
    this.wanted.add(child)
    this.pursue(now)
  }

  /** Packets wait: what is being asked for is not left to a schedule that waits longer each time. */
  private hurry(now: Millis, child: ChildConfig): void {
    for (const { sa } of this.sas.all()) sa.hurry?.(now, child)
  }

  private inSharedLane(child: ChildConfig): ChildConfig {
    return inSharedLane(this.config.children, child, this.lanes)
  }

  /** The peer has said how many lanes it has: what was wanted for others is wanted for those that both ends have. */
  private shareLanes(sa: IkeSa): void {
    if (this.config.children[0]?.lane === undefined) return
    this.lanes = sharedLanes(this.config, sa.peersLanes)
    const wanted = [...this.wanted]
    this.wanted.clear()
    for (const child of wanted) this.wanted.add(this.inSharedLane(child))
    this.env.shareLanes?.(this.config.name, this.lanes)
  }

  /** Without an IKE SA the CHILD_SAs cannot be managed, and the peer has forgotten them. */
  private afterClose(now: Millis): void {
    if (!this.sas.anyEstablished()) {
      this.children.clear()
      // What an attempt is under way for has nothing to do with the IKE SA that is gone.
      if (this.attempt === undefined) this.wanted.clear()
      for (const child of this.config.children) if (child.start === 'start') this.wanted.add(child)
    }
    this.pursue(now)
  }

  /** @param prephase the pre-phase's own, which knows the peers by itself; undefined for a peer without */
  status(now: Millis, prephase: PrephaseStatus | undefined): IkePeerStatus {
    const { config, sas, children, lastError, workedAt } = this
    const wanted = [...this.wanted].map((child) => child.name)
    const refusal = this.shared.prephase.lastRefusal(config.name)
    const attempting = this.attempt !== undefined
    const view = { config, sas, children, wanted, attempting, lastError, workedAt, prephase, refusal }
    return peerStatus(view, now)
  }
}
