import { equalOctets, hex, isZero } from '../../bytes/octets.js'
import { ConfigError, InternalError, WireError } from '../../errors.js'
import type { IkeHeader } from '../../wire/ike/header.js'
import { formatIp } from '../../wire/ip-address.js'
import type { IkePeerConfig } from '../config.js'
import { Deadlines } from '../deadlines.js'
import type { Endpoint, IkeEnvironment, Millis } from '../environment.js'
import type { Trouble } from '../trouble.js'
import { admit } from './admission.js'
import {
  attemptCookie,
  forget,
  INITIATOR,
  type InitiatorContext,
  type InitiatorEvent,
  initiatorDeadline,
  unanswered,
} from './initiator.js'
import { PREPHASE_LIMITS, type PrephaseLimits } from './limits.js'
import { type Effect, transition } from './machine.js'
import { COOKIE_LEN, type MessageOf, parsePrephase } from './messages.js'
import { type PeerRecord, type Session, SourceTable } from './peers.js'
import { type Cause, explain, Refusals, TELLING } from './refusals.js'
import {
  forgetSession,
  notFollowed,
  RESPONDER,
  type ResponderContext,
  type ResponderEvent,
} from './responder.js'
import { nextLabel } from './tai64n.js'
import type { PrephaseListener, PrephaseResult, PrephaseStatus } from './types.js'

/**
 * The pre-phase of all peers: one initiator machine a peer, one responder machine for each exchange that a peer began.
 * It does no I/O and reads no clock; `now` is monotonic milliseconds and never goes back.
 */
export class Prephase {
  private readonly env: IkeEnvironment
  private readonly listener: PrephaseListener
  private readonly limits: PrephaseLimits
  private readonly refusals: Refusals
  private readonly sources: SourceTable
  /** Exchanges that peers began, by their initiator cookie in hex, which only one of them may use at a time. */
  private readonly sessions = new Map<string, Session>()
  /** Our own attempts under way, by their cookie in hex; at most one a peer. */
  private readonly attempts = new Map<string, PeerRecord>()
  private readonly deadlines = new Deadlines<PeerRecord>()

  /**
   * @param peers those with `dynamicPsk: off` are known only to name a mismatch. Keys stay the configuration's, and
   *   must outlive this object.
   * @throws ConfigError when a key is not 32 octets, serves two peers, or a peer's two identities are equal
   */
  constructor(
    peers: readonly IkePeerConfig[],
    env: IkeEnvironment,
    listener: PrephaseListener,
    limits: Partial<PrephaseLimits> = {},
  ) {
    this.env = env
    this.listener = listener
    this.limits = { ...PREPHASE_LIMITS, ...limits }
    this.refusals = new Refusals(env, this.limits.logEveryMs)
    this.sources = new SourceTable(peers, this.limits)
  }

  /**
   * Begins an exchange with the peer. Does nothing when one is under way. When the peer has just finished one that its
   * IKE exchange has not taken yet, ours waits for that first.
   * @throws InternalError for a peer without pre-phase
   */
  start(now: Millis, peerName: string): void {
    const peer = this.peer(peerName)
    const waits = peer.sessions.some((s) => s.state.kind === 'FINISHED' && now < s.state.until)
    const event: InitiatorEvent = { kind: waits ? 'START_AFTER_PEER' : 'START' }
    const sound = this.guard(now, peer.config.name, () => this.initiator(now, peer, event))
    if (!sound && peer.initiator.kind === 'IDLE') this.abandon(now, peer)
  }

  /** Ends our own attempt, if any, without telling the listener. Exchanges that the peer began are left alone. */
  cancel(peerName: string): void {
    const peer = this.peer(peerName)
    // No cell of CANCEL looks at the time.
    this.initiator(0, peer, { kind: 'CANCEL' })
  }

  /**
   * Handles a message of exchange 241. Never throws; a refused message costs a counter and at most one log line in a
   * while, and is not answered.
   * @param local our end, where answers are sent from
   * @param header what parseIkeHeader made of the message
   * @param message the whole message, marker excluded; not kept
   */
  receive(now: Millis, local: Endpoint, remote: Endpoint, header: IkeHeader, message: Uint8Array): void {
    this.guard(now, undefined, () => this.handle(now, local, remote, header, message))
  }

  /** Repeats and expires what is due. Call it at nextDeadline() or soon after. */
  tick(now: Millis): void {
    for (const peer of this.deadlines.due(now)) {
      const due = (): boolean => (initiatorDeadline(peer.initiator) ?? now + 1) <= now
      if (due()) this.guard(now, peer.config.name, () => this.initiator(now, peer, { kind: 'DUE' }))
      // A deadline that is left in the past would be asked for again at once, for ever.
      if (due()) this.abandon(now, peer)
      for (const s of [...peer.sessions]) {
        if ('until' in s.state && s.state.until <= now)
          this.guard(now, peer.config.name, () => this.responder(now, peer, s, { kind: 'DUE' }))
      }
    }
  }

