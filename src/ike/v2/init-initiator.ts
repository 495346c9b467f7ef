import { equalOctets, isZero, wipe } from '../../bytes/octets.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { checkNonce, emitKe, parseKe } from '../../wire/ike/v2/bodies.js'
import type { NotifyPayload } from '../../wire/ike/v2/notify.js'
import { NOTIFY, notifyName, PAYLOAD, PROTOCOL } from '../../wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../wire/ike/v2/sa.js'
import type { Millis } from '../environment.js'
import { type Explanation, explained } from '../explanation.js'
import { copyPath, floated } from '../path.js'
import { formatGroup, formatIkeProposal } from '../proposals.js'
import { sendAuth } from './auth-initiator.js'
import { clear, refuse } from './first-outcomes.js'
import type { FirstContext, FirstEvent, FirstIn, FirstOutcome, Keyed, Received } from './first-states.js'
import { allowFragments } from './fragmentation.js'
import {
  aboutUs,
  capabilitiesOf,
  intermediateSupport,
  NO_SPI,
  NONCE_LEN,
  readClear,
  sharedSecret,
} from './init-parts.js'
import { sendIntermediate } from './intermediate.js'
import { makeKeying } from './keying.js'
import { skeyseed } from './keys.js'
import { explainProposals } from './mismatch.js'
import { detectNat, usesUdp } from './nat.js'
import { accepted, ikeRequirement, offer } from './offer.js'
import { whole } from './outgoing.js'
import { notify, RULES } from './payload-set.js'
import { usePpk } from './ppk.js'
import { explanationIn } from './refusals.js'

// IKE_SA_INIT from the initiator's side, with its two detours: a cookie (RFC 7296 section 2.6) and another group (section
// 1.2). Nothing of a response is proved before IKE_AUTH, which covers both messages.

/** Responses that may ask for another request: a cookie, a group, and a cookie again. */
const DETOURS_MAX = 4
/** RFC 7296 section 2.6. */
const COOKIE_MAX = 64

export function begin(e: Extract<FirstEvent, { kind: 'BEGIN' }>, c: FirstContext): FirstOutcome {
  const group = c.peer.proposals[0]!.group
  const made = {
    spiI: e.spiI,
    psk: e.psk,
    ppk: e.ppk,
    ni: c.random(NONCE_LEN),
    share: c.keyShare(group),
    cookie: undefined,
    path: copyPath(e.path),
  }
  const request = requestOf(made, c)
  return {
    next: { kind: 'INIT_SENT', ...made, detours: 0, request, hint: undefined },
    effects: [{ do: 'request', path: made.path, message: whole(request) }],
  }
}

const proposalsOf = (c: FirstContext) =>
  offer(PROTOCOL.IKE, new Uint8Array(0), c.peer.proposals.map(ikeRequirement))

type Asking = Pick<FirstIn<'INIT_SENT'>, 'spiI' | 'ppk' | 'ni' | 'share' | 'cookie' | 'path'>

function requestOf(s: Asking, c: FirstContext): Uint8Array {
  const payloads: PayloadInit[] = [
    ...(s.cookie === undefined ? [] : [notify('COOKIE', s.cookie)]),
    { type: PAYLOAD.SA, body: emitSa(proposalsOf(c)) },
    { type: PAYLOAD.KE, body: emitKe({ method: s.share.group, data: s.share.publicValue }) },
    { type: PAYLOAD.NONCE, body: s.ni },
    ...aboutUs(s.spiI, NO_SPI, s.path, c.peer.encapsulation === 'udp', c),
    ...usePpk(s.ppk),
    ...intermediateSupport(c.peer.proposals.some((p) => p.additional !== undefined)),
  ]
  return clear('initiator', s.spiI, NO_SPI, payloads)
}

