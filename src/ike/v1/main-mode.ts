import { equalSecret, isZero, wipe } from '../../bytes/octets.js'
import { WireError } from '../../errors.js'
import { EXCHANGE, IKE_HEADER_LEN, VERSION_1 } from '../../wire/ike/header.js'
import { emitMessage, type PayloadInit, parsePayloads } from '../../wire/ike/payloads.js'
import { emitId, type IdPayload, parseId } from '../../wire/ike/v1/id.js'
import { emitNotify, parseNotify, spiNumber } from '../../wire/ike/v1/notify.js'
import { DOI_IPSEC, FLAG, NOTIFY, PAYLOAD, PROTOCOL, SIT_IDENTITY_ONLY } from '../../wire/ike/v1/numbers.js'
import { emitSa, parseSa } from '../../wire/ike/v1/sa.js'
import { VENDOR_ID, vendorOf } from '../../wire/ike/v1/vendor-ids.js'
import { explainMismatch } from '../differences.js'
import type { Millis } from '../environment.js'
import { formatIdentity, sameIdentity } from '../identity.js'
import type { KeyShare } from '../../crypto/key-exchange.js'
import { copyPath, floated, type Path } from '../path.js'
import { formatIkeProposal } from '../proposals.js'
import type { Table } from '../transition-table.js'
import { cookiePair, deletePayload, notifyPayload, sealInformational } from './informational.js'
import { deriveSkeyids, encryptionKey, hashI, hashR, type Phase1Exchange, phase1Iv, skeyidPsk } from './keymat.js'
import {
  type Answered,
  type Capabilities,
  forgetMainMode,
  type MainModeContext,
  type MainModeEffect,
  type MainModeEvent,
  type MainModeIn,
  type MainModeOutcome,
  type MainModeState,
  type Phase1,
  type Phase1Keys,
  type Received,
  type Sending,
} from './main-mode-states.js'
import { checkNonce, PayloadSet, RULES } from './message-rules.js'
import { detectNat, type NatState, natPayloads, usesUdp } from './nat.js'
import { choosePhase1, offerPhase1, ownPhase1Fields, phase1Fields } from './phase1-offer.js'
import { BLOCK } from './primitives.js'
import { open, seal } from './protection.js'

// Main Mode with a pre-shared key, RFC 2409 section 5.4, with NAT detection (RFC 3947).
//
//   1  I -> R  SA, VID...              4  R -> I  KE, Nr, NAT-D...
//   2  R -> I  SA, VID...              5  I -> R  encrypted: ID, HASH_I, N(INITIAL_CONTACT)
//   3  I -> R  KE, Ni, NAT-D...        6  R -> I  encrypted: ID, HASH_R

const NONCE_LEN = 32
const NO_COOKIE = new Uint8Array(8)
const FAILED: MainModeState = { kind: 'FAILED' }

export const MAIN_MODE: Table<MainModeState, MainModeEvent, MainModeContext, MainModeEffect> = {
  IDLE: {
    BEGIN: { story: 'send message 1: our proposals', run: (_s, e, now, c) => begin(e, now, c) },
    FIRST: { story: 'message 1: choose a proposal, send message 2', run: (_s, e, now, c) => answerSa(e, now, c) },
  },
  SA_SENT: {
    MESSAGE: { story: 'message 2: proposal agreed, send message 3', run: (s, e, now, c) => sendKe(s, e, now, c) },
    DUE: { story: 'message 1 not answered', run: (s, _e, now, c) => again(s, now, c) },
  },
  KE_SENT: {
    MESSAGE: { story: 'message 4: keys made, send message 5', run: (s, e, now, c) => sendAuth(s, e, now, c) },
    REPEAT: { story: 'message 2 repeated', run: (s) => repeated(s) },
    DUE: { story: 'message 3 not answered', run: (s, _e, now, c) => again(s, now, c) },
  },
  AUTH_SENT: {
    MESSAGE: { story: 'message 6: the peer is who it should be', run: (s, e, _now, c) => checkPeer(s, e, c) },
    REPEAT: { story: 'message 4 repeated', run: (s) => repeated(s) },
    REFUSED: { story: 'the peer refuses message 5', run: (s, e) => fail(s, `the peer says ${e.notify}`) },
    DUE: { story: 'message 5 not answered', run: (s, _e, now, c) => again(s, now, c) },
  },
  SA_ANSWERED: {
    MESSAGE: { story: 'message 3: keys made, send message 4', run: (s, e, now, c) => answerKe(s, e, now, c) },
    REPEAT: { story: 'message 1 repeated, repeat message 2', run: (s, e, _now, c) => answerAgain(s, e.path, c) },
    DUE: { story: 'message 3 did not come', run: (s) => expire(s, 'message 3 did not come') },
  },
  KE_ANSWERED: {
    MESSAGE: { story: 'message 5: the peer is who it should be, send message 6', run: (s, e, _n, c) => admit(s, e, c) },
    REPEAT: { story: 'message 3 repeated, repeat message 4', run: (s, e, _now, c) => answerAgain(s, e.path, c) },
    DUE: { story: 'no valid message 5 came', run: (s) => expire(s, 'no valid message 5 came') },
  },
  ESTABLISHED: {
    REPEAT: { story: 'message 5 repeated, repeat message 6', run: (s, e, _n, c) => answerLast(s, e.path, c) },
  },
  FAILED: {},
}

