import { wipe } from '../../bytes/octets.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { spiNumber, spiOctets } from '../../wire/ike/v1/notify.js'
import {
  type DeletePayload,
  emitDelete,
  emitNotify,
  type NotifyPayload,
  parseDelete,
} from '../../wire/ike/v2/notify.js'
import { NOTIFY, notifyName, PAYLOAD, PROTOCOL } from '../../wire/ike/v2/numbers.js'
import { parseSa } from '../../wire/ike/v2/sa.js'
import type { Millis } from '../environment.js'
import { explained } from '../explanation.js'
import { answerCreate } from './answer-child.js'
import { answerFollowUp } from './answer-follow-up.js'
import { forgetAwaited, isAwaited } from './awaited-exchange.js'
import { type ChildRefusal, firstWithoutPfs, isRefusal, toldOf } from './child-exchange.js'
import { tokenOf } from './crash-token.js'
import type { Established } from './established.js'
import { type Answer, answer, childMade, contests, ikeMade, notNow, unreadable } from './made-by-peer.js'
import { protocolNumber } from './offer.js'
import { beside } from './one-sa.js'
import { type PeersWish, WHILE } from './own-exchanges.js'
import type { OwnedChild } from './own-states.js'
import { notify, type PayloadSet } from './payload-set.js'
import { explanationIn, refusalPayloads } from './refusals.js'
import { answerRekey } from './rekey-ike.js'

// The peer's requests under an established IKE SA, RFC 7296 sections 1.3, 1.4 and 2.25.

/** @throws WireError for what parses as payloads but makes no sense in them */
export function answerRequest(ike: Established, now: Millis, exchange: number, set: PayloadSet): Answer {
  if (exchange === EXCHANGE.INFORMATIONAL) return informational(ike, now, set)
  if (ike.phase === 'HELD') ike.used(now)
  if (exchange === EXCHANGE.IKE_FOLLOWUP_KE) return answerFollowUp(ike, now, set)
  if (exchange !== EXCHANGE.CREATE_CHILD_SA) {
    ike.owner.refuse(now, 'exchange-type')
    return unreadable(ike, now)
  }
  const wish: PeersWish = parseSa(set.need(PAYLOAD.SA)).some((p) => p.protocol === PROTOCOL.IKE)
    ? 'REKEY_IKE'
    : 'CHILD'
  if (ike.phase !== 'UP' || WHILE[ike.own.kind][wish] === 'later') return notNow(ike, now)
  return wish === 'CHILD' ? createChild(ike, now, set) : rekey(ike, now, set)
}

// CHILD_SAs

function createChild(ike: Established, now: Millis, set: PayloadSet): Answer {
  const { owner, own } = ike
  if (tooManyClosing(ike)) return notNow(ike, now)
  const named = set.notify(NOTIFY.REKEY_SA)
  const old = named && childNamed(ike, named)
  if (named !== undefined && old === undefined) {
    owner.refuse(now, 'child-sa-not-found')
    const { protocol, spi } = named
    const body = emitNotify({ protocol, spi, type: NOTIFY.CHILD_SA_NOT_FOUND, data: new Uint8Array(0) })
    return answer([{ type: PAYLOAD.NOTIFY, body }])
  }
  if (old?.closing) return notNow(ike, now)
  const answered = answerCreate(set, now, old?.agreed.child, ike.context(), (agreed) =>
    beside(ike.inUse(agreed.child)?.agreed, agreed),
  )
  if (isRefusal(answered)) {
    refused(ike, now, {
      ...answered,
      reason: `${answered.reason}${firstWithoutPfs(answered.notify, old?.agreed)}`,
    })
    const payloads = refusalPayloads(toldOf(answered))
    return answered.notify === 'INVALID_SYNTAX' ? unreadable(ike, now, payloads) : answer(payloads)
  }
  const { agreed, made, lowest, payloads } = answered
  const contested = contests(ike, agreed, old)
  // Ours goes on already, or this is the peer's second.
  const tooLate = contested && (own.kind === 'CREATING_KE' || (own.kind === 'CREATING' && own.rival))
  if (tooLate) {
    if (isAwaited(made)) forgetAwaited(made)
    else wipe(made.toInitiator, made.toResponder)
    return notNow(ike, now)
  }
  if (contested) owner.env.count('ike.simultaneous')
  if (!isAwaited(made)) return childMade(ike, now, { agreed, keymat: made, old, lowest }, payloads)
  if (contested) ike.ownEvent(now, { kind: 'CHILD_RIVAL', rival: { made: undefined, lowest } })
  return answer([...payloads, notify('ADDITIONAL_KEY_EXCHANGE', ike.await(now, { ...made, old }))])
}

/** The peer confirms no Delete: what it would make beyond that would have no bound. */
function tooManyClosing({ children, owner: { config, limits } }: Established): boolean {
  const closing = children.filter((c) => c.closing).length
  return closing >= limits.childSasPerPolicy * config.children.length
}