export function receiveInit(
  s: FirstIn<'INIT_SENT'>,
  e: Received,
  now: Millis,
  c: FirstContext,
): FirstOutcome {
  if (e.header.exchange !== EXCHANGE.IKE_SA_INIT) return refuse(s, 'exchange-type')
  const notifies = readClear(e, RULES.notifies)
  if (notifies.first(PAYLOAD.SA) === undefined) {
    const asked = notifies.notify(NOTIFY.COOKIE) ?? notifies.error()
    return asked === undefined ? refuse(s, 'unexpected') : detour(s, asked, explanationIn(notifies), c)
  }
  const set = readClear(e, RULES.init)
  const spiR = new Uint8Array(e.header.responderSpi)
  if (isZero(spiR)) return refuse(s, 'unexpected')
  const theirs = parseSa(set.need(PAYLOAD.SA))
  const choice = accepted(c.peer.proposals.map(ikeRequirement), PROTOCOL.IKE, theirs)
  if (choice === undefined) {
    const why = explainProposals(proposalsOf(c), theirs)
    return refuse(s, 'proposal-not-offered', `the peer chose what we did not offer: ${why.difference}`, why)
  }
  const capabilities = capabilitiesOf(set)
  if (s.ppk?.required === true && !capabilities.ppk)
    return hinted(s, 'that it has no post-quantum preshared key (RFC 8784), which we require', c)
  if (c.peer.signatures && !capabilities.signatures)
    return hinted(s, 'that it does not authenticate by public keys (Ed25519, RFC 8420), as we do', c)
  const proposal = c.peer.proposals[choice.index]!
  if (proposal.additional !== undefined && !capabilities.intermediate)
    return refuse(s, 'no-intermediate', 'the peer chose a second key exchange without IKE_INTERMEDIATE')
  const ke = parseKe(set.need(PAYLOAD.KE))
  const nr = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  // Our own request, sent back to us.
  if (equalOctets(ke.data, s.share.publicValue) || equalOctets(nr, s.ni)) return refuse(s, 'reflected')
  if (proposal.group !== s.share.group || ke.method !== proposal.group)
    return refuse(
      s,
      'invalid-key',
      `the peer chose ${formatIkeProposal(proposal)}, but exchanges keys with ${formatGroup(ke.method)} where we use ${formatGroup(s.share.group)}`,
    )
  const secret = sharedSecret(s.share, ke.data)
  if (secret === undefined) return refuse(s, 'invalid-key', 'the public value in the response is not valid')
  const x = { spiI: s.spiI, spiR, ni: s.ni, nr }
  const seed = skeyseed(proposal.prf, s.ni, nr, secret)
  const keying = makeKeying('initiator', proposal, seed, x, c.random)
  wipe(secret, seed)
  allowFragments(keying, set, c.peer)
  s.share.destroy()
  if (!capabilities.ppk) wipe(s.ppk?.key)
  const nat = c.peer.encapsulation === 'raw' ? undefined : detectNat(s.spiI, spiR, set, e.path)
  const claimed = nat !== undefined && (nat.claimed || claimsUdp(set.says(NOTIFY.NAT_DETECTION_SOURCE_IP), c))
  const state = nat === undefined ? { local: false, remote: false, claimed } : { ...nat, claimed }
  const keyed: Keyed = {
    keying,
    psk: s.psk,
    ppk: capabilities.ppk ? s.ppk : undefined,
    ni: s.ni,
    nr,
    request: s.request,
    response: new Uint8Array(e.message),
    capabilities,
    pendingKe: proposal.additional !== undefined,
    intAuth: undefined,
    nat: state,
    path: usesUdp(state) ? floated(s.path) : s.path,
  }
  return proposal.additional === undefined
    ? sendAuth(keyed, now, c)
    : sendIntermediate(keyed, proposal.additional, c)
}

/** Our own request claimed a NAT, and the peer has read it. */
const claimsUdp = (peerDoesNatT: boolean, c: FirstContext): boolean =>
  peerDoesNatT && c.peer.encapsulation === 'udp'

/** The responder wants another request, or none. Anybody may have said so. */
function detour(
  s: FirstIn<'INIT_SENT'>,
  asked: NotifyPayload,
  why: Explanation | undefined,
  c: FirstContext,
): FirstOutcome {
  if (s.detours >= DETOURS_MAX) return refuse(s, 'detours')
  if (asked.type === NOTIFY.COOKIE) {
    const cookie = new Uint8Array(asked.data)
    if (cookie.length === 0 || cookie.length > COOKIE_MAX) return refuse(s, 'bad-cookie')
    if (s.cookie !== undefined && equalOctets(s.cookie, cookie)) return refuse(s, 'repeated')
    return askAgain({ ...s, cookie }, c)
  }
  if (asked.type === NOTIFY.INVALID_KE_PAYLOAD && asked.data.length === 2) {
    const group = (asked.data[0]! << 8) | asked.data[1]!
    if (group === s.share.group) return refuse(s, 'repeated')
    if (!c.peer.proposals.some((p) => p.group === group))
      return hinted(s, `INVALID_KE_PAYLOAD: it wants ${formatGroup(group)}`, c)
    s.share.destroy()
    return askAgain({ ...s, share: c.keyShare(group) }, c)
  }
  return hinted(s, explained(notifyName(asked.type), why), c, why?.theirs)
}

function askAgain(s: FirstIn<'INIT_SENT'>, c: FirstContext): FirstOutcome {
  const request = requestOf(s, c)
  return {
    next: { ...s, request, detours: s.detours + 1 },
    effects: [{ do: 'request', path: s.path, message: whole(request), again: true }],
  }
}

/** Noted for the operator, and nothing else. */
function hinted(
  s: FirstIn<'INIT_SENT'>,
  text: string,
  c: FirstContext,
  theirs: readonly string[] = [],
): FirstOutcome {
  const { ours } = explainProposals(proposalsOf(c), [])
  const hint = { text, fields: { ours, ...(theirs.length > 0 && { theirs }) } }
  return refuse({ ...s, hint }, 'unprotected-notify', `the peer seems to say ${text}`, hint.fields)
}