// Initiator

function begin(
  e: Extract<MainModeEvent, { kind: 'BEGIN' }>,
  now: Millis,
  c: MainModeContext,
): MainModeOutcome {
  const offer = offerPhase1(c.peer.proposals, c.peer.ikeLifetimeSeconds)
  if (offer === undefined) {
    wipe(e.psk)
    const own = c.peer.proposals.map(formatIkeProposal).join(', ')
    return { next: FAILED, effects: [{ do: 'failed', reason: `IKEv1 can express none of our proposals: ${own}` }] }
  }
  const sai = emitSa(offer)
  const message = clear(e.ci, NO_COOKIE, [{ type: PAYLOAD.SA, body: sai }, ...vendors(c)])
  const path = copyPath(e.path)
  return {
    next: { kind: 'SA_SENT', ci: e.ci, psk: e.psk, sai, path, sending: firstSending(message, now, c) },
    effects: [{ do: 'send', path, message }],
  }
}

function sendKe(s: MainModeIn<'SA_SENT'>, e: Received, now: Millis, c: MainModeContext): MainModeOutcome {
  const set = readClear(e, RULES.sa)
  const cr = new Uint8Array(e.header.responderSpi)
  if (isZero(cr)) return refuse(s, 'unexpected')
  const answer = parseSa(set.need(PAYLOAD.SA))
  const choice = answer.proposals.length === 1 ? choosePhase1(c.peer.proposals, answer) : undefined
  if (choice === undefined || answer.proposals[0]!.transforms.length !== 1) {
    const error = 'the peer chose what we did not offer'
    return refuse(s, 'proposal-not-offered', error, explainMismatch(ownPhase1Fields(c.peer.proposals), phase1Fields(answer)))
  }
  const capabilities = capabilitiesOf(set)
  const share = c.keyShare(choice.proposal.group)
  const ni = c.random(NONCE_LEN)
  const claimed = claimsNat(capabilities, c)
  const message = clear(s.ci, cr, [
    { type: PAYLOAD.KE, body: share.publicValue },
    { type: PAYLOAD.NONCE, body: ni },
    ...natDetection(choice.proposal.prf, s.ci, cr, s.path, capabilities, claimed, c),
  ])
  const { ci, psk, sai, path } = s
  const received = new Uint8Array(e.message)
  const sending = firstSending(message, now, c)
  return {
    next: { kind: 'KE_SENT', ci, cr, psk, sai, path, choice, capabilities, share, ni, claimed, received, sending },
    effects: [{ do: 'send', path, message }],
  }
}