  /** When tick wants to be called next, undefined for never. */
  nextDeadline(): Millis | undefined {
    return this.deadlines.next()
  }

  /** After every transition: when the peer's machines want to be woken. */
  private retime(peer: PeerRecord): void {
    let next = initiatorDeadline(peer.initiator)
    for (const { state } of peer.sessions)
      if ('until' in state && (next === undefined || state.until < next)) next = state.until
    this.deadlines.set(peer, next)
  }

  /**
   * The finished pre-phase that a peer began under this cookie, for at most `finishedMs` after its end. It stays the
   * engine's: read it within the call, and compare its peer address with the message's source.
   */
  peek(now: Millis, initiatorCookie: Uint8Array): PrephaseResult | undefined {
    const state = this.sessions.get(hex(initiatorCookie))?.state
    return state?.kind === 'FINISHED' && now < state.until ? state.result : undefined
  }

  /**
   * The same, once: the result and its keys are the caller's from now on. Our own attempt towards that peer, if it had
   * stood back, is over without another word; if the IKE exchange fails and the peer is still wanted, call `start`.
   */
  take(now: Millis, initiatorCookie: Uint8Array): PrephaseResult | undefined {
    const result = this.peek(now, initiatorCookie)
    const session = this.sessions.get(hex(initiatorCookie))
    if (result === undefined || session === undefined) return undefined
    this.responder(now, session.peer, session, { kind: 'TAKE' })
    this.initiator(now, session.peer, { kind: 'PEER_TAKEN' })
    return result
  }

  /** State of each peer that has a pre-phase, for display. */
  status(): PrephaseStatus[] {
    return this.sources.peers.map((p) => ({
      peer: p.config.name,
      scheme: p.code.scheme,
      keyFingerprint: p.fingerprint,
      initiator: p.initiator.kind,
      halfOpen: p.sessions.filter((s) => s.state.kind === 'HALF_OPEN').length,
      finished: p.sessions.filter((s) => s.state.kind === 'FINISHED').length,
      lastRefusal: p.lastRefusal,
      silence:
        unanswered(p.initiator) ??
        p.sessions.map((s) => notFollowed(s.state)).find((silence) => silence !== undefined) ??
        (p.initiator.kind === 'IDLE' && p.sessions.length === 0 ? p.lastSilence : undefined),
    }))
  }

  /** The last refused message in the name of any peer, one without pre-phase included. */
  lastRefusal(peerName: string): Trouble | undefined {
    return this.sources.named(peerName)?.lastRefusal
  }

  /** Wipes every secret that the engine holds. No method may be called after it. */
  shutdown(): void {
    for (const peer of this.sources.peers) {
      forget(peer.initiator)
      peer.initiator = { kind: 'IDLE' }
      for (const s of peer.sessions) forgetSession(s.state)
      peer.sessions.length = 0
      peer.code.destroy()
      this.retime(peer)
    }
    this.sessions.clear()
    this.attempts.clear()
  }

  // Messages

  private handle(
    now: Millis,
    local: Endpoint,
    remote: Endpoint,
    header: IkeHeader,
    message: Uint8Array,
  ): void {
    const from = { from: `${formatIp(remote.address)}:${remote.port}` }
    const source = this.sources.at(remote.address)
    if (source === undefined) return this.refusals.refuse(now, 'unknown-address', undefined, from)
    const ci = header.initiatorSpi
    const cr = header.responderSpi
    const cookie = hex(ci)
    const session = this.sessions.get(cookie)
    const ours = this.attempts.get(cookie)
    const known = session !== undefined || ours !== undefined
    if (!(known ? source.messages : source.strangers).take(now))
      return this.refusals.refuse(now, 'rate-limit', source.name, from)
    const m = parsePrephase(header, message)
    const path = { local, remote }

    // Steps 1 and 3 go to the responder, 2 and 4 to the initiator; what comes the other way round is an echo.
    if (m.step === 1 || m.step === 3) {
      if (ours !== undefined) return this.refuse(now, ours, 'own-cookie', from)
      if (session === undefined) {
        if (m.step === 1) return this.receiveStep1(now, path, source.peers, ci, m, message)
        return this.refusals.refuse(now, 'unknown-cookie', source.name, { ...from, step: m.step })
      }
      const { peer } = session
      if (!equalOctets(peer.config.remote, remote.address) || (m.step === 3 && !equalOctets(session.cr, cr)))
        return this.refusals.refuse(now, 'unknown-cookie', source.name, { ...from, step: m.step })
      return this.responder(
        now,
        peer,
        session,
        m.step === 1 ? { kind: 'STEP1_AGAIN', message, path } : { kind: 'STEP3', m, message, path },
      )
    }
    if (session !== undefined) return this.refuse(now, session.peer, 'own-cookie', from)
    if (ours === undefined || !equalOctets(ours.config.remote, remote.address))
      return this.refusals.refuse(now, 'unknown-cookie', source.name, { ...from, step: m.step })
    this.initiator(
      now,
      ours,
      m.step === 2 ? { kind: 'STEP2', m, message, cr, path } : { kind: 'STEP4', m, message, cr, path },
    )
  }

