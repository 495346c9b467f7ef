import { wipe } from '../bytes/octets.js'
import type { SaKey, SaLifetime, SaProtocol, SaSpec } from '../sadb/sa-spec.js'
import { type AgreedChild, initiatorsSpi } from './child-sa.js'
import { lifetimeOf, specOf } from './child-spec.js'
import type { ChildConfig } from './config.js'
import { earliest, isDue } from './due.js'
import type { IkeEnvironment, Millis } from './environment.js'
import type { IkeLimits } from './limits.js'
import { type Path, samePath } from './path.js'

// The CHILD_SAs of one peer. They belong to the peer and not to an IKE SA, so that renewing an IKE SA does not touch them.

/**
 * HALF: we receive on it, the peer has not confirmed yet. CURRENT: it carries the policy's traffic. REPLACED: another
 * one does, but packets may still be on their way. EXPIRED: its time is over here, and not yet at the other end.
 */
export type ChildState = 'HALF' | 'CURRENT' | 'REPLACED' | 'EXPIRED'

export interface ChildRecord {
  readonly agreed: AgreedChild
  path: Path
  state: ChildState
  readonly installedAt: Millis
  currentAt: Millis | undefined
  /** When a new one is to be negotiated, and from when on nothing is sent on this one. */
  softAt: Millis | undefined
  hardAt: Millis | undefined
  /** REPLACED, EXPIRED: when it goes. */
  deleteAt: Millis | undefined
  outboundInstalled: boolean
  /** The peer does not know it any more. */
  peerDeleted: boolean
}

/** Whom the table tells what has become due. */
export interface ChildListener {
  rekey(now: Millis, child: ChildConfig): void
  /** A policy has no SA to send on any more. @param expired it was ours to renew it: the peer has not ended it */
  lost(now: Millis, child: ChildConfig, expired: boolean): void
  /** We no longer receive on these. @param needed the peer may not give them up by itself */
  deleted(now: Millis, protocol: SaProtocol, inboundSpis: readonly number[], needed: boolean): void
}

export class ChildTable {
  private readonly env: IkeEnvironment
  private readonly limits: IkeLimits
  private readonly listener: ChildListener
  /** Oldest first; at most childSasPerPolicy for each policy. */
  private records: ChildRecord[] = []

  constructor(env: IkeEnvironment, limits: IkeLimits, listener: ChildListener) {
    this.env = env
    this.limits = limits
    this.listener = listener
  }

  all(): readonly ChildRecord[] {
    return this.records
  }

  current(child: ChildConfig): ChildRecord | undefined {
    return this.records.findLast((r) => r.state === 'CURRENT' && r.agreed.child.policy === child.policy)
  }

  hasInbound(spi: number): boolean {
    return this.records.some((r) => r.agreed.inboundSpi === spi)
  }

  /** Whether an SA with this inbound SPI is in UDP, and so may come from another port. */
  mayMove(protocol: SaProtocol, spi: number): boolean {
    return this.records.some(
      ({ agreed: a }) => a.udp && a.inboundSpi === spi && a.proposal.protocol === protocol,
    )
  }

  hasOutbound(spi: number): boolean {
    return this.records.some((r) => r.outboundInstalled && r.agreed.outboundSpi === spi)
  }

  /** Starts receiving. @param key KEYMAT, wiped here */
  addInbound(now: Millis, agreed: AgreedChild, key: Uint8Array, path: Path): void {
    this.makeRoom(now, agreed.child)
    const life = lifetimeOf(agreed, this.jitter())
    const at = (from: Millis, seconds: number | undefined): Millis | undefined =>
      seconds === undefined ? undefined : from + seconds * 1000
    const record: ChildRecord = {
      agreed,
      path,
      state: 'HALF',
      installedAt: now,
      currentAt: undefined,
      // The responder's has begun when the first request came to it, however long its answer took to come to us.
      softAt: at(agreed.startedAt, life.softSeconds),
      hardAt: at(now, life.hardSeconds),
      deleteAt: undefined,
      outboundInstalled: false,
      peerDeleted: false,
    }
    this.records.push(record)
    this.install(specOf(agreed, 'inbound', key, path, this.receivedFor(life)))
    wipe(key)
  }

