import { equalOctets, hex, isZero, wipe } from '../../bytes/octets.js'
import { generateKeyShare } from '../../crypto/key-exchange.js'
import { WireError } from '../../errors.js'
import type { SaProtocol } from '../../sadb/sa-spec.js'
import { EXCHANGE, IKE_HEADER_LEN, type IkeHeader, parseIkeHeader } from '../../wire/ike/header.js'
import { parsePayloads } from '../../wire/ike/payloads.js'
import { spiOctets } from '../../wire/ike/v1/notify.js'
import { FLAG, isErrorNotify, NOTIFY, notifyName, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import type { Role } from '../child-sa.js'
import type { ChildConfig } from '../config.js'
import { formatFields } from '../differences.js'
import type { Millis } from '../environment.js'
import { explained, readExplanation } from '../explanation.js'
import type { Asking, FirstKeys, IkeSa, IkeSaDescription, IkeSaOwner, IkeVersion, Stage } from '../ike-sa.js'
import { formatEndpoint, IKE_PORT, type Path } from '../path.js'
import { formatIkeProposal } from '../proposals.js'
import { transition } from '../transition-table.js'
import type { Trouble } from '../trouble.js'
import { Fragmentation, isFragment } from './fragmentation.js'
import {
  clearNotify,
  deletePayload,
  type Information,
  informationOf,
  openInformational,
} from './informational.js'
import type { LastWords } from './last-words.js'
import { MAIN_MODE } from './main-mode.js'
import { silenceText } from './main-mode-outcomes.js'
import {
  dealtWith,
  forgetMainMode,
  type MainModeContext,
  type MainModeEffect,
  type MainModeEvent,
  type MainModeIn,
  type MainModeState,
  mainModeDeadline,
} from './main-mode-states.js'
import { PayloadSet, RULES } from './message-rules.js'
import { type NatState, usesUdp } from './nat.js'
import { ownPhase1Fields } from './phase1-offer.js'
import { Phase2 } from './phase2.js'

/** What a peer says that has lost its SAs. */
const FORGOTTEN: readonly number[] = [NOTIFY.INVALID_COOKIE, NOTIFY.INVALID_SPI]

/** One ISAKMP SA: its Main Mode, and what runs under it once it is established. */
export class IkeSaV1 implements IkeSa {
  readonly version = 1
  readonly renewsItself = false
  readonly role: Role
  readonly initiatorSpi: Uint8Array
  readonly startedAt: Millis
  private readonly owner: IkeSaOwner
  private readonly takePsk: () => Uint8Array | undefined
  private state: MainModeState = { kind: 'IDLE' }
  /** What an unauthenticated message claimed while we waited. */
  private hint: { readonly text: string; readonly fields: Record<string, unknown> } | undefined
  private phase2: Phase2 | undefined
  private readonly fragmentation = new Fragmentation()
  private closed = false
  /** CLOSING: the Delete, to be said again. */
  private lastWords: LastWords | undefined

  private constructor(
    now: Millis,
    owner: IkeSaOwner,
    role: Role,
    ci: Uint8Array,
    takePsk: () => Uint8Array | undefined,
  ) {
    this.owner = owner
    this.role = role
    this.initiatorSpi = new Uint8Array(ci)
    this.startedAt = now
    this.takePsk = takePsk
  }

  static initiate(now: Millis, owner: IkeSaOwner, path: Path, ci: Uint8Array, keys: FirstKeys): IkeSaV1 {
    const sa = new IkeSaV1(now, owner, 'initiator', ci, () => undefined)
    sa.mainMode(now, { kind: 'BEGIN', ci: sa.initiatorSpi, psk: pskOf(keys), path })
    return sa
  }

  static answer(
    now: Millis,
    owner: IkeSaOwner,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    takeKeys: () => FirstKeys | undefined,
  ): IkeSaV1 | undefined {
    const takePsk = (): Uint8Array | undefined => {
      const keys = takeKeys()
      return keys && pskOf(keys)
    }
    const sa = new IkeSaV1(now, owner, 'responder', header.initiatorSpi, takePsk)
    sa.guard(now, () => sa.mainMode(now, { kind: 'FIRST', header, message, path }))
    return sa.state.kind === 'SA_ANSWERED' ? sa : undefined
  }

  get stage(): Stage {
    if (this.lastWords !== undefined) return 'CLOSING'
    if (this.closed || this.state.kind === 'FAILED') return 'CLOSED'
    return this.phase2 === undefined ? 'CONNECTING' : 'ESTABLISHED'
  }

  get answered(): boolean {
    return this.state.kind !== 'SA_SENT' && this.state.kind !== 'SA_ANSWERED' && this.state.kind !== 'IDLE'
  }

  get responderSpi(): Uint8Array | undefined {
    if (this.phase2 !== undefined) return this.phase2.phase1.cr
    if ('x' in this.state) return this.state.x.cr
    return 'cr' in this.state ? this.state.cr : undefined
  }

  get establishedAt(): Millis | undefined {
    return this.phase2?.establishedAt
  }
  get softAt(): Millis | undefined {
    return this.phase2?.softAt
  }
  get hardAt(): Millis | undefined {
    return this.phase2?.hardAt
  }

  get follows(): boolean {
    return this.phase2?.phase1.nat.remote ?? false
  }

  get heardAt(): Millis | undefined {
    return this.phase2?.heardAt
  }

  get path(): Path {
    if (this.phase2 !== undefined) return this.phase2.path
    if ('path' in this.state) return this.state.path
    const { local, remote } = this.owner.config
    return { local: { address: local, port: IKE_PORT }, remote: { address: remote, port: IKE_PORT } }
  }

  get peersLanes(): number {
    return this.phase2?.phase1.capabilities.lanes ?? 1
  }

  receive(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if (this.stage === 'CLOSED') return
    if (this.stage === 'CLOSING') return this.owner.refuse(now, 'closing')
    this.guard(now, () => {
      if (isFragment(header)) this.joinFragment(now, path, header, message)
      else this.dispatch(now, path, header, message)
    })
  }

  private joinFragment(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    const whole = this.fragmentation.join(now, header, message)
    if (whole === undefined) return
    const inner = parseIkeHeader(whole)
    if (isFragment(inner) || inner.version !== header.version)
      throw new WireError('fragment', 0, 'holds no message of its own')
    if (!equalOctets(inner.initiatorSpi, this.initiatorSpi)) return this.owner.refuse(now, 'unknown-cookie')
    this.dispatch(now, path, inner, whole)
  }

  private dispatch(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if (header.exchange === EXCHANGE.MAIN_MODE) {
      const done = dealtWith(this.state)
      if (done !== undefined && equalOctets(done, message))
        return this.mainMode(now, { kind: 'REPEAT', path })
    }
    const known = this.responderSpi
    if (known !== undefined && !equalOctets(known, header.responderSpi))
      return this.owner.refuse(now, 'unknown-cookie')
    switch (header.exchange) {
      case EXCHANGE.MAIN_MODE:
        if (header.messageId !== 0) throw new WireError('header.messageId', 20, 'is not zero in Main Mode')
        return this.mainMode(now, { kind: 'MESSAGE', header, message, path })
      case EXCHANGE.QUICK_MODE:
        if (this.phase2 === undefined) return this.owner.refuse(now, 'too-early')
        return this.phase2.receiveQuickMode(now, path, header, message)
      case EXCHANGE.INFORMATIONAL_V1:
        return this.informational(now, path, header, message)
      default:
        return this.owner.refuse(now, 'exchange-type')
    }
  }

  peerMoved(now: Millis, path: Path): void {
    if (this.stage !== 'CLOSED') this.guard(now, () => this.phase2?.follow(now, path))
  }

  tick(now: Millis): void {
    if (this.lastWords !== undefined) return this.repeatLastWords(now, this.lastWords)
    this.guard(now, () => {
      const deadline = mainModeDeadline(this.state)
      if (deadline !== undefined && deadline <= now) this.mainMode(now, { kind: 'DUE' })
      if (!this.closed) this.phase2?.tick(now)
    })
  }

  private repeatLastWords(now: Millis, words: LastWords): void {
    for (const message of words.due(now)) this.send(this.path, message)
    if (!words.isEmpty) return
    this.lastWords = undefined
    this.owner.gone(now, this)
  }

  nextDeadline(): Millis | undefined {
    if (this.lastWords !== undefined) return this.lastWords.nextDeadline()
    if (this.stage === 'CLOSED') return undefined
    return this.phase2 === undefined ? mainModeDeadline(this.state) : this.phase2.nextDeadline()
  }

  negotiate(now: Millis, child: ChildConfig): void {
    if (!this.closed) this.guard(now, () => this.phase2?.negotiate(now, child))
  }

  negotiating(child: ChildConfig): boolean {
    return this.phase2?.negotiating(child) ?? false
  }

  moveOver(now: Millis, child: ChildConfig): boolean {
    return this.phase2?.moveOver(now, child) ?? false
  }

  hurry(now: Millis, child: ChildConfig): void {
    if (!this.closed) this.phase2?.hurry(now, child)
  }

  asking(child: ChildConfig): Asking | undefined {
    return this.phase2?.asking(child)
  }

  yield(now: Millis, child: ChildConfig): void {
    this.phase2?.yield(now, child)
  }

  /** Nothing waits: a Quick Mode begins at once. */
  giveUp(): void {}

  sendDelete(now: Millis, protocol: SaProtocol, inboundSpis: readonly number[], needed: boolean): void {
    const number = protocol === 'ah' ? PROTOCOL.AH : PROTOCOL.ESP
    if (!this.closed) this.phase2?.sendDelete(now, deletePayload(number, inboundSpis.map(spiOctets)), needed)
  }

  unknownSpi(now: Millis, protocol: SaProtocol, spi: number): void {
    if (!this.closed) this.phase2?.unknownSpi(now, protocol, spi)
  }

  checkAlive(now: Millis): void {
    this.phase2?.checkAlive(now)
  }

  /** The manager begins a new one. */
  renew(): void {}

  retire(): void {
    this.phase2?.retire()
  }

  /** They belong to the peer: an ISAKMP SA that goes leaves them. */
  takeChildren(): readonly [] {
    return []
  }

  close(now: Millis, tell: boolean): void {
    if (!tell) this.lastWords = undefined
    if (this.closed) return
    const words = this.phase2?.close(now, tell)
    if (words?.isEmpty === false) this.lastWords = words
    forgetMainMode(this.state)
    this.closed = true
  }

  describe(): IkeSaDescription {
    const phase1 = this.phase2?.phase1
    return {
      state: this.closed ? this.stage : this.state.kind,
      proposal: phase1 && formatIkeProposal(phase1.proposal),
      nat: phase1 && natText(phase1.nat),
      silence: this.closed ? undefined : this.silence(),
    }
  }

  private silence(): Trouble | undefined {
    const { state, owner } = this
    if ('sending' in state && state.sending.times > 1)
      return { message: silenceText(state, owner.config, true), at: state.sending.since }
    const at = this.phase2?.silentSince()
    return at === undefined ? undefined : { message: 'the peer does not answer', at }
  }

  // Main Mode

  private mainMode(now: Millis, event: MainModeEvent): void {
    const t = transition(MAIN_MODE, this.state, event)
    if (t === undefined) {
      if (event.kind === 'MESSAGE' || event.kind === 'REPEAT') this.owner.refuse(now, 'unexpected')
      return
    }
    const before = this.state
    const { next, effects } = t.run(this.state, event, now, this.context())
    this.state = next
    // A failure has words of its own.
    if (before.kind !== next.kind && next.kind !== 'FAILED') this.tell(`Main Mode: ${t.story}`, next.kind)
    else if (event.kind === 'DUE') this.tellSilence()
    if ('keys' in next && !('keys' in before))
      this.owner.env.keyLog?.({
        version: 1,
        initiatorSpi: this.initiatorSpi,
        encryptionKey: next.keys.key,
      })
    for (const e of effects) this.apply(now, e, event.kind === 'DUE' ? before.kind : undefined)
  }

  private context(): MainModeContext {
    const { owner } = this
    return {
      peer: owner.config,
      limits: owner.limits,
      prefersUdp: owner.prefersUdp,
      initialContact: owner.isInitialContact(),
      random: (length) => owner.env.random(length),
      newCookie: () => owner.newIkeSpi(),
      keyShare: generateKeyShare,
      takePsk: this.takePsk,
    }
  }

  /** @param silent the state in which the peer did not answer */
  private apply(now: Millis, e: MainModeEffect, silent: MainModeState['kind'] | undefined): void {
    switch (e.do) {
      case 'send':
        return this.send(e.path, e.message)
      case 'refuse':
        // Until message 5 has come through, anybody may be the initiator.
        if (this.role === 'responder' && e.error !== undefined)
          return this.owner.refuseStranger(now, e.cause, e.error, e.fields)
        return this.owner.refuse(now, e.cause, e.error, e.fields)
      case 'count':
        return this.owner.env.count(e.counter)
      case 'established': {
        const host = {
          owner: this.owner,
          sa: this,
          send: (path: Path, message: Uint8Array) => this.send(path, message),
          tell: (story: string, state: string, messageId?: number) => this.tell(story, state, messageId),
        }
        this.phase2 = new Phase2(now, host, e.phase1)
        return this.owner.established(now, this, e.initialContact)
      }
      case 'failed': {
        this.closed = true
        const { hint } = this
        if (hint === undefined || silent === undefined) return this.owner.failed(now, this, e.reason)
        const text = silent === 'SA_SENT' ? hint.text : `${hint.text} (${e.reason})`
        return this.owner.failed(now, this, text, hint.fields)
      }
    }
  }

  // Informational

  private informational(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if ((header.flags & FLAG.ENCRYPTION) === 0) return this.unprotected(now, header, message)
    if (this.phase2 !== undefined) return this.phase2.receiveInformational(now, path, header, message)
    if (this.state.kind !== 'AUTH_SENT') return this.owner.refuse(now, 'too-early')
    this.insteadOfMessage6(now, this.state, header, message)
  }

  /** A refusal under the new keys, which are the same at both ends only if the pre-shared keys are. */
  private insteadOfMessage6(
    now: Millis,
    s: MainModeIn<'AUTH_SENT'>,
    header: IkeHeader,
    message: Uint8Array,
  ): void {
    let information: Information | undefined
    try {
      const protection = { keys: s.keys, ci: s.x.ci, cr: s.x.cr, lastBlock: s.iv }
      information = openInformational(protection, header, message)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
    }
    if (information === undefined) {
      // The IV depends on message 6, should that have been lost.
      const text =
        "the answer to message 5 does not decrypt: the peer's pre-shared key differs from ours, or its message 6 was lost"
      this.hint = { text, fields: {} }
      return this.owner.refuse(now, 'undecryptable', text)
    }
    const error = information.notifies.find((n) => isErrorNotify(n.type))
    if (error === undefined) return
    const notify = explained(notifyName(error.type), readExplanation(error.data))
    this.mainMode(now, { kind: 'REFUSED', notify })
  }

  /** Anybody may have sent it: noted for the operator, and nothing else. */
  private unprotected(now: Millis, header: IkeHeader, message: Uint8Array): void {
    const payloads = parsePayloads(message.subarray(IKE_HEADER_LEN), header.nextPayload)
    const { notifies } = informationOf(new PayloadSet(payloads, RULES.informational))
    const error = notifies.find((n) => isErrorNotify(n.type))
    if (error !== undefined && this.stage === 'ESTABLISHED' && FORGOTTEN.includes(error.type))
      return this.owner.doubted(now)
    if (error === undefined || this.stage !== 'CONNECTING') return this.owner.refuse(now, 'unprotected')
    const why = readExplanation(error.data)
    const text = `the peer seems to say ${explained(notifyName(error.type), why)}`
    const ours = ownPhase1Fields(this.owner.config.proposals).map(formatFields)
    const fields = { ours, ...(why !== undefined && why.theirs.length > 0 && { theirs: why.theirs }) }
    this.hint = { text, fields }
    this.owner.refuse(now, 'unprotected-notify', text, fields)
  }

  // Parts

  /** A socket's error is as good as a lost datagram: retransmission takes care of it. */
  private send(path: Path, message: Uint8Array): void {
    const { env, config } = this.owner
    const size = this.peerTakesFragments ? config.fragmentSize : 0
    try {
      for (const datagram of this.fragmentation.datagrams(path, message, size))
        env.send(path.local, path.remote, datagram)
    } catch (error) {
      env.count('ike.send-failed')
      env.log('debug', 'ike: a message could not be sent', { peer: config.name, error: String(error) })
    }
  }

  private get peerTakesFragments(): boolean {
    const { state } = this
    if (state.kind === 'ESTABLISHED') return state.phase1.capabilities.fragments
    return 'capabilities' in state && state.capabilities.fragments
  }

  private tellSilence(): void {
    const { state, owner } = this
    const silence = this.silence()
    if (silence === undefined || !('sending' in state) || state.sending.times !== 2) return
    const remote = formatEndpoint(state.path.remote)
    owner.env.log('info', `ike: ${silence.message}`, { peer: owner.config.name, remote })
  }

  private tell(story: string, state: string, messageId?: number): void {
    this.owner.env.log('debug', `ike: ${story}`, {
      peer: this.owner.config.name,
      state,
      cookie: hex(this.initiatorSpi),
      ...(messageId !== undefined && { exchange: hex(spiOctets(messageId)) }),
    })
  }

  /** Whatever goes wrong inside stays inside. */
  private guard(now: Millis, run: () => void): void {
    try {
      run()
    } catch (error) {
      if (error instanceof WireError)
        this.owner.refuse(now, 'malformed', undefined, { field: error.field, why: error.message })
      else this.owner.refuse(now, 'internal', `internal fault: ${String(error)}`)
    }
  }
}

/** An encrypted message under an ISAKMP SA that has been there. */
const isUnderSa = (h: IkeHeader): boolean =>
  (h.exchange === EXCHANGE.QUICK_MODE || h.exchange === EXCHANGE.INFORMATIONAL_V1) &&
  (h.flags & FLAG.ENCRYPTION) !== 0 &&
  !isZero(h.responderSpi)

export const IKE_V1: IkeVersion = {
  isFirstMessage: (h) => h.exchange === EXCHANGE.MAIN_MODE && isZero(h.responderSpi) && h.messageId === 0,
  answerUnknown: (h) =>
    isUnderSa(h)
      ? clearNotify(h.initiatorSpi, h.responderSpi, NOTIFY.INVALID_COOKIE, new Uint8Array(0))
      : undefined,
  initiate: IkeSaV1.initiate,
  answer: IkeSaV1.answer,
}

/** IKEv1 has no use for the post-quantum key. */
function pskOf(keys: FirstKeys): Uint8Array {
  wipe(keys.ppk?.key)
  return keys.psk
}

function natText(nat: NatState): string | undefined {
  if (!usesUdp(nat)) return undefined
  const found: string[] = []
  if (nat.local) found.push('we are behind one')
  if (nat.remote) found.push('the peer is behind one or says so')
  if (nat.claimed) found.push('claimed')
  return found.join(', ')
}
