import { wipe } from '../../bytes/octets.js'
import { ProtocolError, WireError } from '../../errors.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { spiOctets } from '../../wire/ike/v1/notify.js'
import { checkNonce, emitKe, parseKe } from '../../wire/ike/v2/bodies.js'
import { emitNotify } from '../../wire/ike/v2/notify.js'
import { NOTIFY, notifyName, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { Millis } from '../environment.js'
import type { Explanation } from '../explanation.js'
import {
  acceptChild,
  type ChildContext,
  firstWithoutPfs,
  isRefusal,
  offerChild,
  offerPayloads,
  saysNo,
} from './child-exchange.js'
import { followUp, linkOf, NO_LINK } from './follow-up-parts.js'
import { NONCE_LEN, sharedSecret } from './init-parts.js'
import { childKeymat } from './keys.js'
import { compareNonces, lowerNonce } from './nonces.js'
import { protocolNumber } from './offer.js'
import {
  forgetOwn,
  IDLE,
  type OwnContext,
  type OwnEffect,
  type OwnEvent,
  type OwnedChild,
  type OwnIn,
  type OwnOutcome,
  type Rival,
} from './own-states.js'
import type { PayloadSet } from './payload-set.js'
import { explanationIn } from './refusals.js'

// CREATE_CHILD_SA for a CHILD_SA, new or in the place of an old one, from the initiator's side: RFC 7296 sections 1.3.1 and
// 1.3.3.

/** Groups that we let the peer ask for, one after another. */
const DETOURS_MAX = 3

export const childContextOf = (c: OwnContext): ChildContext => ({
  peer: c.peer,
  nat: c.nat,
  path: c.path,
  keyExchange: true,
})

/** Says which SA is replaced: by the SPI of the sender's inbound one. */
const rekeys = (old: OwnedChild): PayloadInit => ({
  type: PAYLOAD.NOTIFY,
  body: emitNotify({
    protocol: protocolNumber(old.agreed.proposal.protocol),
    spi: spiOctets(old.agreed.inboundSpi),
    type: NOTIFY.REKEY_SA,
    data: new Uint8Array(0),
  }),
})

export function createChild(
  e: Extract<OwnEvent, { kind: 'CREATE' }>,
  now: Millis,
  c: OwnContext,
): OwnOutcome {
  const offer = offerChild(e.child, c.newSpi(e.child), now, childContextOf(c))
  if (isRefusal(offer))
    return { next: IDLE, effects: [{ do: 'child-failed', child: e.child, reason: offer.reason }] }
  const group = e.child.proposals.find((p) => p.group !== 0)?.group ?? 0
  return ask({ offer, old: e.old, detours: 0, rival: undefined }, group, c)
}

type Asking = Pick<OwnIn<'CREATING'>, 'offer' | 'old' | 'detours' | 'rival'>

function ask(s: Asking, group: number, c: OwnContext): OwnOutcome {
  const share = group === 0 ? undefined : c.keyShare(group)
  const ni = c.random(NONCE_LEN)
  const payloads: PayloadInit[] = [
    ...(s.old === undefined ? [] : [rekeys(s.old)]),
    ...offerPayloads(s.offer),
    { type: PAYLOAD.NONCE, body: ni },
    ...(share === undefined
      ? []
      : [{ type: PAYLOAD.KE, body: emitKe({ method: group, data: share.publicValue }) }]),
  ]
  return {
    next: { kind: 'CREATING', ...s, ni, share },
    effects: [{ do: 'request', exchange: EXCHANGE.CREATE_CHILD_SA, payloads }],
  }
}

export function receiveChild(s: OwnIn<'CREATING'>, set: PayloadSet, c: OwnContext): OwnOutcome {
  const error = set.error()
  if (error !== undefined && set.first(PAYLOAD.SA) === undefined) {
    if (error.type === NOTIFY.INVALID_KE_PAYLOAD && error.data.length === 2) {
      const group = (error.data[0]! << 8) | error.data[1]!
      const ours = s.offer.child.proposals.some((p) => p.group === group)
      if (ours && group !== s.share?.group && s.detours < DETOURS_MAX) {
        forgetOwn(s)
        return ask({ offer: s.offer, old: s.old, detours: s.detours + 1, rival: s.rival }, group, c)
      }
    }
    return refused(s, error.type, explanationIn(set))
  }
  // RFC 7296 section 3.10.1: whatever the error is, the request has failed. That there is an SA beside it may mean that the peer has it.
  if (error !== undefined) return unusable(s, `the peer says ${notifyName(error.type)} beside an SA`)
  try {
    return agreedOn(s, set, c)
  } catch (e) {
    if (!(e instanceof WireError || e instanceof ProtocolError)) throw e
    return unusable(s, `the response is malformed: ${e.message}`)
  }
}

function refused(s: OwnIn<'CREATING'>, type: number, why: Explanation | undefined): OwnOutcome {
  const { child } = s.offer
  forgetOwn(s)
  // The peer's own SA for the same is there, or will be: nothing is missing.
  if (s.rival !== undefined) return { next: IDLE, effects: settleRival(s.rival, false) }
  if (type === NOTIFY.TEMPORARY_FAILURE)
    return { next: IDLE, effects: [{ do: 'child-later', child, old: s.old }] }
  if (type === NOTIFY.CHILD_SA_NOT_FOUND && s.old !== undefined)
    return { next: IDLE, effects: [{ do: 'child-unknown', old: s.old, child }] }
  const { reason, fields } = saysNo(notifyName(type), why, s.offer)
  const told = `${reason}${firstWithoutPfs(notifyName(type), s.old?.agreed)}`
  return { next: IDLE, effects: [{ do: 'child-failed', child, reason: told, fields }] }
}

function agreedOn(s: OwnIn<'CREATING'>, set: PayloadSet, c: OwnContext): OwnOutcome {
  const accepted = acceptChild(s.offer, set)
  if (isRefusal(accepted)) return unusable(s, accepted.reason, accepted.fields)
  const { agreed } = accepted
  const nr = checkNonce(set.need(PAYLOAD.NONCE))
  const { group, additional } = agreed.proposal
  let gir: Uint8Array | undefined = new Uint8Array(0)
  if (group !== 0) {
    const ke = parseKe(set.need(PAYLOAD.KE))
    if (ke.method !== group || s.share?.group !== group)
      return unusable(s, 'the peer chose another group than its KE payload, or ours, has')
    gir = sharedSecret(s.share, ke.data)
  }
  if (gir === undefined) return unusable(s, 'the public value in the response is not valid')
  const stays = s.rival === undefined || compareNonces(lowerNonce(s.ni, nr), s.rival.lowest) > 0
  const rival = settleRival(s.rival, stays)
  if (additional !== undefined) {
    const link = linkOf(set)
    if (link === undefined || !stays) wipe(gir)
    if (link === undefined) return unusable(s, NO_LINK)
    forgetOwn(s)
    // Nothing is made yet that would have to be deleted (RFC 9370 section 2.2.4).
    if (!stays) return { next: IDLE, effects: rival }
    const share = c.keyShare(additional)
    const first = { gir, ni: s.ni, nr: new Uint8Array(nr), share }
    return {
      next: { kind: 'CREATING_KE', offer: s.offer, old: s.old, agreed, ...first },
      effects: [...rival, followUp(share, link)],
    }
  }
  const { keys, proposal } = c.keying
  const keymat = childKeymat(proposal.prf, keys.d, gir, s.ni, nr, agreed.proposal)
  wipe(gir)
  forgetOwn(s)
  if (stays) return { next: IDLE, effects: [...rival, { do: 'made', agreed, keymat, old: s.old }] }
  wipe(keymat.toInitiator, keymat.toResponder)
  const { protocol } = agreed.proposal
  return { next: IDLE, effects: [...rival, { do: 'unmake', protocol, spi: agreed.inboundSpi }] }
}

/** What becomes of the peer's own SA for the same. @param stays ours does */
function settleRival(rival: Rival<OwnedChild> | undefined, stays: boolean): OwnEffect[] {
  if (rival === undefined) return []
  if (rival.made !== undefined) return [{ do: 'rival-child', rival: rival.made, stays: !stays }]
  return stays ? [{ do: 'rival-stops' }] : []
}

/** The peer has made an SA that we cannot have. */
function unusable(s: OwnIn<'CREATING'>, reason: string, fields?: Record<string, unknown>): OwnOutcome {
  const { child, spi } = s.offer
  forgetOwn(s)
  return {
    next: IDLE,
    effects: [
      ...settleRival(s.rival, false),
      { do: 'unmake', protocol: child.protocol, spi },
      { do: 'child-failed', child, reason, ...(fields !== undefined && { fields }) },
    ],
  }
}