function sendAuth(s: MainModeIn<'KE_SENT'>, e: Received, now: Millis, c: MainModeContext): MainModeOutcome {
  const set = readClear(e, RULES.ke)
  const { ci, cr, ni, choice, psk, sai } = s
  const prfId = choice.proposal.prf
  const gxr = new Uint8Array(set.need(PAYLOAD.KE))
  const nr = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  const x: Phase1Exchange = { ci, cr, ni, nr, gxi: s.share.publicValue, gxr }
  const made = makeKeys(prfId, choice.proposal.encryption.keyBits, s.share, gxr, psk, x)
  if (made === undefined) return refuse(s, 'invalid-key', 'the public value in message 4 is not valid')
  const capabilities = mergeCapabilities(s.capabilities, capabilitiesOf(set))
  const natD = capabilities.natT && c.peer.encapsulation !== 'raw' ? set.all(PAYLOAD.NAT_D) : []
  const nat: NatState = {
    ...detectNat(prfId, ci, cr, natD, e.path.local, e.path.remote),
    claimed: s.claimed && natD.length > 0,
  }
  const path = usesUdp(nat) ? floated(s.path) : s.path
  const idii = emitId({ ...c.peer.localId, data: c.peer.localId.value, protocol: 0, port: 0 })
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.ID, body: idii },
    { type: PAYLOAD.HASH, body: hashI(prfId, made.skeyid, x, sai, idii) },
  ]
  if (c.initialContact) payloads.push(notifyPayload(NOTIFY.INITIAL_CONTACT, PROTOCOL.ISAKMP, cookiePair(ci, cr)))
  const sealed = seal(headOf(ci, cr), payloads, made.keys.key, phase1Iv(prfId, x.gxi, x.gxr, BLOCK))
  wipe(psk)
  const received = new Uint8Array(e.message)
  const sending = firstSending(sealed.message, now, c)
  const keyed = { ...made, x, sai, choice, capabilities, nat, path }
  return {
    next: { kind: 'AUTH_SENT', ...keyed, iv: sealed.nextIv, received, sending },
    effects: [{ do: 'send', path, message: sealed.message }],
  }
}

function checkPeer(s: MainModeIn<'AUTH_SENT'>, e: Received, c: MainModeContext): MainModeOutcome {
  const opened = open(e.header, e.message, s.keys.key, s.iv)
  const set = new PayloadSet(opened.payloads, RULES.auth)
  const idir = set.need(PAYLOAD.ID)
  if (!equalSecret(set.need(PAYLOAD.HASH), hashR(s.keys.prfId, s.skeyid, s.x, s.sai, idir)))
    return refuse(s, 'bad-hash', 'HASH_R of message 6 does not verify')
  const wrong = wrongIdentity(idir, c)
  if (wrong !== undefined) return failTelling(s, e.path, opened.nextIv, wrong, c)
  wipe(s.skeyid)
  const phase1 = phase1Of(s, e.path, opened.nextIv)
  return {
    next: { kind: 'ESTABLISHED', phase1, answered: undefined },
    effects: [{ do: 'established', phase1, initialContact: says(set, NOTIFY.INITIAL_CONTACT) }],
  }
}

// Responder

function answerSa(e: Received, now: Millis, c: MainModeContext): MainModeOutcome {
  const idle: MainModeState = { kind: 'IDLE' }
  const set = readClear(e, RULES.sa)
  const sai = new Uint8Array(set.need(PAYLOAD.SA))
  const sa = parseSa(sai)
  if (sa.doi !== DOI_IPSEC || sa.situation !== SIT_IDENTITY_ONLY) return refuse(idle, 'unsupported-doi')
  const ci = new Uint8Array(e.header.initiatorSpi)
  const choice = choosePhase1(c.peer.proposals, sa)
  if (choice === undefined) {
    const why = explainMismatch(ownPhase1Fields(c.peer.proposals), phase1Fields(sa))
    const refusal = refuse(idle, 'no-proposal-chosen', `NO_PROPOSAL_CHOSEN: ${why.difference}`, why)
    const notify = clearNotify(ci, NO_COOKIE, NOTIFY.NO_PROPOSAL_CHOSEN)
    return { ...refusal, effects: [...refusal.effects, { do: 'send', path: e.path, message: notify }] }
  }
  const psk = c.takePsk()
  if (psk === undefined) return refuse(idle, 'no-prephase')
  const cr = c.newCookie()
  const capabilities = capabilitiesOf(set)
  const answer = clear(ci, cr, [{ type: PAYLOAD.SA, body: emitSa(choice.answer) }, ...vendors(c)])
  const path = copyPath(e.path)
  const received = new Uint8Array(e.message)
  const until = now + c.limits.halfOpenMs
  return {
    next: { kind: 'SA_ANSWERED', ci, cr, psk, sai, path, choice, capabilities, received, answer, repeats: 0, until },
    effects: [{ do: 'send', path, message: answer }],
  }
}