  /**
   * Starts sending: the policy's traffic moves to this SA and the ones before are replaced. Of two that each
   * end began at the same time both keep the one with the lower initiator's SPI.
   * @param key KEYMAT, wiped here
   * @param stays whether it is the one that stays, where the exchanges have decided that already
   * @returns whether the SA is the policy's current one
   */
  addOutbound(now: Millis, agreed: AgreedChild, key: Uint8Array, stays?: boolean): boolean {
    const record = this.records.find((r) => r.agreed === agreed)
    if (record === undefined || record.state !== 'HALF') {
      wipe(key)
      return false
    }
    const others = this.records.filter(
      (r) => r !== record && r.state === 'CURRENT' && r.agreed.child.policy === agreed.child.policy,
    )
    // Only the responder of the exchange knows that both ends have moved when it is over.
    const keep = agreed.role === 'responder' ? this.limits.lingerMs : this.limits.lingerUnsureMs
    const better = others.find(
      (r) =>
        r.agreed.role !== agreed.role &&
        (r.currentAt ?? 0) >= agreed.startedAt &&
        initiatorsSpi(r.agreed) < initiatorsSpi(agreed),
    )
    if (stays === undefined ? better !== undefined : !stays) {
      replace(record, now + keep)
      wipe(key)
      return false
    }
    record.state = 'CURRENT'
    record.currentAt = now
    record.outboundInstalled = true
    this.install(specOf(agreed, 'outbound', key, record.path, lifetimeOf(agreed, this.jitter())))
    wipe(key)
    for (const r of others) replace(r, now + keep)
    return true
  }

  /** Takes back an SA that was never confirmed. */
  abandon(agreed: AgreedChild): void {
    const record = this.records.find((r) => r.agreed === agreed)
    if (record !== undefined && record.state === 'HALF') this.remove([record])
  }

  /**
   * The peer has deleted these, which are outbound here: both directions go. Of one that was replaced the inbound one stays a
   * little, as a Delete may overtake packets. Returns what was found.
   */
  deletedByPeer(now: Millis, protocol: SaProtocol, outboundSpis: readonly number[]): ChildRecord[] {
    const found = this.records.filter(
      (r) =>
        r.agreed.proposal.protocol === protocol &&
        outboundSpis.includes(r.agreed.outboundSpi) &&
        !r.peerDeleted,
    )
    const gone = found.filter((r) => r.deleteAt === undefined)
    this.remove(gone)
    for (const r of found) {
      r.peerDeleted = true
      if (r.deleteAt === undefined) continue
      this.stopSending(r)
      r.deleteAt = Math.min(r.deleteAt, now + this.limits.lingerMs)
    }
    this.tellLost(now, gone)
    return found
  }

  /** The peer has confirmed that it has moved away from one that was replaced: only what is on its way may still come. */
  settle(now: Millis, agreed: AgreedChild): void {
    const record = this.records.find((r) => r.agreed === agreed && r.state === 'REPLACED')
    if (record?.deleteAt !== undefined)
      record.deleteAt = Math.min(record.deleteAt, now + this.limits.lingerMs)
  }

  /** The IKE SA that they belonged to has ended: they have, too. */
  endWith(now: Millis, agreed: readonly AgreedChild[]): void {
    const gone = this.records.filter((r) => agreed.includes(r.agreed))
    this.remove(gone)
    this.tellLost(now, gone)
  }

  /** The data path reports a limit. */
  expire(now: Millis, key: SaKey, limit: 'soft' | 'hard'): void {
    const record = this.records.find(
      (r) =>
        r.agreed.proposal.protocol === key.protocol &&
        key.spi === (key.direction === 'inbound' ? r.agreed.inboundSpi : r.agreed.outboundSpi),
    )
    if (record === undefined) return
    if (limit === 'hard') this.end(now, [record])
    else if (record.state === 'CURRENT' && (record.softAt === undefined || record.softAt > now))
      this.renew(now, record)
  }

  /** The peer is reached another way: what goes to it in UDP goes there. */
  redirect(now: Millis, path: Path): void {
    const moved = this.records.filter((r) => r.agreed.udp && !samePath(r.path, path))
    for (const r of moved) {
      r.path = path
      if (!r.outboundInstalled) continue
      const { proposal, outboundSpi, child } = r.agreed
      const key = { direction: 'outbound', protocol: proposal.protocol, spi: outboundSpi } as const
      this.env.redirectSa?.({ ...key, policy: child.policy }, path.remote)
    }
    if (moved.length > 0 && this.env.redirectSa === undefined) this.renewAll(now)
  }

  /** Asks for new ones in the place of all that are current. */
  private renewAll(now: Millis): void {
    for (const r of this.records.filter((x) => x.state === 'CURRENT')) this.renew(now, r)
  }

  /**
   * Ends the SAs of a child, and the peer is told; nobody is told of the loss. One that the peer has not confirmed is left: it
   * could not be told of it.
   */
  endAll(now: Millis, child: ChildConfig): void {
    this.end(
      now,
      this.records.filter((r) => r.agreed.child === child && r.state !== 'HALF'),
      false,
    )
  }

  /** Removes all, or those installed before a time. Nobody is told. */
  clear(before?: Millis): void {
    this.remove(this.records.filter((r) => before === undefined || r.installedAt < before))
  }

  /** Inbound SPIs of all, by protocol: what a Delete names. */
  inboundSpis(): Map<SaProtocol, number[]> {
    const out = new Map<SaProtocol, number[]>()
    for (const { agreed } of this.records) {
      const list = out.get(agreed.proposal.protocol) ?? []
      out.set(agreed.proposal.protocol, [...list, agreed.inboundSpi])
    }
    return out
  }