  /** A step 1 under a cookie that no exchange uses: nothing is kept and nothing sent before it has passed every check. */
  private receiveStep1(
    now: Millis,
    path: { local: Endpoint; remote: Endpoint },
    candidates: readonly PeerRecord[],
    ci: Uint8Array,
    m: MessageOf<1>,
    message: Uint8Array,
  ): void {
    const admission = admit(now, candidates, ci, m, message, this.env.timestamps)
    const { peer } = admission
    if (!admission.ok) return this.refuse(now, peer, admission.cause, admission.fields)
    this.makeRoom(now, peer, 'HALF_OPEN', this.limits.halfOpenPerPeer - 1, 'half-open')
    const opened = {
      ci: new Uint8Array(ci),
      ida: peer.remoteId,
      idb: peer.localId,
      na: admission.na,
      m1: new Uint8Array(message),
    }
    const session: Session = { peer, cookie: hex(ci), cr: new Uint8Array(0), state: { kind: 'NEW' } }
    this.responder(now, peer, session, { kind: 'STEP1', opened, path })
    this.initiator(now, peer, { kind: 'PEER_FIRST' })
  }

  /** Drops the oldest session of a kind when the peer has more than `limit` of them. */
  private makeRoom(
    now: Millis,
    peer: PeerRecord,
    kind: 'HALF_OPEN' | 'FINISHED',
    limit: number,
    cause: Cause,
  ): void {
    const such = peer.sessions.filter((s) => s.state.kind === kind)
    if (such.length <= limit) return
    this.refuse(now, peer, cause)
    this.responder(now, peer, such[0]!, { kind: 'EVICT' })
  }

  // Machines

  private initiator(now: Millis, peer: PeerRecord, event: InitiatorEvent): void {
    const t = transition(INITIATOR, peer.initiator, event)
    if (t === undefined) {
      if (event.kind === 'STEP2' || event.kind === 'STEP4') this.refuse(now, peer, 'unexpected-step')
      return
    }
    const before = peer.initiator.kind
    const { next, effects } = t.run(peer.initiator, event, now, this.initiatorContext(peer))
    const old = attemptCookie(peer.initiator)
    const cookie = attemptCookie(next)
    if (old !== undefined) this.attempts.delete(hex(old))
    if (cookie !== undefined) this.attempts.set(hex(cookie), peer)
    peer.initiator = next
    this.retime(peer)
    this.tell(peer, before, next.kind, t.story, cookie ?? old)
    this.apply(now, peer, effects)
  }

  private responder(now: Millis, peer: PeerRecord, session: Session, event: ResponderEvent): void {
    const t = transition(RESPONDER, session.state, event)
    if (t === undefined) {
      if (event.kind === 'STEP1_AGAIN' || event.kind === 'STEP3') this.refuse(now, peer, 'unexpected-step')
      return
    }
    const before = session.state.kind
    const { next, effects } = t.run(session.state, event, now, this.responderContext(peer))
    session.state = next
    if (before === 'NEW' && next.kind === 'HALF_OPEN') {
      session.cr = next.answered.cr
      peer.sessions.push(session)
      this.sessions.set(session.cookie, session)
    }
    if (next.kind === 'GONE') {
      this.sessions.delete(session.cookie)
      peer.sessions.splice(peer.sessions.indexOf(session), 1)
    }
    this.retime(peer)
    this.tell(peer, before, next.kind, t.story, session.cookie)
    if (before === 'HALF_OPEN' && next.kind === 'FINISHED') {
      // It has our key: the rate is for those who have not.
      peer.classicRate.giveBack()
      this.makeRoom(now, peer, 'FINISHED', this.limits.finishedPerPeer, 'finished-limit')
      this.initiator(now, peer, { kind: 'PEER_FINISHED' })
    }
    this.apply(now, peer, effects)
  }