function answerKe(s: MainModeIn<'SA_ANSWERED'>, e: Received, now: Millis, c: MainModeContext): MainModeOutcome {
  const set = readClear(e, RULES.ke)
  const { ci, cr, psk, sai, choice } = s
  const prfId = choice.proposal.prf
  const gxi = new Uint8Array(set.need(PAYLOAD.KE))
  const ni = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  const capabilities = mergeCapabilities(s.capabilities, capabilitiesOf(set))
  const share = c.keyShare(choice.proposal.group)
  const nr = c.random(NONCE_LEN)
  const x: Phase1Exchange = { ci, cr, ni, nr, gxi, gxr: share.publicValue }
  const made = makeKeys(prfId, choice.proposal.encryption.keyBits, share, gxi, psk, x)
  share.destroy()
  if (made === undefined) return refuse(s, 'invalid-key', 'the public value in message 3 is not valid')
  const natD = set.all(PAYLOAD.NAT_D)
  const natT = capabilities.natT && natD.length > 0 && c.peer.encapsulation !== 'raw'
  const claimed = natT && claimsNat(capabilities, c)
  const nat: NatState = { ...detectNat(prfId, ci, cr, natT ? natD : [], e.path.local, e.path.remote), claimed }
  const path = copyPath(e.path)
  const answer = clear(ci, cr, [
    { type: PAYLOAD.KE, body: share.publicValue },
    { type: PAYLOAD.NONCE, body: nr },
    ...(natT ? natDetection(prfId, ci, cr, path, capabilities, claimed, c) : []),
  ])
  wipe(psk)
  const received = new Uint8Array(e.message)
  const keyed = { ...made, x, sai, choice, capabilities, nat, path }
  const until = now + c.limits.halfOpenMs
  const iv = phase1Iv(prfId, x.gxi, x.gxr, BLOCK)
  return {
    next: { kind: 'KE_ANSWERED', ...keyed, iv, received, answer, repeats: 0, until },
    effects: [{ do: 'send', path, message: answer }],
  }
}

function admit(s: MainModeIn<'KE_ANSWERED'>, e: Received, c: MainModeContext): MainModeOutcome {
  const { keys, skeyid, x } = s
  const { prfId, key } = keys
  let set: PayloadSet
  let lastIv: Uint8Array
  try {
    const opened = open(e.header, e.message, key, s.iv)
    set = new PayloadSet(opened.payloads, RULES.auth)
    lastIv = opened.nextIv
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return refuse(s, 'undecryptable', 'message 5 does not decrypt: the pre-shared keys differ', { why: error.message })
  }
  const idii = set.need(PAYLOAD.ID)
  if (!equalSecret(set.need(PAYLOAD.HASH), hashI(prfId, skeyid, x, s.sai, idii)))
    return refuse(s, 'bad-hash', 'HASH_I of message 5 does not verify: the pre-shared keys differ')
  const wrong = wrongIdentity(idii, c)
  if (wrong !== undefined) return failTelling(s, e.path, lastIv, wrong, c)
  const idir = emitId({ ...c.peer.localId, data: c.peer.localId.value, protocol: 0, port: 0 })
  const payloads = [
    { type: PAYLOAD.ID, body: idir },
    { type: PAYLOAD.HASH, body: hashR(prfId, skeyid, x, s.sai, idir) },
  ]
  const sealed = seal(headOf(x.ci, x.cr), payloads, key, lastIv)
  wipe(skeyid)
  const phase1 = phase1Of(s, e.path, sealed.nextIv)
  const answered: Answered = { received: new Uint8Array(e.message), answer: sealed.message, repeats: 0 }
  return {
    next: { kind: 'ESTABLISHED', phase1, answered },
    effects: [
      { do: 'send', path: phase1.path, message: sealed.message },
      { do: 'established', phase1, initialContact: says(set, NOTIFY.INITIAL_CONTACT) },
    ],
  }
}

// Repetition and the end

function firstSending(message: Uint8Array, now: Millis, c: MainModeContext): Sending {
  return { message, times: 1, dueAt: now + (c.limits.retransmitMs[0] ?? 0) }
}

/** What it most likely means when a message stays without answer. */
const SILENCE = {
  SA_SENT:
    'no answer to message 1: the peer is unreachable on UDP 500, does not run IKEv1, or does not know our address',
  KE_SENT: 'no answer to message 3: the way to or from the peer loses long messages, or the peer refuses our group',
  AUTH_SENT:
    'no answer to message 5: the pre-shared keys differ, the peer expects another identity, or UDP 4500 is blocked (its log tells which)',
} as const