function childNamed(ike: Established, n: NotifyPayload): OwnedChild | undefined {
  if (n.spi.length !== 4) return undefined
  const spi = spiNumber(n.spi)
  return ike.children.find(
    ({ agreed: a }) => a.outboundSpi === spi && protocolNumber(a.proposal.protocol) === n.protocol,
  )
}

function refused(ike: Established, now: Millis, r: ChildRefusal): void {
  const cause = r.notify.toLowerCase().replaceAll('_', '-')
  // Asking for another group is a detour, no fault.
  if (r.notify === 'INVALID_KE_PAYLOAD') ike.owner.refuse(now, 'other-group-asked')
  else ike.owner.refuse(now, cause, `${r.notify}: ${r.reason}`, r.fields)
}

// The IKE SA

function rekey(ike: Established, now: Millis, set: PayloadSet): Answer {
  const { owner, own } = ike
  if (own.kind === 'REKEYING' && own.rival !== undefined) return notNow(ike, now)
  const { payloads, made, lowest, error, fields, isFatal } = answerRekey(set, ike.context())
  if (made === undefined || lowest === undefined) {
    owner.refuse(now, error === undefined ? 'other-group-asked' : 'rekey-refused', error, fields)
    return isFatal === true ? unreadable(ike, now, payloads) : answer(payloads)
  }
  if (own.kind === 'REKEYING') owner.env.count('ike.simultaneous')
  if (!isAwaited(made)) return ikeMade(ike, now, { keying: made, lowest }, payloads)
  ike.ownEvent(now, { kind: 'IKE_RIVAL', rival: { made: undefined, lowest } })
  return answer([...payloads, notify('ADDITIONAL_KEY_EXCHANGE', ike.await(now, made))])
}

// INFORMATIONAL

/** The IKE SA ends with them, RFC 7296 sections 2.21.2 and 2.21.3. */
const FATAL: Readonly<Record<string, string>> = {
  AUTHENTICATION_FAILED: 'it does not accept who we are',
  INVALID_SYNTAX: 'it cannot read what we have sent',
}

function informational(ike: Established, now: Millis, set: PayloadSet): Answer {
  const deletes = set.all(PAYLOAD.DELETE).map(parseDelete)
  if (deletes.some((d) => d.protocol === PROTOCOL.IKE)) return answer([], () => closed(ike, now))
  if (ike.phase === 'HELD' && deletes.length > 0) ike.used(now)
  ike.peersToken = tokenOf(set) ?? ike.peersToken
  const error = set.error()
  const why = explanationIn(set)
  const name = error && notifyName(error.type)
  const meaning = name && FATAL[name]
  if (name !== undefined && meaning !== undefined)
    return answer([], () => {
      const text = why === undefined ? `${name}: ${meaning}` : explained(name, why)
      ike.owner.refuse(now, 'error-notify', `the peer says ${text}`)
      closed(ike, now)
    })
  if (error !== undefined)
    ike.owner.refuse(now, 'error-notify', `the peer says ${explained(notifyName(error.type), why)}`)
  return answer(deletes.flatMap((d) => deleteChildren(ike, now, d)))
}

/** The peer ends the IKE SA. What it made to take its place, if anything, is in use from now on. */
function closed(ike: Established, now: Millis): void {
  const { own, owner, phase } = ike
  if (own.kind === 'REKEYING' && own.rival?.made !== undefined) ike.replaceBy(now, own.rival.made)
  const inUse = ike.phase === 'UP'
  const { sa } = ike.host
  if (phase === 'UP') ike.host.tell('the peer deletes the IKE SA', 'CLOSED')
  ike.endedByPeer = true
  ike.close(now, false)
  if (inUse) owner.closed(now, sa)
  else owner.gone(now, sa)
}

/** A Delete is answered with the SPIs of the other direction, apart from those that we delete at the same time. */
function deleteChildren(ike: Established, now: Millis, d: DeletePayload): PayloadInit[] {
  const spis: number[] = []
  const gone: number[] = []
  for (const spi of d.spis) {
    const n: NotifyPayload = { protocol: d.protocol, spi: spiOctets(spi), type: 0, data: new Uint8Array(0) }
    const child = childNamed(ike, n)
    if (child === undefined) continue
    const successor = ike.children.find((c) => c.replaces === child && !c.redundant)
    if (successor !== undefined) ike.move(now, successor)
    if (!child.closing) spis.push(child.agreed.inboundSpi)
    gone.push(spi)
    if (ike.own.kind === 'CREATING' && ike.own.rival?.made === child)
      ike.ownEvent(now, { kind: 'RIVAL_GONE' })
    ike.drop(child)
  }
  if (gone.length > 0) ike.owner.childrenDeleted(now, d.protocol === PROTOCOL.AH ? 'ah' : 'esp', gone)
  if (spis.length === 0) return []
  return [{ type: PAYLOAD.DELETE, body: emitDelete({ protocol: d.protocol, spis }) }]
}