  private initiatorContext(peer: PeerRecord): InitiatorContext {
    return {
      peer: peer.config.name,
      code: peer.code,
      localId: peer.localId,
      remoteId: peer.remoteId,
      home: peer.home,
      limits: this.limits,
      random: (length) => this.env.random(length),
      newCookie: () => this.newCookie(),
      newLabel: () => this.newLabel(peer),
    }
  }

  private responderContext(peer: PeerRecord): ResponderContext {
    return {
      peer: peer.config.name,
      code: peer.code,
      limits: this.limits,
      random: (length) => this.env.random(length),
      newCookie: () => this.newCookie(),
    }
  }

  private apply(now: Millis, peer: PeerRecord, effects: readonly Effect[]): void {
    for (const e of effects) {
      switch (e.do) {
        case 'send':
          this.send(peer, e.path.local, e.path.remote, e.message)
          break
        case 'refuse':
          this.refuse(now, peer, e.cause, e.fields)
          break
        case 'count':
          this.env.count(e.counter)
          break
        case 'silent':
          if (e.over) peer.lastSilence = e.silence
          else
            this.env.log('info', `pre-phase: ${e.silence.message}`, {
              peer: peer.config.name,
              remote: formatIp(peer.config.remote),
            })
          break
        case 'finished':
          this.env.count('prephase.finished')
          this.env.log('info', 'pre-phase: finished', {
            peer: peer.config.name,
            role: e.result.role,
            scheme: peer.code.scheme,
            cookie: hex(e.result.initiatorCookie),
          })
          peer.lastRefusal = undefined
          peer.lastSilence = undefined
          this.listener.finished(now, e.result)
          break
        case 'failed': {
          const reason =
            peer.lastRefusal === undefined ? e.reason : `${peer.lastRefusal.message} (${e.reason})`
          this.env.count('prephase.failed')
          this.env.log('warn', 'pre-phase: failed', { peer: peer.config.name, reason })
          this.listener.failed(now, peer.config.name, reason)
        }
      }
    }
  }

  /** A socket's error is as good as a lost datagram: retransmission takes care of it. */
  private send(peer: PeerRecord, local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    try {
      this.env.send(local, remote, message)
    } catch (error) {
      this.env.count('prephase.send-failed')
      this.env.log('debug', 'pre-phase: a message could not be sent', {
        peer: peer.config.name,
        error: String(error),
      })
    }
  }

  // Helpers

  private peer(name: string): PeerRecord {
    const peer = this.sources.named(name)
    if (peer === undefined || peer.config.dynamicPsk === 'off')
      throw new InternalError(`no pre-phase is configured for peer ${name}`)
    return peer
  }

  private refuse(now: Millis, peer: PeerRecord, cause: Cause, fields?: Record<string, unknown>): void {
    if (TELLING.has(cause)) peer.lastRefusal = { message: explain(cause, fields), at: now }
    this.refusals.refuse(now, cause, peer.config.name, fields)
  }

  private tell(
    peer: PeerRecord,
    before: string,
    after: string,
    story: string,
    cookie: Uint8Array | string | undefined,
  ): void {
    if (before === after) return
    const shown = cookie === undefined || typeof cookie === 'string' ? cookie : hex(cookie)
    this.env.log('debug', `pre-phase: ${story}`, { peer: peer.config.name, state: after, cookie: shown })
  }

  /** Random, not zero, not in use. */
  private newCookie(): Uint8Array {
    for (let i = 0; i < 16; i++) {
      const cookie = this.env.random(COOKIE_LEN)
      const name = hex(cookie)
      if (!isZero(cookie) && !this.sessions.has(name) && !this.attempts.has(name)) return cookie
    }
    throw new InternalError('the random source gives no usable cookie')
  }

  private newLabel(peer: PeerRecord): Uint8Array {
    const label = nextLabel(this.env.wallTime(), this.env.timestamps.lastSent(peer.storeKey))
    if (label === undefined) throw new ConfigError('the stored timestamp is the highest possible')
    this.env.timestamps.setLastSent(peer.storeKey, label)
    return label
  }

  /** Ends our attempt after a fault of ours. */
  private abandon(now: Millis, peer: PeerRecord): void {
    this.cancel(peer.config.name)
    this.guard(now, peer.config.name, () =>
      this.listener.failed(now, peer.config.name, 'a fault of ours, see the log'),
    )
  }

  /** Whatever goes wrong inside stays inside. False when something did. */
  private guard(now: Millis, peer: string | undefined, run: () => void): boolean {
    try {
      run()
      return true
    } catch (error) {
      if (error instanceof WireError)
        this.refusals.refuse(now, 'malformed', peer, { field: error.field, why: error.message })
      else this.refusals.refuse(now, 'internal', peer, { error: String(error) })
      return false
    }
  }
}