function again(s: MainModeIn<'SA_SENT' | 'KE_SENT' | 'AUTH_SENT'>, now: Millis, c: MainModeContext): MainModeOutcome {
  const { message, times } = s.sending
  const wait = c.limits.retransmitMs[times]
  if (wait === undefined) return fail(s, SILENCE[s.kind])
  return {
    next: { ...s, sending: { message, times: times + 1, dueAt: now + wait } },
    effects: [
      { do: 'count', counter: 'ike.retransmitted' },
      { do: 'send', path: s.path, message },
    ],
  }
}

const repeated = (s: MainModeState): MainModeOutcome => ({
  next: s,
  effects: [{ do: 'count', counter: 'ike.repeated' }],
})

function answerAgain(s: MainModeIn<'SA_ANSWERED' | 'KE_ANSWERED'>, path: Path, c: MainModeContext): MainModeOutcome {
  if (s.repeats >= c.limits.repeats) return refuse(s, 'repeat-limit')
  return { next: { ...s, repeats: s.repeats + 1 }, effects: repetition(path, s.answer) }
}

function answerLast(s: MainModeIn<'ESTABLISHED'>, path: Path, c: MainModeContext): MainModeOutcome {
  const { answered } = s
  if (answered === undefined || answered.repeats >= c.limits.repeats) return refuse(s, 'repeat-limit')
  return {
    next: { ...s, answered: { ...answered, repeats: answered.repeats + 1 } },
    effects: repetition(path, answered.answer),
  }
}

const repetition = (path: Path, message: Uint8Array): MainModeEffect[] => [
  { do: 'count', counter: 'ike.repeated' },
  { do: 'send', path, message },
]

function expire(s: MainModeState, reason: string): MainModeOutcome {
  forgetMainMode(s)
  return { next: FAILED, effects: [{ do: 'failed', reason }] }
}

const fail = expire

/** Ends it and says so under the new keys: the peer has proved that it has our key, but it is not who we expect. */
function failTelling(
  s: MainModeIn<'AUTH_SENT' | 'KE_ANSWERED'>,
  path: Path,
  last: Uint8Array,
  reason: string,
  c: MainModeContext,
): MainModeOutcome {
  const { ci, cr } = s.x
  const spi = cookiePair(ci, cr)
  const payloads = [
    notifyPayload(NOTIFY.INVALID_ID_INFORMATION, PROTOCOL.ISAKMP, spi),
    deletePayload(PROTOCOL.ISAKMP, [spi]),
  ]
  const protection = { keys: s.keys, ci, cr, lastBlock: last }
  const message = sealInformational(protection, (spiNumber(c.random(4)) | 1) >>> 0, payloads)
  const { next, effects } = fail(s, reason)
  return { next, effects: [{ do: 'send', path: copyPath(path), message }, ...effects] }
}

function refuse(
  next: MainModeState,
  cause: string,
  error?: string,
  fields?: Record<string, unknown>,
): MainModeOutcome {
  return {
    next,
    effects: [{ do: 'refuse', cause, ...(error !== undefined && { error }), ...(fields !== undefined && { fields }) }],
  }
}

// Parts

const headOf = (ci: Uint8Array, cr: Uint8Array) => ({ ci, cr, exchange: EXCHANGE.MAIN_MODE, messageId: 0 })

function clear(ci: Uint8Array, cr: Uint8Array, payloads: readonly PayloadInit[]): Uint8Array {
  const head = { initiatorSpi: ci, responderSpi: cr, version: VERSION_1, flags: 0, messageId: 0 }
  return emitMessage({ ...head, exchange: EXCHANGE.MAIN_MODE }, payloads)
}

/** An unprotected Informational, RFC 2409 section 5.7: a hint to the peer's operator, nothing that it may rely on. */
export function clearNotify(ci: Uint8Array, cr: Uint8Array, type: number): Uint8Array {
  const none = new Uint8Array(0)
  const body = emitNotify({ doi: DOI_IPSEC, protocol: PROTOCOL.ISAKMP, spi: none, type, data: none })
  const head = { initiatorSpi: ci, responderSpi: cr, version: VERSION_1, flags: 0, messageId: 0 }
  return emitMessage({ ...head, exchange: EXCHANGE.INFORMATIONAL_V1 }, [{ type: PAYLOAD.NOTIFY, body }])
}

