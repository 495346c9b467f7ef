import { wipe } from '../../bytes/octets.js'
import { ProtocolError, WireError } from '../../errors.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { NOTIFY, notifyName, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { Millis } from '../environment.js'
import { explained } from '../explanation.js'
import { copyPath } from '../path.js'
import { childContext, disprove, openAuth, proof, proveSelf } from './auth-parts.js'
import {
  acceptChild,
  type ChildOffer,
  type ChildRefusal,
  isRefusal,
  offerChild,
  offerPayloads,
  refusalOf,
} from './child-exchange.js'
import { tellToken, tokenOf } from './crash-token.js'
import { fail, failTelling, refuse } from './first-outcomes.js'
import type { FirstContext, FirstIn, FirstOutcome, FirstResult, Keyed, Received } from './first-states.js'
import { identityBody } from './init-parts.js'
import { sealed } from './keying.js'
import { childKeymat } from './keys.js'
import { notify, type PayloadSet, RULES } from './payload-set.js'
import { mixed, namePpk, wipeUnshared } from './ppk.js'
import { explanationIn } from './refusals.js'
import { askForKey } from './signature.js'

// IKE_AUTH from the initiator's side: who we are, and the first CHILD_SA.

/** Sends IKE_AUTH once everything in front of it is done. */
export function sendAuth(keyed: Keyed, now: Millis, c: FirstContext): FirstOutcome {
  const { ppk } = keyed
  const unmixed = ppk && keyed.keying
  const s: Keyed = ppk === undefined ? keyed : { ...keyed, keying: mixed(keyed.keying, ppk) }
  const failing = (reason: string): FirstOutcome =>
    fail({ kind: 'AUTH_SENT', child: undefined, unmixed, ...s }, reason)
  const wanted = c.firstChild(s.capabilities.lanes, !s.capabilities.childless)
  const offered = wanted && offerChild(wanted, c.newSpi(wanted), now, childContext(s, c))
  if (offered === undefined && !s.capabilities.childless)
    return failing('no child is wanted, and the peer wants one')
  if (offered !== undefined && isRefusal(offered)) return failing(offered.reason)
  const id = identityBody(c.peer.localId)
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.ID_I, body: id },
    ...(c.initialContact ? [notify('INITIAL_CONTACT')] : []),
    { type: PAYLOAD.ID_R, body: identityBody(c.peer.remoteId) },
    ...(c.peer.signatures ? [askForKey()] : []),
    ...proveSelf(s, id, s.capabilities.asksForKey, c),
    ...(ppk === undefined ? [] : [namePpk(ppk)]),
    ...(ppk === undefined || ppk.required ? [] : [notify('NO_PPK_AUTH', proof(keyed, id, c).data)]),
    ...tellToken(c.crashSecret, s.keying),
    ...(offered === undefined ? [] : offerPayloads(offered)),
  ]
  // IKE_SA_INIT is over: this is the request behind it.
  const message = sealed(s.keying, EXCHANGE.IKE_AUTH, c.messageId + 1, false, payloads)
  return {
    next: { kind: 'AUTH_SENT', ...s, unmixed, child: offered },
    effects: [{ do: 'request', path: s.path, message }],
  }
}

const NO_PPK = 'the peer did not use the post-quantum preshared key, which we require'

/** What AUTHENTICATION_FAILED most likely means. */
const meaningOf = (c: FirstContext): string =>
  `: ${c.peer.signatures ? 'it has another public key of us' : 'the pre-shared keys differ'}, or it expects another identity of us or has another itself (its log tells which)`

export function receiveAuth(s: FirstIn<'AUTH_SENT'>, e: Received, c: FirstContext): FirstOutcome {
  const open = openAuth(s, e, RULES.authResponse)
  if (open === undefined) return refuse(s, 'bad-icv')
  let set: PayloadSet
  let keying = s.keying
  let other = s.unmixed
  try {
    set = open()
    const error = set.error()
    const isProof = set.first(PAYLOAD.ID_R) !== undefined && set.first(PAYLOAD.AUTH) !== undefined
    if (!isProof && error !== undefined) {
      const name = notifyName(error.type)
      const why = explanationIn(set)
      const meaning = why === undefined && name === 'AUTHENTICATION_FAILED' ? meaningOf(c) : ''
      return fail(s, `the peer says ${explained(name, why)}${meaning}`)
    }
    const used = s.unmixed === undefined || set.says(NOTIFY.PPK_IDENTITY)
    if (!used && s.ppk?.required === true) return failTelling(s, e.path, { reason: NO_PPK }, c)
    if (!used) [keying, other] = [s.unmixed!, s.keying]
    const wrong = disprove({ ...s, keying }, set, set.need(PAYLOAD.AUTH), c)
    if (wrong !== undefined) return failTelling(s, e.path, wrong, c)
  } catch (error) {
    if (!(error instanceof WireError || error instanceof ProtocolError)) throw error
    // The peer believes that the IKE SA is up.
    const reason = `the answer to IKE_AUTH is malformed: ${error.message}`
    return failTelling(s, e.path, { reason }, c, 'INVALID_SYNTAX')
  }
  const made = s.child === undefined ? undefined : childOf({ ...s, keying }, s.child, set)
  wipe(s.psk, s.ppk?.key)
  if (other !== undefined) wipeUnshared(other)
  const result: FirstResult = {
    keying,
    nat: s.nat,
    path: copyPath(s.path),
    peersLanes: s.capabilities.lanes,
    initialContact: set.says(NOTIFY.INITIAL_CONTACT),
    peersToken: tokenOf(set),
    child: made?.child,
    noChild: made?.noChild,
  }
  return { next: { kind: 'ESTABLISHED' }, effects: [{ do: 'established', result }] }
}

function childOf(
  s: Keyed,
  offer: ChildOffer,
  set: PayloadSet,
): Partial<Pick<FirstResult, 'child' | 'noChild'>> {
  const made = set.first(PAYLOAD.SA) !== undefined
  // Without a refusal the peer may have made it all the same.
  const mayBe = made || set.error() === undefined
  const none = ({ reason, fields }: Pick<ChildRefusal, 'reason' | 'fields'>) => ({
    noChild: { child: offer.child, reason, fields, ...(mayBe && { remove: offer.spi }) },
  })
  if (!made && set.error() === undefined)
    return none({ reason: 'the peer answers with neither an SA nor a reason' })
  try {
    const accepted = acceptChild(offer, set)
    if (isRefusal(accepted)) return none(accepted)
    const { agreed } = accepted
    const { keys, proposal } = s.keying
    const keymat = childKeymat(proposal.prf, keys.d, new Uint8Array(0), s.ni, s.nr, agreed.proposal)
    return { child: { agreed, keymat } }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return none(refusalOf(error))
  }
}
