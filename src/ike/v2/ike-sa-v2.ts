import { equalOctets, hex, isZero, wipe } from '../../bytes/octets.js'
import { keyShareFor } from '../../crypto/ml-kem.js'
import { ProtocolError, WireError } from '../../errors.js'
import type { SaProtocol } from '../../sadb/sa-spec.js'
import { EXCHANGE, type IkeHeader, parseIkeHeader } from '../../wire/ike/header.js'
import { parseChain } from '../../wire/ike/v2/chain.js'
import { FLAG, NOTIFY, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { AgreedChild, Role } from '../child-sa.js'
import type { ChildConfig } from '../config.js'
import type { Millis } from '../environment.js'
import type { Admission, FirstKeys, IkeSaDescription, IkeSaOwner, IkeVersion, Stage } from '../ike-sa.js'
import { formatEndpoint, IKE_PORT, type Path } from '../path.js'
import { formatIkeProposal } from '../proposals.js'
import { transition } from '../transition-table.js'
import type { Trouble } from '../trouble.js'
import { asksUnderSa, proves, unknownSpi } from './crash-token.js'
import { Established, type EstablishedHost } from './established.js'
import { FIRST_EXCHANGES } from './first-exchanges.js'
import { silenceText } from './first-outcomes.js'
import {
  type FirstContext,
  type FirstEffect,
  type FirstEvent,
  type FirstResult,
  type FirstState,
  firstDeadline,
  forgetFirst,
} from './first-states.js'
import { asksAgain, Fragments, inheritFragments, isFragment, notLarger } from './fragmentation.js'
import type { Keying } from './keying.js'
import { mayMove, type NatState, usesUdp } from './nat.js'
import type { NextIkeSa, Task } from './next-ike-sa.js'
import type { Outgoing } from './outgoing.js'
import type { OwnedChild } from './own-states.js'
import { PayloadSet, RULES } from './payload-set.js'
import type { Joined } from './reassembly.js'
import { Window } from './window.js'

/** What the responder of a first message needs besides. */
interface Answering {
  readonly takeKeys: () => FirstKeys | undefined
  readonly admission: Admission
}

/** One IKE SA: its first exchanges, or the one that it takes the place of, and what runs under it once it is established. */
export class IkeSaV2 implements NextIkeSa {
  readonly version = 2
  readonly renewsItself = true
  readonly role: Role
  readonly initiatorSpi: Uint8Array
  readonly startedAt: Millis
  private readonly owner: IkeSaOwner
  private readonly window: Window
  private readonly fragments = new Fragments()
  private answering: Answering | undefined
  private showedCookie = false
  private state: FirstState = { kind: 'IDLE' }
  private up: Established | undefined
  /** The child of IKE_AUTH, until it is handed over. */
  private firstChild: ChildConfig | undefined
  private closed = false
  /** The request that it ended with has its response. */
  private answeredLast = false

  private constructor(now: Millis, owner: IkeSaOwner, role: Role, spiI: Uint8Array) {
    this.owner = owner
    this.role = role
    this.initiatorSpi = new Uint8Array(spiI)
    this.startedAt = now
    this.window = new Window(owner.limits.repeats)
  }

  static initiate(now: Millis, owner: IkeSaOwner, path: Path, spiI: Uint8Array, keys: FirstKeys): IkeSaV2 {
    const sa = new IkeSaV2(now, owner, 'initiator', spiI)
    sa.first(now, { kind: 'BEGIN', spiI: sa.initiatorSpi, ...keys, path })
    return sa
  }

  static answer(
    now: Millis,
    owner: IkeSaOwner,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    takeKeys: () => FirstKeys | undefined,
    admission: Admission,
  ): IkeSaV2 | undefined {
    const sa = new IkeSaV2(now, owner, 'responder', header.initiatorSpi)
    sa.answering = { takeKeys, admission }
    sa.guard(now, () => sa.first(now, { kind: 'FIRST', header, message, path }))
    sa.answering = undefined
    return sa.state.kind === 'INIT_ANSWERED' ? sa : undefined
  }

  /** An IKE SA made by CREATE_CHILD_SA. @param predecessor the one that it takes the place of, once it is promoted */
  private static successor(
    now: Millis,
    owner: IkeSaOwner,
    keying: Keying,
    predecessor: Established,
    peersToken: Uint8Array | undefined,
  ): IkeSaV2 {
    const sa = new IkeSaV2(now, owner, keying.role, keying.spiI)
    sa.state = { kind: 'ESTABLISHED' }
    sa.logKeys(keying)
    inheritFragments(keying, predecessor.keying)
    const { nat, path, peersLanes } = predecessor
    const agreed = { keying, nat, path, peersLanes, peersToken }
    sa.up = new Established(now, sa.host(), agreed, sa.window, predecessor)
    return sa
  }

  get peersLanes(): number {
    return this.up?.peersLanes ?? 1
  }

  get stage(): Stage {
    if (this.closed || this.state.kind === 'FAILED') return 'CLOSED'
    switch (this.up?.phase) {
      case undefined:
        return 'CONNECTING'
      case 'UP':
      case 'REPLACED':
        return 'ESTABLISHED'
      default:
        return this.up!.phase as 'HELD' | 'CLOSING' | 'CLOSED'
    }
  }

  get answered(): boolean {
    const { state } = this
    // Of an initiator what comes next is the end of the exchange, unless a cookie or IKE_INTERMEDIATE was before it.
    if (state.kind === 'INIT_ANSWERED') return this.showedCookie || state.intAuth !== undefined
    return state.kind === 'INTERMEDIATE_SENT' || state.kind === 'AUTH_SENT' || state.kind === 'ESTABLISHED'
  }

  get responderSpi(): Uint8Array | undefined {
    if (this.up !== undefined) return this.up.keying.spiR
    return 'keying' in this.state ? this.state.keying.spiR : undefined
  }

  get establishedAt(): Millis | undefined {
    return this.up?.establishedAt
  }
  get softAt(): Millis | undefined {
    return this.up?.softAt
  }
  get hardAt(): Millis | undefined {
    return this.up?.hardAt
  }

  get follows(): boolean {
    return this.up !== undefined && mayMove(this.up.nat)
  }

  get heardAt(): Millis | undefined {
    return this.up?.aliveAt
  }

  get path(): Path {
    if (this.up !== undefined) return this.up.path
    if ('path' in this.state) return this.state.path
    const { local, remote } = this.owner.config
    return { local: { address: local, port: IKE_PORT }, remote: { address: remote, port: IKE_PORT } }
  }

  get hasLastWord(): boolean {
    return this.answeredLast || this.up?.endedByPeer === true
  }

  // Messages

  receive(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if (this.stage === 'CLOSED') return this.afterTheEnd(now, path, header, message)
    this.guard(now, () => this.dispatch(now, path, header, message))
  }

  private dispatch(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    const isResponse = (header.flags & FLAG.RESPONSE) !== 0
    const fromInitiator = (header.flags & FLAG.INITIATOR) !== 0
    if (fromInitiator !== (this.role === 'responder')) return this.owner.refuse(now, 'flags')
    const again = isResponse ? undefined : this.window.repeated(header.messageId, message)
    if (again !== undefined) return this.answerAgain(now, path, again)
    const known = this.responderSpi
    if (known !== undefined && !equalOctets(known, header.responderSpi))
      return this.owner.refuse(now, 'unknown-cookie')
    if (isResponse && header.nextPayload === PAYLOAD.NOTIFY && this.up !== undefined)
      return this.unprotected(now, this.up, header, message)
    if (!isResponse && isFragment(header) && this.window.isLast(header.messageId))
      return this.lateFragment(now, path, header, message)
    const expected = isResponse
      ? this.window.answers(header.messageId)
      : header.messageId === this.window.expectedId
    if (!expected) return this.owner.refuse(now, isResponse ? 'stale-response' : 'message-id')
    if (isFragment(header)) return this.joinFragment(now, path, header, message, isResponse)
    this.deliver(now, path, header, message, isResponse)
  }

  private deliver(
    now: Millis,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    isResponse: boolean,
    joined?: Joined,
  ): void {
    if (this.up !== undefined) return this.up.receive(now, path, header, message, isResponse, joined)
    this.first(now, { kind: isResponse ? 'RESPONSE' : 'REQUEST', header, message, path, joined })
  }

  /** RFC 7296 section 2.1: the response to the last request may be lost, and the peer then repeats that. */
  private afterTheEnd(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    const isRequest = (header.flags & FLAG.RESPONSE) === 0
    this.window.cutNoMore()
    const again = isRequest ? this.window.repeated(header.messageId, message) : undefined
    if (again !== undefined) return this.answerAgain(now, path, again)
    this.owner.refuse(now, 'unknown-cookie')
    const known = this.responderSpi
    if (known !== undefined && equalOctets(known, header.responderSpi) && asksUnderSa(header))
      this.owner.unknown(now, path, unknownSpi(header, this.owner.env.crashSecret))
  }

  private answerAgain(now: Millis, path: Path, again: Outgoing | 'enough'): void {
    if (again === 'enough') return this.owner.refuse(now, 'repeat-limit')
    this.owner.env.count('ike.repeated')
    this.send(path, again)
  }

  /** Somebody says that the peer does not know our SPIs: anybody, or the peer if it has the token that it gave us. */
  private unprotected(now: Millis, up: Established, header: IkeHeader, message: Uint8Array): void {
    const set = new PayloadSet(parseChain(header, message).payloads, RULES.notifies)
    if (!set.says(NOTIFY.INVALID_IKE_SPI)) return this.owner.refuse(now, 'unprotected')
    if (proves(set, up.peersToken)) {
      // Of one that is not in use it is no news that the peer has forgotten it.
      if (up.phase !== 'UP') return up.forgotten(now)
      return this.owner.crashed(now, this)
    }
    this.owner.doubted(now)
  }

  // Fragments

  private get keying(): Keying | undefined {
    return this.up?.keying ?? ('keying' in this.state ? this.state.keying : undefined)
  }

  private joinFragment(
    now: Millis,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    isResponse: boolean,
  ): void {
    const { keying } = this
    if (keying === undefined) return this.owner.refuse(now, 'unexpected')
    const joined = this.fragments.receive(keying.opener, header, message, isResponse)
    if (joined === 'waiting') return
    if (joined === 'known') return this.owner.env.count('ike.repeated')
    if (joined === 'forged') return this.owner.refuse(now, 'bad-icv')
    notLarger(keying, joined.largest)
    this.deliver(now, path, parseIkeHeader(joined.message), joined.message, isResponse, joined)
  }

  /** A fragment of the request that was answered last. */
  private lateFragment(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    const keying = ('previous' in this.state ? this.state.previous : undefined) ?? this.keying
    if (keying === undefined || !asksAgain(keying.opener, header, message))
      return this.owner.env.count('ike.repeated')
    const again = this.window.answerAgain()
    if (again !== undefined) this.answerAgain(now, path, again)
  }

  // The first exchanges

  private first(now: Millis, event: FirstEvent): void {
    const t = transition(FIRST_EXCHANGES, this.state, event)
    if (t === undefined) {
      if ('message' in event) this.owner.refuse(now, 'unexpected')
      return
    }
    const before = this.state
    const { next, effects } = t.run(before, event, now, this.context(now, event))
    this.state = next
    // A failure has words of its own.
    if (before.kind !== next.kind && next.kind !== 'IDLE' && next.kind !== 'FAILED')
      this.tell(t.story, next.kind)
    // With a second key exchange there are others before it is done.
    const keyed = (s: FirstState, interim: boolean): boolean => 'keying' in s && s.pendingKe === interim
    for (const interim of [true, false])
      if ('keying' in next && keyed(next, interim) && !keyed(before, interim))
        this.logKeys(next.keying, interim)
    for (const e of effects) this.applyFirst(now, event, e)
  }

  private context(now: Millis, event: FirstEvent): FirstContext {
    const { owner } = this
    return {
      peer: owner.config,
      limits: owner.limits,
      prefersUdp: owner.prefersUdp,
      initialContact: owner.isInitialContact(),
      messageId: this.window.nextId,
      crashSecret: owner.env.crashSecret,
      random: (length) => owner.env.random(length),
      newIkeSpi: () => owner.newIkeSpi(),
      newSpi: (child) => owner.newSpi(child),
      keyShare: keyShareFor,
      takeKeys: () => this.answering?.takeKeys(),
      firstChild: (peersLanes, needed) => {
        this.firstChild = owner.firstChild(now, peersLanes, needed)
        return this.firstChild
      },
      challenge: (ni, cookie) => this.challenge(now, event, ni, cookie),
    }
  }

  /** RFC 7296 section 2.6: under load only who is at its address costs memory and Diffie-Hellman work. */
  private challenge(
    now: Millis,
    event: FirstEvent,
    ni: Uint8Array,
    cookie: Uint8Array | undefined,
  ): Uint8Array | 'refuse' | undefined {
    const admission = this.answering?.admission
    if (admission === undefined || !admission.busy || !('path' in event)) return undefined
    const subject = { ni, from: event.path.remote, spiI: this.initiatorSpi }
    const { cookies } = this.owner
    if (cookie !== undefined && cookies.verify(now, subject, cookie)) {
      this.showedCookie = true
      return admission.proven() ? undefined : 'refuse'
    }
    return cookies.make(now, subject)
  }

  private applyFirst(now: Millis, event: FirstEvent, e: FirstEffect): void {
    switch (e.do) {
      case 'request':
        if (this.window.isWaiting && e.again !== true) this.window.finish()
        this.window.send(now, e.message, e.path, this.owner.limits.retransmitMs)
        return this.send(e.path, e.message)
      case 'respond':
        if ('message' in event) this.window.answered(event.message, e.message)
        return this.send(e.path, e.message)
      case 'reply':
        return this.send(e.path, e.message)
      case 'refuse':
        return this.owner.refuse(now, e.cause, e.error, e.fields)
      case 'established':
        return this.establish(now, e.result)
      case 'failed':
        this.closed = true
        this.answeredLast = event.kind === 'REQUEST' && this.window.isLast(event.header.messageId)
        return this.owner.failed(now, this, e.reason, e.fields)
    }
  }

  private establish(now: Millis, r: FirstResult): void {
    if (this.window.isWaiting) this.window.finish()
    const up = new Established(now, this.host(), r, this.window)
    this.up = up
    this.firstChild = r.child?.agreed.child ?? this.firstChild
    this.owner.established(now, this, r.initialContact)
    this.firstChild = undefined
    if (this.stage !== 'ESTABLISHED') {
      wipe(r.child?.keymat.toInitiator, r.child?.keymat.toResponder)
      return
    }
    if (r.child !== undefined) {
      const { agreed, keymat } = r.child
      if (this.role === 'initiator') up.made(now, agreed, keymat, undefined)
      else up.move(now, up.granted(now, agreed, keymat, undefined, false))
    }
    if (r.noChild !== undefined) {
      const { child, reason, fields, remove } = r.noChild
      if (remove !== undefined) up.unmake(now, child.protocol, remove)
      this.owner.childFailed(now, this, child, reason, fields)
    }
  }

  // What the manager asks for

  peerMoved(now: Millis, path: Path): void {
    if (this.stage !== 'CLOSED') this.guard(now, () => this.up?.follow(now, path))
  }

  tick(now: Millis): void {
    this.guard(now, () => {
      if (this.up !== undefined) return this.up.tick(now)
      if (this.stage === 'CLOSED') return
      const due = this.window.due(now)
      if (due === 'silent') return this.first(now, { kind: 'SILENT' })
      if (due !== undefined) {
        this.owner.env.count('ike.retransmitted')
        this.send(due.path, due.message)
        if (this.window.isRepeatedOnce) this.tellSilence(due.path)
      }
      const until = firstDeadline(this.state)
      if (until !== undefined && until <= now) this.first(now, { kind: 'DUE' })
    })
  }

  nextDeadline(): Millis | undefined {
    if (this.stage === 'CLOSED') return undefined
    if (this.up !== undefined) return this.up.nextDeadline()
    return this.window.nextDeadline() ?? firstDeadline(this.state)
  }

  negotiate(now: Millis, child: ChildConfig): void {
    if (!this.negotiating(child)) this.guard(now, () => this.up?.negotiate(now, child))
  }

  moveOver(now: Millis, child: ChildConfig): boolean {
    return this.up?.moveOver(now, child) ?? false
  }

  hurry(now: Millis, child: ChildConfig): void {
    this.up?.hurry(now, child)
  }

  negotiating(child: ChildConfig): boolean {
    return this.firstChild?.policy === child.policy || (this.up?.negotiating(child) ?? false)
  }

  giveUp(now: Millis, child: ChildConfig): void {
    this.up?.giveUp(now, child)
  }

  sendDelete(now: Millis, protocol: SaProtocol, inboundSpis: readonly number[]): void {
    this.guard(now, () => this.up?.sendDelete(now, protocol, inboundSpis))
  }

  checkAlive(now: Millis): void {
    this.guard(now, () => this.up?.checkAlive(now))
  }

  renew(now: Millis): void {
    this.guard(now, () => this.up?.renew(now))
  }

  retire(): void {
    this.up?.retire()
  }

  close(now: Millis, tell: boolean): void {
    if (this.stage === 'CLOSED') return
    if (this.up !== undefined) return this.guard(now, () => this.up?.close(now, tell))
    forgetFirst(this.state)
    this.closed = true
  }

  takeChildren(): readonly AgreedChild[] {
    return this.up?.takeChildren() ?? []
  }

  promote(now: Millis, children: readonly OwnedChild[], tasks: readonly Task[]): void {
    this.up?.promote(now, children, tasks)
  }

  discard(now: Millis): void {
    this.up?.close(now, true)
  }

  describe(): IkeSaDescription {
    const { up } = this
    const phase = up?.phase === 'UP' ? 'ESTABLISHED' : up?.phase
    return {
      state: this.closed ? 'CLOSED' : (phase ?? this.state.kind),
      proposal: up && formatIkeProposal(up.keying.proposal),
      nat: up && natText(up.nat),
      silence: this.silence(),
    }
  }

  private silence(): Trouble | undefined {
    const at = this.stage === 'CLOSED' ? undefined : this.window.silentSince()
    if (at === undefined) return undefined
    const { state, owner } = this
    const first =
      state.kind === 'INIT_SENT' || state.kind === 'INTERMEDIATE_SENT' || state.kind === 'AUTH_SENT'
    return { message: first ? silenceText(state, owner.config, true) : 'the peer does not answer', at }
  }

  // Parts

  private host(): EstablishedHost {
    const { owner } = this
    return {
      owner,
      sa: this,
      send: (path, message) => this.send(path, message),
      tell: (story, state) => this.tell(story, state),
      next: (now, keying, predecessor, token) => IkeSaV2.successor(now, owner, keying, predecessor, token),
    }
  }

  /** A socket's error is as good as a lost datagram: retransmission takes care of it. */
  private send(path: Path, message: Outgoing): void {
    const { env, config } = this.owner
    try {
      for (const datagram of message.datagrams) env.send(path.local, path.remote, datagram)
    } catch (error) {
      env.count('ike.send-failed')
      env.log('debug', 'ike: a message could not be sent', { peer: config.name, error: String(error) })
    }
  }

  private logKeys({ spiI, spiR, proposal, keys }: Keying, interim = false): void {
    this.owner.env.keyLog?.({
      ...{ version: 2, initiatorSpi: spiI, responderSpi: spiR, interim },
      ...{ encryption: proposal.encryption.id, integrity: proposal.integrity },
      ...{ ei: keys.ei, er: keys.er, ai: keys.ai, ar: keys.ar },
    })
  }

  private tellSilence({ remote }: Path): void {
    const { env, config } = this.owner
    const silence = this.silence()
    if (silence !== undefined)
      env.log('info', `ike: ${silence.message}`, { peer: config.name, remote: formatEndpoint(remote) })
  }

  private tell(story: string, state: string): void {
    this.owner.env.log('debug', `ike: ${story}`, {
      peer: this.owner.config.name,
      state,
      spi: hex(this.initiatorSpi),
    })
  }

  /** Whatever goes wrong inside stays inside. */
  private guard(now: Millis, run: () => void): void {
    try {
      run()
    } catch (error) {
      if (error instanceof WireError)
        this.owner.refuse(now, 'malformed', undefined, { field: error.field, why: error.message })
      else if (error instanceof ProtocolError)
        this.owner.refuse(now, error.notify.toLowerCase().replaceAll('_', '-'))
      else this.owner.refuse(now, 'internal', `internal fault: ${String(error)}`)
    }
  }
}

export const IKE_V2: IkeVersion = {
  isFirstMessage: (h) =>
    h.exchange === EXCHANGE.IKE_SA_INIT &&
    isZero(h.responderSpi) &&
    h.messageId === 0 &&
    (h.flags & (FLAG.INITIATOR | FLAG.RESPONSE)) === FLAG.INITIATOR,
  answerUnknown: (h, secret) => (asksUnderSa(h) ? unknownSpi(h, secret) : undefined),
  initiate: IkeSaV2.initiate,
  answer: IkeSaV2.answer,
}

function natText(nat: NatState): string | undefined {
  if (!usesUdp(nat)) return undefined
  const found: string[] = []
  if (nat.local) found.push('we are behind one')
  if (nat.remote) found.push('the peer is behind one or says so')
  if (nat.claimed) found.push('claimed')
  return found.join(', ')
}