  tick(now: Millis): void {
    for (const r of this.records.filter((x) => isDue(x.hardAt, now))) this.expired(now, r)
    const over = this.records.filter((r) => isDue(r.deleteAt, now))
    if (over.length > 0) this.end(now, over)
    for (const r of this.records.filter((x) => x.state === 'CURRENT' && isDue(x.softAt, now)))
      this.renew(now, r)
  }

  /** Milliseconds since the last packet came in on a CHILD_SA; undefined when none has. */
  idleMs({ proposal, inboundSpi }: AgreedChild): number | undefined {
    return this.env.inboundIdleMs?.({ direction: 'inbound', protocol: proposal.protocol, spi: inboundSpi })
  }

  /** The least of them. */
  leastIdleMs(): number | undefined {
    let least: number | undefined
    for (const { agreed } of this.all()) {
      const idle = this.idleMs(agreed)
      if (idle !== undefined && (least === undefined || idle < least)) least = idle
    }
    return least
  }

  nextDeadline(): Millis | undefined {
    return earliest(
      this.records.flatMap((r) => [r.state === 'CURRENT' ? r.softAt : undefined, r.hardAt, r.deleteAt]),
    )
  }

  /** A new one is asked for now, and again if nothing comes of it. */
  private renew(now: Millis, r: ChildRecord): void {
    r.softAt = now + this.limits.retryMs * (1 + this.jitter())
    this.listener.rekey(now, r.agreed.child)
  }

  /**
   * Its time is over: nothing is sent on it any more. The other end's began later by what the exchange took, and until then it
   * has nothing else to send on when the messages of a renewal are lost.
   */
  private expired(now: Millis, r: ChildRecord): void {
    const wasCurrent = r.state === 'CURRENT'
    r.hardAt = undefined
    if (r.state !== 'REPLACED') r.state = 'EXPIRED'
    r.deleteAt = Math.min(r.deleteAt ?? Number.POSITIVE_INFINITY, now + this.limits.lingerMs)
    this.stopSending(r)
    if (wasCurrent && this.current(r.agreed.child) === undefined)
      this.listener.lost(now, r.agreed.child, true)
  }

  /** The limits of an inbound SA, whose time is longer by that. */
  private receivedFor(life: SaLifetime): SaLifetime {
    const { hardSeconds } = life
    return hardSeconds === undefined
      ? life
      : { ...life, hardSeconds: hardSeconds + this.limits.lingerMs / 1000 }
  }

  /** Ours to end: the peer is told. */
  private end(now: Millis, gone: readonly ChildRecord[], tell = true): void {
    this.remove(gone)
    for (const protocol of ['esp', 'ah'] as const) {
      const such = gone.filter((r) => r.agreed.proposal.protocol === protocol && !r.peerDeleted)
      const spis = such.map((r) => r.agreed.inboundSpi)
      const needed = such.some((r) => r.state === 'CURRENT' || r.state === 'EXPIRED')
      if (spis.length > 0) this.listener.deleted(now, protocol, spis, needed)
    }
    if (tell) this.tellLost(now, gone)
  }

  private tellLost(now: Millis, gone: readonly ChildRecord[]): void {
    for (const r of gone)
      if (r.state === 'CURRENT' && this.current(r.agreed.child) === undefined)
        this.listener.lost(now, r.agreed.child, false)
  }

  private remove(gone: readonly ChildRecord[]): void {
    this.records = this.records.filter((r) => !gone.includes(r))
    for (const r of gone) {
      this.stopSending(r)
      const { proposal, inboundSpi: spi } = r.agreed
      this.env.deleteSa({ direction: 'inbound', protocol: proposal.protocol, spi })
    }
  }

  private stopSending(r: ChildRecord): void {
    if (!r.outboundInstalled) return
    r.outboundInstalled = false
    const { proposal, outboundSpi: spi, child } = r.agreed
    this.env.deleteSa({ direction: 'outbound', protocol: proposal.protocol, spi, policy: child.policy })
  }

  /** The data path has its own copy of the keys when addSa returns. */
  private install(spec: SaSpec): void {
    this.env.addSa(spec)
    wipe(spec.encryption?.key, spec.integrity?.key)
  }

  private makeRoom(now: Millis, child: ChildConfig): void {
    const such = this.records.filter((r) => r.agreed.child.policy === child.policy)
    if (such.length < this.limits.childSasPerPolicy) return
    const oldest = such.find((r) => r.state !== 'CURRENT') ?? such[0]!
    this.end(now, [oldest])
  }

  /** 0 to 1. */
  private jitter(): number {
    return this.env.random(1)[0]! / 256
  }
}

function replace(r: ChildRecord, deleteAt: Millis): void {
  r.state = 'REPLACED'
  r.deleteAt = deleteAt
}
