import { equalOctets, wipe } from '../../bytes/octets.js'
import { generateKeyShare } from '../../crypto/key-exchange.js'
import { WireError } from '../../errors.js'
import type { SaProtocol } from '../../sadb/sa-spec.js'
import type { IkeHeader } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { type NotifyPayload, spiNumber, spiOctets } from '../../wire/ike/v1/notify.js'
import { isErrorNotify, NOTIFY, notifyName, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import { softSeconds } from '../child-spec.js'
import type { ChildConfig } from '../config.js'
import { earliest, isDue } from '../due.js'
import type { Millis } from '../environment.js'
import { explained, readExplanation } from '../explanation.js'
import type { Asking, IkeSa, IkeSaOwner } from '../ike-sa.js'
import { laneForPeer } from '../lanes.js'
import { PATIENCE } from '../limits.js'
import { copyPath, type Path, sameEndpoint } from '../path.js'
import { transition } from '../transition-table.js'
import { DeadPeerDetection } from './dead-peer.js'
import {
  cookiePair,
  deletePayload,
  dpdPayload,
  dpdSequence,
  type Information,
  notifyPayload,
  openInformational,
  type Protection,
  sealInformational,
} from './informational.js'
import { LastWords } from './last-words.js'
import type { Phase1 } from './main-mode-states.js'
import { MessageIds } from './message-ids.js'
import { QUICK_MODE } from './quick-mode.js'
import {
  type QuickModeContext,
  type QuickModeEffect,
  type QuickModeEvent,
  type QuickModeIn,
  type QuickModeState,
  quickModeDeadline,
} from './quick-mode-states.js'

/** Shortest lifetime of an IKE SA that a peer may set, in seconds. */
const LIFE_FLOOR = 60

interface Exchange {
  readonly messageId: number
  state: QuickModeState
}

/** What the ISAKMP SA does for what runs under it. */
export interface Phase2Host {
  readonly owner: IkeSaOwner
  readonly sa: IkeSa
  send(path: Path, message: Uint8Array): void
  tell(story: string, state: string, messageId?: number): void
}

/** Everything under an established ISAKMP SA: Quick Modes, Informationals, signs of life. Owns the keys. */
export class Phase2 {
  readonly phase1: Phase1
  readonly establishedAt: Millis
  hardAt: Millis
  softAt: Millis | undefined
  path: Path
  private readonly host: Phase2Host
  private readonly owner: IkeSaOwner
  /** By message ID; bounded by exchangesPerSa and the number of children. */
  private readonly exchanges = new Map<number, Exchange>()
  private readonly messageIds: MessageIds
  private dpd: DeadPeerDetection | undefined
  heardAt: Millis
  private keepaliveAt: Millis | undefined
  private readonly lastWords: LastWords
  private isRetired = false

  constructor(now: Millis, host: Phase2Host, phase1: Phase1) {
    const { owner, sa } = host
    const { random } = owner.env
    const ours = owner.config.ikeLifetimeSeconds
    const life = Math.min(ours, Math.max(phase1.lifeSeconds ?? ours, LIFE_FLOOR))
    const delay = owner.config.dpdDelaySeconds * 1000
    this.host = host
    this.owner = owner
    this.phase1 = phase1
    this.path = phase1.path
    this.heardAt = now
    this.establishedAt = now
    this.softAt = now + 1000 * softSeconds(life, sa.role, random(1)[0]! / 256)
    this.hardAt = now + 1000 * life
    if (phase1.capabilities.dpd)
      this.dpd = new DeadPeerDetection(now, delay, owner.limits.dpdRetransmitMs, spiNumber(random(4)) >>> 1)
    this.messageIds = new MessageIds(owner.limits.messageIds, random)
    this.lastWords = new LastWords(owner.limits.retransmitMs)
    if (phase1.nat.local) this.keepaliveAt = now + owner.limits.keepaliveMs
  }

  tick(now: Millis): void {
    for (const x of [...this.exchanges.values()])
      if (isDue(quickModeDeadline(x.state), now)) this.quickMode(now, x, { kind: this.dueOf(x.state) })
    if (isDue(this.keepaliveAt, now)) {
      this.keepaliveAt = now + this.owner.limits.keepaliveMs
      this.owner.env.sendKeepalive?.(this.path.local, this.path.remote)
    }
    for (const message of this.lastWords.due(now)) this.host.send(this.path, message)
    if (isDue(this.dpd?.nextDeadline(), now)) this.askAlive(now)
  }

  private dueOf(s: QuickModeState): 'TRAFFIC' | 'DUE' {
    return s.kind === 'ANSWERED' && this.owner.hasTraffic(s.agreed) ? 'TRAFFIC' : 'DUE'
  }

  /** Since when the peer does not answer dead peer detection. */
  silentSince(): Millis | undefined {
    return this.dpd?.silentSince()
  }

  nextDeadline(): Millis | undefined {
    return earliest([
      ...Array.from(this.exchanges.values(), (x) => quickModeDeadline(x.state)),
      this.keepaliveAt,
      this.dpd?.nextDeadline(),
      this.lastWords.nextDeadline(),
    ])
  }

  /** Begins a Quick Mode, unless one is under way for the child. */
  negotiate(now: Millis, child: ChildConfig): void {
    if (this.negotiating(child)) return
    const exchange: Exchange = { messageId: this.newMessageId(now), state: { kind: 'IDLE' } }
    this.exchanges.set(exchange.messageId, exchange)
    this.quickMode(now, exchange, { kind: 'BEGIN', child })
  }

  /** A peer that does not confirm our answer may have given up: then another one is not in the way. */
  negotiating(child: ChildConfig): boolean {
    if (this.asking(child) !== undefined) return true
    return this.answered(child).some(({ sending }) => sending.times <= PATIENCE)
  }

  private answered({ policy }: ChildConfig): QuickModeIn<'ANSWERED'>[] {
    return [...this.exchanges.values()].flatMap(({ state: s }) =>
      s.kind === 'ANSWERED' && s.agreed.child.policy === policy ? [s] : [],
    )
  }

  /** The child has no SA: traffic on one that we have answered is as good as its confirmation. */
  moveOver(now: Millis, { policy }: ChildConfig): boolean {
    for (const x of this.exchanges.values()) {
      const { state: s } = x
      if (s.kind !== 'ANSWERED' || s.agreed.child.policy !== policy || this.dueOf(s) !== 'TRAFFIC') continue
      this.quickMode(now, x, { kind: 'TRAFFIC' })
      return true
    }
    return false
  }

  /** The child has no SA, and waits for the peer's answer. */
  hurry(now: Millis, child: ChildConfig): void {
    const x = this.sentFor(child)
    if (x !== undefined) this.quickMode(now, x, { kind: 'HURRY' })
  }

  checkAlive(now: Millis): void {
    const sequence = this.dpd?.asked ?? this.dpd?.check(now)
    if (typeof sequence === 'number') this.askWith(now, sequence)
  }

  /** No more renewing and no more dead peer detection. */
  retire(): void {
    this.softAt = undefined
    this.dpd = undefined
    this.isRetired = true
  }

  /** Tells the peer that we no longer receive on SAs. @param needed the peer would send on them else */
  sendDelete(now: Millis, payload: PayloadInit, needed: boolean): void {
    const message = this.inform(now, [payload])
    if (needed) this.lastWords.add(now, message)
  }

  /**
   * Ends all exchanges and wipes the keys. With `tell` the peer gets a Delete.
   * @returns what is to be said again, Deletes of CHILD_SAs among them; nothing new for an IKE SA that the peer gives up by itself
   */
  close(now: Millis, tell: boolean): LastWords {
    const { phase1 } = this
    const words = tell ? this.lastWords : new LastWords(this.owner.limits.retransmitMs)
    if (tell) {
      const message = this.inform(now, [deletePayload(PROTOCOL.ISAKMP, [cookiePair(phase1.ci, phase1.cr)])])
      if (!this.isRetired) words.add(now, message)
    }
    for (const x of [...this.exchanges.values()]) this.quickMode(now, x, { kind: 'CANCEL' })
    wipe(phase1.d, phase1.a, phase1.key)
    return words
  }

  // Quick Mode

  /** A message of exchange type 32. @throws WireError */
  receiveQuickMode(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if (header.messageId === 0) throw new WireError('header.messageId', 20, 'is zero in Quick Mode')
    const exchange = this.exchanges.get(header.messageId)
    if (exchange === undefined) return this.firstOfQuickMode(now, path, header, message)
    const { state } = exchange
    if ('received' in state && equalOctets(state.received, message))
      return this.quickMode(now, exchange, { kind: 'REPEAT' })
    this.quickMode(now, exchange, { kind: 'MESSAGE', header, message, path })
  }

  /** Whether a message of the peer's may begin an exchange with this ID; counted if not. */
  private mayBegin(now: Millis, messageId: number): boolean {
    const obstacle = this.messageIds.obstacle(messageId)
    if (obstacle !== undefined) this.owner.refuse(now, obstacle)
    return obstacle === undefined
  }

  private firstOfQuickMode(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    const { messageId } = header
    if (!this.mayBegin(now, messageId)) return
    if (this.exchanges.size >= this.owner.limits.exchangesPerSa)
      return this.owner.refuse(now, 'exchange-limit')
    const exchange: Exchange = { messageId, state: { kind: 'IDLE' } }
    this.quickMode(now, exchange, { kind: 'FIRST', header, message, path })
  }

  private quickMode(now: Millis, x: Exchange, event: QuickModeEvent): void {
    const t = transition(QUICK_MODE, x.state, event)
    if (t === undefined) {
      if (event.kind === 'MESSAGE' || event.kind === 'REPEAT') this.owner.refuse(now, 'unexpected')
      return
    }
    const before = x.state.kind
    const { next, effects } = t.run(x.state, event, now, this.quickModeContext(now, x, event))
    x.state = next
    if (next.kind === 'CLOSED' || next.kind === 'IDLE' || this.isCrowded(next))
      this.exchanges.delete(x.messageId)
    else this.exchanges.set(x.messageId, x)
    const authentic = next.kind !== before && 'message' in event
    if (authentic) this.heard(now, event.path, x.messageId)
    const ended = next.kind === 'CLOSED' && (event.kind !== 'CANCEL' || before === 'DONE')
    // A refusal has words of its own.
    if (before !== next.kind && !ended && next.kind !== 'DECLINED')
      this.host.tell(`Quick Mode: ${t.story}`, next.kind, x.messageId)
    for (const e of effects) this.applyQuickMode(now, x, event, e)
  }

  /** What was refused is remembered while there is room for what is not. */
  private isCrowded(s: QuickModeState): boolean {
    return s.kind === 'DECLINED' && this.exchanges.size >= this.owner.limits.exchangesPerSa / 2
  }

  private quickModeContext(now: Millis, x: Exchange, event: QuickModeEvent): QuickModeContext {
    const { owner } = this
    return {
      peer: owner.config,
      limits: owner.limits,
      phase1: this.phase1,
      path: 'path' in event ? event.path : this.path,
      messageId: x.messageId,
      random: (length) => owner.env.random(length),
      newSpi: (child) => owner.newSpi(child),
      inLane: (child, spi) => laneForPeer(owner.config, child, spi, this.phase1.capabilities.lanes),
      keyShare: generateKeyShare,
      yieldTo: (child) => owner.yieldTo(now, child, x.messageId),
    }
  }

  private applyQuickMode(now: Millis, x: Exchange, event: QuickModeEvent, e: QuickModeEffect): void {
    switch (e.do) {
      case 'send':
        return this.host.send(this.path, e.message)
      case 'refuse':
        if (e.authentic && 'message' in event) this.heard(now, event.path, x.messageId)
        return this.owner.refuse(now, e.cause, e.error, e.fields)
      case 'notify': {
        const { type, protocol, spi, data } = e.refusal
        this.inform(now, [notifyPayload(type, protocol, spi, data)])
        return
      }
      case 'count':
        return this.owner.env.count(e.counter)
      case 'inbound':
        return this.owner.childInbound(now, this.host.sa, e.agreed, e.key)
      case 'outbound':
        return this.owner.childOutbound(now, this.host.sa, e.agreed, e.key)
      case 'abandon':
        return this.owner.childAbandoned(now, e.agreed)
      case 'failed':
        if (e.missing !== undefined) this.checkAlive(now)
        return this.owner.childFailed(now, this.host.sa, e.child, e.reason, e.fields, e.missing)
    }
  }

  private sentFor({ policy }: ChildConfig): Exchange | undefined {
    return [...this.exchanges.values()].find(({ state: s }) => s.kind === 'SENT' && s.child.policy === policy)
  }

  /** Our own Quick Mode for the child, which the peer has not answered yet. */
  asking(child: ChildConfig): Asking | undefined {
    const x = this.sentFor(child)
    if (x?.state.kind !== 'SENT') return undefined
    return { id: x.messageId, times: x.state.sending.times + x.state.hurried }
  }

  /** The peer's Quick Mode for the same child goes first. */
  yield(now: Millis, child: ChildConfig): void {
    const exchange = this.sentFor(child)
    if (exchange !== undefined) this.quickMode(now, exchange, { kind: 'YIELD' })
  }

  // Informational

  /** An encrypted message of exchange type 5. @throws WireError */
  receiveInformational(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void {
    if (!this.mayBegin(now, header.messageId)) return
    const information = openInformational(protectionOf(this.phase1), header, message)
    if (information === undefined) return this.owner.refuse(now, 'bad-hash')
    this.heard(now, path, header.messageId)
    this.informed(now, information)
  }

  private informed(now: Millis, information: Information): void {
    for (const n of information.notifies) this.notified(now, n)
    for (const d of information.deletes) {
      if (d.protocol === PROTOCOL.ESP || d.protocol === PROTOCOL.AH) {
        const spis = d.spis.filter((s) => s.length === 4).map(spiNumber)
        this.owner.childrenDeleted(now, d.protocol === PROTOCOL.AH ? 'ah' : 'esp', spis)
      } else if (d.protocol === PROTOCOL.ISAKMP) {
        const own = cookiePair(this.phase1.ci, this.phase1.cr)
        if (d.spis.some((s) => equalOctets(s, own))) {
          this.host.tell('the peer deletes the IKE SA', 'CLOSED')
          this.owner.closing(now, this.host.sa)
          this.host.sa.close(now, false)
          return this.owner.closed(now, this.host.sa)
        }
      }
    }
  }

  private notified(now: Millis, n: NotifyPayload): void {
    const { ci, cr } = this.phase1
    if (n.type === NOTIFY.R_U_THERE || n.type === NOTIFY.R_U_THERE_ACK) {
      const sequence = dpdSequence(n)
      if (sequence === undefined || !equalOctets(n.spi, cookiePair(ci, cr)))
        return this.owner.refuse(now, 'bad-dpd')
      // An acknowledgement has done its work by being authentic and new: its message ID is good for one message.
      if (n.type === NOTIFY.R_U_THERE) this.inform(now, [dpdPayload(NOTIFY.R_U_THERE_ACK, ci, cr, sequence)])
      return
    }
    if (n.type === NOTIFY.INITIAL_CONTACT) return this.owner.initialContact(now, this.host.sa)
    if (!isErrorNotify(n.type)) return this.owner.env.count('ike.notify-ignored')
    const sent = [...this.exchanges.values()].filter((x) => x.state.kind === 'SENT')
    const meant = sent.find(
      ({ state: s }) => s.kind === 'SENT' && n.spi.length === 4 && spiNumber(n.spi) === s.spi,
    )
    if (meant === undefined && n.type === NOTIFY.INVALID_SPI) return this.unknownToPeer(now, n)
    const exchange = meant ?? (n.spi.length !== 4 && sent.length === 1 ? sent[0] : undefined)
    const name = notifyName(n.type)
    const why = readExplanation(n.data)
    if (exchange !== undefined) return this.quickMode(now, exchange, { kind: 'REFUSED', notify: name, why })
    this.owner.refuse(now, 'error-notify', `the peer says ${explained(name, why)}`)
  }

  /** What we send on goes to nobody: as good as a Delete. */
  private unknownToPeer(now: Millis, n: NotifyPayload): void {
    // RFC 2408 section 3.14.1 leaves open where the SPI is.
    const spi = n.spi.length === 4 ? n.spi : n.data
    this.owner.env.count('ike.invalid-spi')
    if (spi.length !== 4 || (n.protocol !== PROTOCOL.ESP && n.protocol !== PROTOCOL.AH)) return
    this.owner.childrenDeleted(now, n.protocol === PROTOCOL.AH ? 'ah' : 'esp', [spiNumber(spi)])
  }

  /** A packet of the peer's came on an SPI that nobody knows. */
  unknownSpi(now: Millis, protocol: SaProtocol, spi: number): void {
    const number = protocol === 'ah' ? PROTOCOL.AH : PROTOCOL.ESP
    this.inform(now, [notifyPayload(NOTIFY.INVALID_SPI, number, spiOctets(spi))])
  }

  private askAlive(now: Millis): void {
    const { dpd } = this
    if (dpd === undefined) return
    const idle = this.owner.inboundIdleMs()
    if (idle !== undefined) dpd.alive(now - idle)
    const sequence = dpd.due(now)
    if (sequence === 'dead') return this.owner.dead(now, this.host.sa)
    if (sequence !== undefined) this.askWith(now, sequence)
  }

  private askWith(now: Millis, sequence: number): void {
    const { ci, cr } = this.phase1
    this.inform(now, [dpdPayload(NOTIFY.R_U_THERE, ci, cr, sequence)])
  }

  /** Sends payloads in an Informational of their own. Returns the message. */
  inform(now: Millis, payloads: readonly PayloadInit[]): Uint8Array {
    const message = sealInformational(protectionOf(this.phase1), this.newMessageId(now), payloads)
    this.host.send(this.path, message)
    return message
  }

  /** An authenticated message: a sign of life, a used message ID, perhaps a new way. */
  private heard(now: Millis, path: Path, messageId: number): void {
    this.dpd?.alive(now)
    this.heardAt = now
    this.messageIds.heard(messageId)
    this.countIds(now)
    this.follow(now, path)
  }

  private countIds(now: Millis): void {
    if (this.softAt !== undefined && this.messageIds.runLow) this.softAt = Math.min(this.softAt, now)
    if (this.messageIds.exhausted) this.hardAt = Math.min(this.hardAt, now)
  }

  /** Only a NAT changes a peer's address and port; ours are not for the peer to change, as in IKEv2. */
  follow(now: Millis, path: Path): void {
    const { local, remote } = this.path
    if (!this.phase1.nat.remote || !sameEndpoint(local, path.local) || sameEndpoint(remote, path.remote))
      return
    this.path = { local, remote: copyPath(path).remote }
    this.owner.moved(now, this.host.sa)
  }

  private newMessageId(now: Millis): number {
    const id = this.messageIds.take()
    this.countIds(now)
    return id
  }
}

const protectionOf = (p: Phase1): Protection => ({ keys: p, ci: p.ci, cr: p.cr, lastBlock: p.lastBlock })