/** A message of the first four. @throws WireError */
function readClear(e: Received, rules: ConstructorParameters<typeof PayloadSet>[1]): PayloadSet {
  if ((e.header.flags & FLAG.ENCRYPTION) !== 0) throw new WireError('header.flags', 19, 'is encrypted too early')
  const payloads = parsePayloads(e.message.subarray(IKE_HEADER_LEN), e.header.nextPayload)
  return new PayloadSet(payloads, rules)
}

function vendors(c: MainModeContext): PayloadInit[] {
  const bodies: Uint8Array[] = [VENDOR_ID.DPD]
  if (c.peer.encapsulation !== 'raw') bodies.push(VENDOR_ID.NAT_T)
  if (c.peer.encapsulation !== 'raw' && c.prefersUdp) bodies.push(VENDOR_ID.PREFERS_UDP)
  return bodies.map((body) => ({ type: PAYLOAD.VID, body }))
}

function capabilitiesOf(set: PayloadSet): Capabilities {
  const names = set.all(PAYLOAD.VID).map(vendorOf)
  return {
    natT: names.includes('NAT_T'),
    dpd: names.includes('DPD'),
    prefersUdp: names.includes('PREFERS_UDP'),
  }
}

const mergeCapabilities = (a: Capabilities, b: Capabilities): Capabilities => ({
  natT: a.natT || b.natT,
  dpd: a.dpd || b.dpd,
  prefersUdp: a.prefersUdp || b.prefersUdp,
})

/** Whether we say that our address is rewritten: both ends then go to port 4500 and encapsulate ESP in UDP. */
function claimsNat(peer: Capabilities, c: MainModeContext): boolean {
  if (!peer.natT || c.peer.encapsulation === 'raw') return false
  return c.peer.encapsulation === 'udp' || (c.prefersUdp && peer.prefersUdp)
}

function natDetection(
  prfId: number,
  ci: Uint8Array,
  cr: Uint8Array,
  path: Path,
  peer: Capabilities,
  claimed: boolean,
  c: MainModeContext,
): PayloadInit[] {
  if (!peer.natT || c.peer.encapsulation === 'raw') return []
  const claim = claimed ? c.random(natPayloads(prfId, ci, cr, path.local, path.remote, undefined)[0].length) : undefined
  return natPayloads(prfId, ci, cr, path.local, path.remote, claim).map((body) => ({ type: PAYLOAD.NAT_D, body }))
}

const says = (set: PayloadSet, type: number): boolean =>
  set.all(PAYLOAD.NOTIFY).some((body) => parseNotify(body).type === type)

/** Undefined when the peer's public value is not valid. */
function makeKeys(
  prfId: number,
  keyBits: number,
  share: KeyShare,
  peersPublic: Uint8Array,
  psk: Uint8Array,
  x: Phase1Exchange,
): { skeyid: Uint8Array; keys: Phase1Keys } | undefined {
  let gxy: Uint8Array
  try {
    gxy = share.computeSecret(peersPublic)
  } catch {
    return undefined
  }
  const s = deriveSkeyids(prfId, skeyidPsk(prfId, psk, x.ni, x.nr), gxy, x.ci, x.cr)
  const key = encryptionKey(prfId, s.e, keyBits / 8)
  wipe(gxy, s.e)
  return { skeyid: s.skeyid, keys: { prfId, d: s.d, a: s.a, key } }
}

/** The phase 1 identity's protocol and port are zero, or UDP and an IKE port (RFC 2407 section 4.6.2). */
const plainIdentity = (id: IdPayload): boolean =>
  (id.protocol === 0 && id.port === 0) || (id.protocol === 17 && [0, 500, 4500].includes(id.port))

/** What is wrong with the peer's authenticated identity. @throws WireError */
function wrongIdentity(body: Uint8Array, c: MainModeContext): string | undefined {
  const id = parseId(body)
  const identity = { type: id.type, value: id.data }
  if (plainIdentity(id) && sameIdentity(identity, c.peer.remoteId)) return undefined
  return `the peer has our key, but its identity is ${formatIdentity(identity)} where we expect ${formatIdentity(c.peer.remoteId)}`
}

function phase1Of(s: MainModeIn<'AUTH_SENT' | 'KE_ANSWERED'>, path: Path, last: Uint8Array): Phase1 {
  return {
    ...s.keys,
    ci: s.x.ci,
    cr: s.x.cr,
    proposal: s.choice.proposal,
    lastBlock: last,
    nat: s.nat,
    path: copyPath(path),
    lifeSeconds: s.choice.lifeSeconds,
    capabilities: s.capabilities,
  }
}
