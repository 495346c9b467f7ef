import { equalOctets, hex, isZero, wipe } from '../../bytes/octets.js'
import { generateKeyShare } from '../../crypto/key-exchange.js'
import { WireError } from '../../errors.js'
import type { SaProtocol } from '../../sadb/sa-spec.js'
import { EXCHANGE, IKE_HEADER_LEN, type IkeHeader } from '../../wire/ike/header.js'
import { type PayloadInit, parsePayloads } from '../../wire/ike/payloads.js'
import { type NotifyPayload, spiNumber, spiOctets } from '../../wire/ike/v1/notify.js'
import { FLAG, isErrorNotify, NOTIFY, notifyName, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import type { Role } from '../child-sa.js'
import { softPart } from '../children.js'
import type { ChildConfig } from '../config.js'
import type { Millis } from '../environment.js'
import type { FirstKeys, IkeSa, IkeSaDescription, IkeSaOwner, IkeVersion, Stage } from '../ike-sa.js'
import { type Path, samePath } from '../path.js'
import { formatIkeProposal } from '../proposals.js'
import { transition } from '../transition-table.js'
import { DeadPeerDetection } from './dead-peer.js'
import {
  cookiePair,
  deletePayload,
  dpdPayload,
  dpdSequence,
  type Information,
  informationOf,
  notifyPayload,
  openInformational,
  type Protection,
  sealInformational,
} from './informational.js'
import { MAIN_MODE } from './main-mode.js'
import {
  dealtWith,
  forgetMainMode,
  type MainModeContext,
  type MainModeEffect,
  type MainModeEvent,
  type MainModeState,
  mainModeDeadline,
  type Phase1,
} from './main-mode-states.js'
import { PayloadSet, RULES } from './message-rules.js'
import { usesUdp } from './nat.js'
import { QUICK_MODE } from './quick-mode.js'
import {
  forgetQuickMode,
  type QuickModeContext,
  type QuickModeEffect,
  type QuickModeEvent,
  type QuickModeState,
  quickModeDeadline,
} from './quick-mode-states.js'

/** Shortest lifetime of an IKE SA that a peer may set, in seconds. */
const LIFE_FLOOR = 60

interface Exchange {
  readonly messageId: number
  readonly child: ChildConfig | undefined
  state: QuickModeState
}

/** One ISAKMP SA: its Main Mode, then its Quick Modes and Informationals. */
export class IkeSaV1 implements IkeSa {
  readonly version = 1
  readonly role: Role
  readonly initiatorSpi: Uint8Array
  readonly startedAt: Millis
  private readonly owner: IkeSaOwner
  private readonly takePsk: () => Uint8Array | undefined
  private state: MainModeState = { kind: 'IDLE' }
  /** What an unauthenticated notify claimed while we waited. */
  private hint: string | undefined
  private est: Established | undefined
  private closed = false

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
    sa.mainMode(now, { kind: 'BEGIN', ci: sa.initiatorSpi, psk: pskOf(keys)!, path })
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
    const sa = new IkeSaV1(now, owner, 'responder', header.initiatorSpi, () => pskOf(takeKeys()))
    sa.guard(now, () => sa.mainMode(now, { kind: 'FIRST', header, message, path }))
    return sa.state.kind === 'SA_ANSWERED' ? sa : undefined
  }

  get stage(): Stage {
    if (this.closed || this.state.kind === 'FAILED') return 'CLOSED'
    return this.est === undefined ? 'CONNECTING' : 'ESTABLISHED'
  }

  get answered(): boolean {
    return this.state.kind !== 'SA_SENT' && this.state.kind !== 'SA_ANSWERED' && this.state.kind !== 'IDLE'
  }

  get responderSpi(): Uint8Array | undefined {
    if (this.est !== undefined) return this.est.phase1.cr
    if ('x' in this.state) return this.state.x.cr
    return 'cr' in this.state ? this.state.cr : undefined
  }

  get establishedAt(): Millis | undefined {
    return this.est?.at
  }
  get softAt(): Millis | undefined {
    return this.est?.softAt
  }
  get hardAt(): Millis | undefined {
    return this.est?.hardAt
  }

  get path(): Path {
    if (this.est !== undefined) return this.est.path
    if ('path' in this.state) return this.state.path
    const { local, remote } = this.owner.config
    return { local: { address: local, port: 500 }, remote: { address: remote, port: 500 } }
  }

  receive(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if (this.stage === 'CLOSED') return
    this.guard(now, () => this.dispatch(now, path, header, message))
  }

  private dispatch(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if (header.exchange === EXCHANGE.MAIN_MODE) {
      const done = dealtWith(this.state)
      if (done !== undefined && equalOctets(done, message)) return this.mainMode(now, { kind: 'REPEAT', path })
      if (header.messageId !== 0) throw new WireError('header.messageId', 20, 'is not zero in Main Mode')
      if (!this.hasCookies(header)) return this.owner.refuse(now, 'unknown-cookie')
      return this.mainMode(now, { kind: 'MESSAGE', header, message, path })
    }
    if (!this.hasCookies(header)) return this.owner.refuse(now, 'unknown-cookie')
    if (header.exchange === EXCHANGE.INFORMATIONAL_V1) return this.informational(now, path, header, message)
    if (header.exchange !== EXCHANGE.QUICK_MODE) return this.owner.refuse(now, 'exchange-type')
    if (this.est === undefined) return this.owner.refuse(now, 'too-early')
    if (header.messageId === 0) throw new WireError('header.messageId', 20, 'is zero in Quick Mode')
    const exchange = this.est.exchanges.get(header.messageId)
    if (exchange === undefined) return this.firstOfQuickMode(now, this.est, path, header, message)
    const { state } = exchange
    if ('received' in state && equalOctets(state.received, message))
      return this.quickMode(now, this.est, exchange, { kind: 'REPEAT' })
    this.quickMode(now, this.est, exchange, { kind: 'MESSAGE', header, message, path })
  }

  private hasCookies(header: IkeHeader): boolean {
    const known = this.responderSpi
    return known === undefined || equalOctets(known, header.responderSpi)
  }

  tick(now: Millis): void {
    this.guard(now, () => {
      if (isDue(mainModeDeadline(this.state), now)) this.mainMode(now, { kind: 'DUE' })
      const { est } = this
      if (est === undefined || this.closed) return
      for (const x of [...est.exchanges.values()])
        if (isDue(quickModeDeadline(x.state), now)) this.quickMode(now, est, x, { kind: 'DUE' })
      if (isDue(est.keepaliveAt, now)) {
        est.keepaliveAt = now + this.owner.limits.keepaliveMs
        this.owner.env.sendKeepalive?.(est.path.local, est.path.remote)
      }
      if (isDue(est.dpd?.nextDeadline(), now)) this.askAlive(now, est)
    })
  }

  nextDeadline(): Millis | undefined {
    if (this.stage === 'CLOSED') return undefined
    let next = mainModeDeadline(this.state)
    const { est } = this
    const consider = (at: Millis | undefined): void => {
      if (at !== undefined && (next === undefined || at < next)) next = at
    }
    if (est !== undefined) {
      for (const x of est.exchanges.values()) consider(quickModeDeadline(x.state))
      consider(est.keepaliveAt)
      consider(est.dpd?.nextDeadline())
    }
    return next
  }

  negotiate(now: Millis, child: ChildConfig): void {
    const { est } = this
    if (est === undefined || this.closed || this.negotiating(child)) return
    const messageId = this.newMessageId(est)
    const exchange: Exchange = { messageId, child, state: { kind: 'IDLE' } }
    est.exchanges.set(messageId, exchange)
    this.guard(now, () => this.quickMode(now, est, exchange, { kind: 'BEGIN', child }))
  }

  negotiating(child: ChildConfig): boolean {
    return [...(this.est?.exchanges.values() ?? [])].some(
      ({ state: s }) =>
        (s.kind === 'SENT' && s.child.policy === child.policy) ||
        (s.kind === 'ANSWERED' && s.agreed.child.policy === child.policy),
    )
  }

  sendDelete(_now: Millis, protocol: SaProtocol, inboundSpis: readonly number[]): void {
    const number = protocol === 'ah' ? PROTOCOL.AH : PROTOCOL.ESP
    this.inform([deletePayload(number, inboundSpis.map(spiOctets))])
  }

  checkAlive(now: Millis): void {
    this.est?.dpd?.check(now)
  }

  retire(): void {
    if (this.est === undefined) return
    this.est.softAt = undefined
    this.est.dpd = undefined
  }

  close(now: Millis, tell: boolean): void {
    if (this.closed) return
    const { est } = this
    if (est !== undefined) {
      const { phase1, exchanges } = est
      if (tell) this.inform([deletePayload(PROTOCOL.ISAKMP, [cookiePair(phase1.ci, phase1.cr)])])
      for (const { state } of exchanges.values()) {
        if (state.kind === 'ANSWERED') this.owner.childAbandoned(now, state.agreed)
        forgetQuickMode(state)
      }
      exchanges.clear()
      wipe(phase1.d, phase1.a, phase1.key)
    }
    forgetMainMode(this.state)
    this.closed = true
  }

  describe(): IkeSaDescription {
    const nat = this.est?.phase1.nat
    const found = [nat?.local && 'we are behind one', nat?.remote && 'the peer is behind one or says so', nat?.claimed && 'claimed']
    return {
      state: this.closed ? 'CLOSED' : this.state.kind,
      proposal: this.est && formatIkeProposal(this.est.phase1.proposal),
      nat: nat && usesUdp(nat) ? found.filter((f) => typeof f === 'string').join(', ') : undefined,
    }
  }

  // Main Mode

  private mainMode(now: Millis, event: MainModeEvent): void {
    const t = transition(MAIN_MODE, this.state, event)
    if (t === undefined) {
      if (event.kind === 'MESSAGE' || event.kind === 'REPEAT') this.owner.refuse(now, 'unexpected')
      return
    }
    const before = this.state.kind
    const { next, effects } = t.run(this.state, event, now, this.mainModeContext())
    this.state = next
    if (before !== next.kind) this.tell(`Main Mode: ${t.story}`, next.kind)
    for (const e of effects) this.applyMainMode(now, e)
  }

  private mainModeContext(): MainModeContext {
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

  private applyMainMode(now: Millis, e: MainModeEffect): void {
    switch (e.do) {
      case 'send':
        return this.send(e.path, e.message)
      case 'refuse':
        return this.owner.refuse(now, e.cause, e.error, e.fields)
      case 'count':
        return this.owner.env.count(e.counter)
      case 'established':
        this.est = this.establish(now, e.phase1)
        return this.owner.established(now, this, e.initialContact)
      case 'failed': {
        this.closed = true
        const hint = this.hint === undefined ? '' : `; without proof somebody said: ${this.hint}`
        return this.owner.failed(now, this, `${e.reason}${hint}`)
      }
    }
  }

  private establish(now: Millis, phase1: Phase1): Established {
    const { owner, role } = this
    const { random } = owner.env
    const ours = owner.config.ikeLifetimeSeconds
    const seconds = Math.min(ours, Math.max(phase1.lifeSeconds ?? ours, LIFE_FLOOR))
    const delay = owner.config.dpdDelaySeconds * 1000
    const dpd = phase1.capabilities.dpd
      ? new DeadPeerDetection(now, delay, owner.limits.dpdRetransmitMs, spiNumber(random(4)) >>> 1)
      : undefined
    return {
      phase1,
      at: now,
      softAt: now + seconds * 1000 * softPart(role, random(1)[0]! / 256),
      hardAt: now + seconds * 1000,
      path: phase1.path,
      exchanges: new Map(),
      messageIds: new Set(),
      dpd,
      keepaliveAt: phase1.nat.local ? now + owner.limits.keepaliveMs : undefined,
    }
  }

  // Quick Mode

  private firstOfQuickMode(now: Millis, est: Established, path: Path, header: IkeHeader, message: Uint8Array): void {
    const { messageId } = header
    if (est.messageIds.has(messageId)) return this.owner.refuse(now, 'message-id-reused')
    if (est.messageIds.size >= this.owner.limits.messageIds) return this.owner.refuse(now, 'message-id-limit')
    if (est.exchanges.size >= this.owner.limits.exchangesPerSa) return this.owner.refuse(now, 'exchange-limit')
    const exchange: Exchange = { messageId, child: undefined, state: { kind: 'IDLE' } }
    this.quickMode(now, est, exchange, { kind: 'FIRST', header, message, path })
  }

  private quickMode(now: Millis, est: Established, x: Exchange, event: QuickModeEvent): void {
    const t = transition(QUICK_MODE, x.state, event)
    if (t === undefined) {
      if (event.kind === 'MESSAGE' || event.kind === 'REPEAT') this.owner.refuse(now, 'unexpected')
      return
    }
    const before = x.state.kind
    const { next, effects } = t.run(x.state, event, now, this.quickModeContext(est, x, event))
    x.state = next
    if (next.kind === 'CLOSED' || next.kind === 'IDLE') est.exchanges.delete(x.messageId)
    else est.exchanges.set(x.messageId, x)
    const authentic = next.kind !== before && 'message' in event
    if (authentic) this.heard(now, est, event.path, x.messageId)
    if (before !== next.kind && next.kind !== 'CLOSED') this.tell(`Quick Mode: ${t.story}`, next.kind, x.messageId)
    for (const e of effects) this.applyQuickMode(now, est, x, event, e)
  }

  private quickModeContext(est: Established, x: Exchange, event: QuickModeEvent): QuickModeContext {
    const { owner } = this
    return {
      peer: owner.config,
      limits: owner.limits,
      phase1: est.phase1,
      path: 'path' in event ? event.path : est.path,
      messageId: x.messageId,
      random: (length) => owner.env.random(length),
      newSpi: () => owner.newSpi(),
      keyShare: generateKeyShare,
      yieldTo: (child) => this.yieldTo(est, child, x.messageId),
      hasTraffic: (agreed) => owner.hasTraffic(agreed),
    }
  }

  private applyQuickMode(now: Millis, est: Established, x: Exchange, event: QuickModeEvent, e: QuickModeEffect): void {
    switch (e.do) {
      case 'send':
        return this.send(est.path, e.message)
      case 'refuse':
        if (e.authentic && 'message' in event) this.heard(now, est, event.path, x.messageId)
        this.owner.refuse(now, e.cause, e.error, e.fields)
        if (e.notify !== undefined) this.inform([notifyPayload(e.notify.type, e.notify.protocol, e.notify.spi)])
        return
      case 'count':
        return this.owner.env.count(e.counter)
      case 'inbound':
        return this.owner.childInbound(now, this, e.agreed, e.key)
      case 'outbound':
        return this.owner.childOutbound(now, this, e.agreed, e.key)
      case 'abandon':
        return this.owner.childAbandoned(now, e.agreed)
      case 'failed':
        if (e.silent) this.checkAlive(now)
        return this.owner.childFailed(now, this, e.child, e.reason)
    }
  }

  /**
   * Both ends began a Quick Mode for the same child: the lower message ID goes first. If that is ours, the peer's is
   * dropped without a trace, so that its repetition may be answered later; else ours is given up.
   */
  private yieldTo(est: Established, child: ChildConfig, peersId: number): boolean {
    for (const x of est.exchanges.values()) {
      if (x.state.kind !== 'SENT' || x.state.child.policy !== child.policy) continue
      if (x.messageId < peersId) return false
      forgetQuickMode(x.state)
      est.exchanges.delete(x.messageId)
      this.tell('Quick Mode: both began, the peer goes first', 'CLOSED', x.messageId)
    }
    return true
  }

  // Informational

  private informational(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if ((header.flags & FLAG.ENCRYPTION) === 0) return this.unprotected(now, header, message)
    const protection = this.protection()
    if (protection === undefined) return this.owner.refuse(now, 'too-early')
    const { est } = this
    if (est?.messageIds.has(header.messageId)) return this.owner.refuse(now, 'message-id-reused')
    if (est !== undefined && est.messageIds.size >= this.owner.limits.messageIds)
      return this.owner.refuse(now, 'message-id-limit')
    if (est === undefined) return this.answeredWithNotify(now, protection, header, message)
    const information = openInformational(protection, header, message)
    if (information === undefined) return this.owner.refuse(now, 'bad-hash')
    this.heard(now, est, path, header.messageId)
    this.informed(now, est, information)
  }

  /** Instead of message 6: a refusal, under keys that are the same only if the pre-shared keys are. */
  private answeredWithNotify(now: Millis, protection: Protection, header: IkeHeader, message: Uint8Array): void {
    let information: Information | undefined
    try {
      information = openInformational(protection, header, message)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
    }
    if (information === undefined) {
      this.hint = 'something that does not decrypt, as it is when the pre-shared keys differ'
      const error = 'the answer to message 5 does not decrypt: the pre-shared keys differ'
      return this.owner.refuse(now, 'undecryptable', error)
    }
    const error = information.notifies.find((n) => isErrorNotify(n.type))
    if (error !== undefined) this.mainMode(now, { kind: 'REFUSED', notify: notifyName(error.type) })
  }

  /** Keys are there once Main Mode has exchanged public values. */
  private protection(): Protection | undefined {
    if (this.est !== undefined) return protectionOf(this.est.phase1)
    const s = this.state
    if (s.kind !== 'AUTH_SENT') return undefined
    return { keys: s.keys, ci: s.x.ci, cr: s.x.cr, lastBlock: s.iv }
  }

  /** Anybody may have sent it: noted for the operator, and nothing else. */
  private unprotected(now: Millis, header: IkeHeader, message: Uint8Array): void {
    const payloads = parsePayloads(message.subarray(IKE_HEADER_LEN), header.nextPayload)
    const { notifies } = informationOf(new PayloadSet(payloads, RULES.informational))
    const error = notifies.find((n) => isErrorNotify(n.type))
    if (error === undefined || this.stage !== 'CONNECTING') return this.owner.refuse(now, 'unprotected')
    const name = notifyName(error.type)
    this.hint = name
    const ours = this.owner.config.proposals.map(formatIkeProposal)
    this.owner.refuse(now, 'unprotected-notify', `the peer seems to say ${name}`, { ours })
  }

  private informed(now: Millis, est: Established, information: Information): void {
    for (const n of information.notifies) this.notified(now, est, n)
    for (const d of information.deletes) {
      if (d.protocol === PROTOCOL.ESP || d.protocol === PROTOCOL.AH) {
        const spis = d.spis.filter((s) => s.length === 4).map(spiNumber)
        this.owner.childrenDeleted(now, d.protocol === PROTOCOL.AH ? 'ah' : 'esp', spis)
      } else if (d.protocol === PROTOCOL.ISAKMP) {
        const own = cookiePair(est.phase1.ci, est.phase1.cr)
        if (d.spis.some((s) => equalOctets(s, own))) {
          this.tell('the peer deletes the IKE SA', 'CLOSED')
          this.close(now, false)
          return this.owner.closed(now, this)
        }
      }
    }
  }

  private notified(now: Millis, est: Established, n: NotifyPayload): void {
    const { ci, cr } = est.phase1
    if (n.type === NOTIFY.R_U_THERE || n.type === NOTIFY.R_U_THERE_ACK) {
      const sequence = dpdSequence(n)
      if (sequence === undefined || !equalOctets(n.spi, cookiePair(ci, cr))) return this.owner.refuse(now, 'bad-dpd')
      // An acknowledgement has done its work by being authentic and new: its message ID is good for one message.
      if (n.type === NOTIFY.R_U_THERE) this.inform([dpdPayload(NOTIFY.R_U_THERE_ACK, ci, cr, sequence)])
      return
    }
    if (!isErrorNotify(n.type)) return this.owner.env.count('ike.notify-ignored')
    const sent = [...est.exchanges.values()].filter((x) => x.state.kind === 'SENT')
    const meant = sent.find(({ state: s }) => s.kind === 'SENT' && n.spi.length === 4 && spiNumber(n.spi) === s.spi)
    const exchange = meant ?? (n.spi.length !== 4 && sent.length === 1 ? sent[0] : undefined)
    const name = notifyName(n.type)
    if (exchange !== undefined) return this.quickMode(now, est, exchange, { kind: 'REFUSED', notify: name })
    this.owner.refuse(now, 'error-notify', `the peer says ${name}`)
  }

  private askAlive(now: Millis, est: Established): void {
    const { dpd } = est
    if (dpd === undefined) return
    const idle = this.owner.inboundIdleMs()
    if (idle !== undefined) dpd.alive(now - idle)
    const sequence = dpd.due(now)
    if (sequence === 'dead') return this.owner.dead(now, this)
    if (sequence === undefined) return
    const { ci, cr } = est.phase1
    this.inform([dpdPayload(NOTIFY.R_U_THERE, ci, cr, sequence)])
  }

  // Parts

  /** An authenticated message: a sign of life, a used message ID, perhaps a new way. */
  private heard(now: Millis, est: Established, path: Path, messageId: number): void {
    est.dpd?.alive(now)
    est.messageIds.add(messageId)
    if (est.softAt !== undefined && est.messageIds.size > this.owner.limits.messageIds * 0.75)
      est.softAt = Math.min(est.softAt, now)
    if (samePath(est.path, path)) return
    est.path = {
      local: { address: new Uint8Array(path.local.address), port: path.local.port },
      remote: { address: new Uint8Array(path.remote.address), port: path.remote.port },
    }
    this.owner.moved(now, this)
  }

  private newMessageId(est: Established): number {
    for (;;) {
      const id = spiNumber(this.owner.env.random(4))
      if (id !== 0 && !est.exchanges.has(id) && !est.messageIds.has(id)) return id
    }
  }

  private inform(payloads: readonly PayloadInit[]): void {
    const { est } = this
    if (est === undefined || this.closed) return
    this.send(est.path, sealInformational(protectionOf(est.phase1), this.newMessageId(est), payloads))
  }

  /** A socket's error is as good as a lost datagram: retransmission takes care of it. */
  private send(path: Path, message: Uint8Array): void {
    try {
      this.owner.env.send(path.local, path.remote, message)
    } catch (error) {
      this.owner.env.count('ike.send-failed')
      this.owner.env.log('debug', 'ike: a message could not be sent', { peer: this.owner.config.name, error: String(error) })
    }
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

/** IKEv1 has no use for the post-quantum key. */
function pskOf(keys: FirstKeys | undefined): Uint8Array | undefined {
  wipe(keys?.ppk)
  return keys?.psk
}

export const IKE_V1: IkeVersion = {
  isFirstMessage: (h) => h.exchange === EXCHANGE.MAIN_MODE && isZero(h.responderSpi) && h.messageId === 0,
  initiate: IkeSaV1.initiate,
  answer: IkeSaV1.answer,
}

interface Established {
  readonly phase1: Phase1
  readonly at: Millis
  softAt: Millis | undefined
  readonly hardAt: Millis
  path: Path
  /** By message ID; bounded by exchangesPerSa and the number of children. */
  readonly exchanges: Map<number, Exchange>
  /** Message IDs that the peer has used, bounded by limits.messageIds: each is good for one exchange. */
  readonly messageIds: Set<number>
  dpd: DeadPeerDetection | undefined
  keepaliveAt: Millis | undefined
}

const protectionOf = (p: Phase1): Protection => ({ keys: p, ci: p.ci, cr: p.cr, lastBlock: p.lastBlock })

const isDue = (at: Millis | undefined, now: Millis): boolean => at !== undefined && at <= now
