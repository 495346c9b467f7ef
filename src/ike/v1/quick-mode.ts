import { equalOctets, wipe } from '../../bytes/octets.js'
import { encryptionInfo, integrityInfo } from '../../crypto/algorithms.js'
import { WireError } from '../../errors.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { parseId, selectorOfId } from '../../wire/ike/v1/id.js'
import { spiOctets } from '../../wire/ike/v1/notify.js'
import { DOI_IPSEC, NOTIFY, PAYLOAD, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import { emitSa, parseSa, type SaPayload } from '../../wire/ike/v1/sa.js'
import type { AgreedChild, Role } from '../child-sa.js'
import type { ChildConfig } from '../config.js'
import { explainMismatch } from '../differences.js'
import type { Millis } from '../environment.js'
import { NAT_T_PORT } from '../path.js'
import type { ChildProposal } from '../proposals.js'
import type { Table } from '../transition-table.js'
import { childKeymat, hash1, hash2, hash3, phase2Iv } from './keymat.js'
import type { Received } from './main-mode-states.js'
import { checkNonce, PayloadSet, RULES } from './message-rules.js'
import { usesUdp } from './nat.js'
import {
  choosePhase2,
  offerable,
  offerPhase2,
  ownPhase2Fields,
  type Phase2Choice,
  type Phase2Variant,
  phase2Fields,
  phase2Obstacle,
  variantsOf,
} from './phase2-offer.js'
import { BLOCK } from './primitives.js'
import { open, type Opened, seal, verifyHash, withHash } from './protection.js'
import {
  type ChildKeys,
  forgetQuickMode,
  type QuickModeContext,
  type QuickModeEffect,
  type QuickModeEvent,
  type QuickModeIn,
  type QuickModeOutcome,
  type QuickModeState,
} from './quick-mode-states.js'
import {
  formatChildSelectors,
  formatPair,
  idsOf,
  originalAddresses,
  sameSelector,
  type SelectorPair,
  selectorsFrom,
  serves,
} from './selectors.js'

// Quick Mode, RFC 2409 section 5.5, with and without its own key exchange. All messages are encrypted.
//
//   1  I -> R  HASH(1), SA, Ni, [KE], IDci, IDcr, [NAT-OA...]
//   2  R -> I  HASH(2), SA, Nr, [KE], IDci, IDcr, [NAT-OA...]
//   3  I -> R  HASH(3)
//
// No packet is lost: the responder receives on the new SA before message 2 leaves, the initiator before message 3 does,
// and nobody sends on it before the other end receives.

const NONCE_LEN = 32
const CLOSED: QuickModeState = { kind: 'CLOSED' }

export const QUICK_MODE: Table<QuickModeState, QuickModeEvent, QuickModeContext, QuickModeEffect> = {
  IDLE: {
    BEGIN: { story: 'send message 1', run: (_s, e, now, c) => begin(e.child, now, c) },
    FIRST: { story: 'message 1: agreed, send message 2', run: (_s, e, now, c) => answer(e, now, c) },
  },
  SENT: {
    MESSAGE: { story: 'message 2: agreed, send message 3', run: (s, e, now, c) => finish(s, e, now, c) },
    REFUSED: { story: 'the peer refuses', run: (s, e) => fail(s, s.child, `the peer says ${e.notify}`) },
    CANCEL: { story: 'given up', run: (s, e) => fail(s, s.child, e.reason) },
    DUE: { story: 'message 1 not answered', run: (s, _e, now, c) => repeatFirst(s, now, c) },
  },
  ANSWERED: {
    MESSAGE: { story: 'message 3: confirmed', run: (s, e, now, c) => confirm(s, e, now, c) },
    REPEAT: { story: 'message 1 repeated, repeat message 2', run: (s, _e, _now, c) => repeatSecond(s, c) },
    TRAFFIC: { story: 'traffic confirms', run: (s, _e, now, c) => settle(s, s.received, now, c) },
    CANCEL: { story: 'given up', run: (s) => abandon(s) },
    DUE: { story: 'message 3 has not come', run: (s, _e, now, c) => remind(s, now, c) },
  },
  DONE: {
    REPEAT: { story: 'repeated, answer with the same octets', run: (s, _e, _now, c) => repeatLast(s, c) },
    DUE: { story: 'forgotten', run: () => ({ next: CLOSED, effects: [] }) },
  },
  CLOSED: {},
}

// Initiator

function begin(child: ChildConfig, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const impossible = (reason: string): QuickModeOutcome => ({
    next: CLOSED,
    effects: [{ do: 'failed', child, reason, silent: false }],
  })
  const carried = carriedAs(child, 'initiator', c)
  if (typeof carried === 'string') return impossible(carried)
  const variants = offerable(variantsOf(child, carried))
  const first = variants[0]
  if (first === undefined) return impossible(child.proposals.map(phase2Obstacle).join('; '))
  const ids = idsOf(child)
  if (typeof ids === 'string') return impossible(ids)
  const spi = c.newSpi()
  const ni = c.random(NONCE_LEN)
  const share = first.proposal.group === 0 ? undefined : c.keyShare(first.proposal.group)
  const { hardSeconds, hardOctets } = child.lifetime
  const kilobytes = hardOctets === undefined ? undefined : Math.max(1, Math.floor(hardOctets / 1024))
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.SA, body: emitSa(offerPhase2(variants, spi, { seconds: hardSeconds, kilobytes })) },
    { type: PAYLOAD.NONCE, body: ni },
    ...(share === undefined ? [] : [{ type: PAYLOAD.KE, body: share.publicValue }]),
    ...ids.map((body) => ({ type: PAYLOAD.ID, body })),
    ...natOa(first, c.path.local.address, c.path.remote.address),
  ]
  const { prfId, a, lastBlock, key } = c.phase1
  const hashed = withHash(payloads, (rest) => hash1(prfId, a, c.messageId, rest))
  const sealed = seal(headOf(c), hashed, key, phase2Iv(prfId, lastBlock, c.messageId, BLOCK))
  const sending = { message: sealed.message, times: 1, dueAt: now + (c.limits.retransmitMs[0] ?? 0) }
  return {
    next: { kind: 'SENT', child, variants, spi, ni, share, ids, iv: sealed.nextIv, sending, startedAt: now },
    effects: [{ do: 'send', message: sealed.message }],
  }
}

function finish(s: QuickModeIn<'SENT'>, e: Received, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const { prfId, a, key } = c.phase1
  const opened = open(e.header, e.message, key, s.iv)
  if (!verifyHash(opened, (rest) => hash2(prfId, a, c.messageId, s.ni, rest))) return unverified(s)
  // From here on the message is the peer's own: what is wrong with it ends the exchange.
  try {
    const set = new PayloadSet(opened.payloads, RULES.quick)
    const sa = parseSa(set.need(PAYLOAD.SA))
    const choice = singleTransform(sa) ? choosePhase2(s.variants, sa) : undefined
    if (choice === undefined) {
      const why = explainMismatch(ownPhase2Fields(s.variants), phase2Fields(sa))
      return fail(s, s.child, `the peer chose what we did not offer: ${why.difference}`)
    }
    const ids = set.all(PAYLOAD.ID)
    if (ids.length !== 0 && !sameIds(ids, s.ids))
      return fail(s, s.child, 'the peer answered with other traffic selectors than we asked for')
    const gxy = sharedSecret(s.share, set.first(PAYLOAD.KE), choice.variant.proposal.group)
    if (gxy === undefined) return fail(s, s.child, 'the public value in message 2 is missing or not valid')
    const nr = checkNonce(set.need(PAYLOAD.NONCE))
    const agreed = agree(s.child, 'initiator', choice, s.spi, configured(s.child), s.startedAt)
    const keys = makeKeys(agreed, gxy, s.ni, nr, c)
    const last = [{ type: PAYLOAD.HASH, body: hash3(prfId, a, c.messageId, s.ni, nr) }]
    const { message } = seal(headOf(c), last, key, opened.nextIv)
    forgetQuickMode(s)
    const received = new Uint8Array(e.message)
    return {
      next: { kind: 'DONE', received, answer: message, repeats: 0, until: now + c.limits.finishedMs },
      effects: [
        { do: 'inbound', agreed, key: keys.inbound },
        { do: 'send', message },
        { do: 'outbound', agreed, key: keys.outbound },
      ],
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return fail(s, s.child, `message 2 is malformed: ${error.message}`)
  }
}

// Responder

function answer(e: Received, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const idle: QuickModeState = { kind: 'IDLE' }
  const { prfId, a, key, lastBlock, nat } = c.phase1
  const opened = open(e.header, e.message, key, phase2Iv(prfId, lastBlock, c.messageId, BLOCK))
  if (!verifyHash(opened, (rest) => hash1(prfId, a, c.messageId, rest))) return unverified(idle)
  let sa: SaPayload
  let set: PayloadSet
  try {
    set = new PayloadSet(opened.payloads, RULES.quick)
    checkNonce(set.need(PAYLOAD.NONCE))
    sa = parseSa(set.need(PAYLOAD.SA))
    if (sa.doi !== DOI_IPSEC) throw new WireError('SA.doi', 0, `${sa.doi} is not IPsec`)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return decline(undefined, 'PAYLOAD_MALFORMED', `message 1 is malformed: ${error.message}`)
  }
  const found = findChild(set, opened, sa, c)
  if (typeof found === 'string') {
    const ours = c.peer.children.map((child) => `${child.name}: ${formatChildSelectors(child)}`)
    return decline(sa, 'INVALID_ID_INFORMATION', `no child for these selectors: ${found}`, { ours, theirs: found })
  }
  const { child, pair } = found
  const carried = carriedAs(child, 'responder', c)
  const variants = typeof carried === 'string' ? [] : variantsOf(child, carried)
  const choice = choosePhase2(variants, sa)
  if (choice === undefined) {
    const why = explainMismatch(ownPhase2Fields(variants), phase2Fields(sa))
    const text = typeof carried === 'string' ? carried : why.difference
    return decline(sa, 'NO_PROPOSAL_CHOSEN', `child ${child.name}: ${text}`, { ...why, child: child.name })
  }
  const { group } = choice.variant.proposal
  if ((group !== 0) !== (set.first(PAYLOAD.KE) !== undefined))
    return decline(sa, 'INVALID_KEY_INFORMATION', `child ${child.name}: group and KE payload do not fit`)
  if (!c.yieldTo(child)) return refusal(idle, 'simultaneous', false)
  const share = group === 0 ? undefined : c.keyShare(group)
  const gxy = sharedSecret(share, set.first(PAYLOAD.KE), group)
  share?.destroy()
  if (gxy === undefined)
    return decline(sa, 'INVALID_KEY_INFORMATION', `child ${child.name}: the public value in message 1 is not valid`)
  const ni = new Uint8Array(set.need(PAYLOAD.NONCE))
  const nr = c.random(NONCE_LEN)
  const agreed = agree(child, 'responder', choice, c.newSpi(), pair, now)
  const keys = makeKeys(agreed, gxy, ni, nr, c)
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.SA, body: emitSa(choice.answer(agreed.inboundSpi)) },
    { type: PAYLOAD.NONCE, body: nr },
    ...(share === undefined ? [] : [{ type: PAYLOAD.KE, body: share.publicValue }]),
    ...set.all(PAYLOAD.ID).map((body) => ({ type: PAYLOAD.ID, body })),
    ...(nat.local || nat.remote ? natOa(choice.variant, c.path.remote.address, c.path.local.address) : []),
  ]
  const hashed = withHash(payloads, (rest) => hash2(prfId, a, c.messageId, ni, rest))
  const sealed = seal(headOf(c), hashed, key, opened.nextIv)
  const sending = { message: sealed.message, times: 1, dueAt: now + (c.limits.retransmitMs[0] ?? 0) }
  const received = new Uint8Array(e.message)
  const state = { agreed, outboundKey: keys.outbound, ni, nr, iv: sealed.nextIv, received, repeats: 0, sending }
  return {
    next: { kind: 'ANSWERED', ...state },
    effects: [
      { do: 'inbound', agreed, key: keys.inbound },
      { do: 'send', message: sealed.message },
    ],
  }
}

function confirm(s: QuickModeIn<'ANSWERED'>, e: Received, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const { prfId, a, key } = c.phase1
  const opened = open(e.header, e.message, key, s.iv)
  const set = new PayloadSet(opened.payloads, RULES.quickLast)
  const expected = hash3(prfId, a, c.messageId, s.ni, s.nr)
  if (!equalOctets(set.need(PAYLOAD.HASH), expected)) return unverified(s)
  return settle(s, new Uint8Array(e.message), now, c)
}

function settle(
  s: QuickModeIn<'ANSWERED'>,
  received: Uint8Array,
  now: Millis,
  c: QuickModeContext,
): QuickModeOutcome {
  return {
    next: { kind: 'DONE', received, answer: undefined, repeats: 0, until: now + c.limits.finishedMs },
    effects: [{ do: 'outbound', agreed: s.agreed, key: s.outboundKey }],
  }
}

interface Found {
  readonly child: ChildConfig
  readonly pair: SelectorPair
}

/** The child that message 1 is about; a text that shows the selectors when there is none. */
function findChild(set: PayloadSet, _opened: Opened, sa: SaPayload, c: QuickModeContext): Found | string {
  const protocols = sa.proposals.map((p) => (p.protocol === PROTOCOL.AH ? 'ah' : 'esp'))
  let seen = ''
  try {
    // Transport mode decides what the identities mean, and the child decides the mode.
    for (const mode of ['tunnel', 'transport'] as const) {
      const pair = selectorsFrom(set.all(PAYLOAD.ID), c.path, c.phase1.nat, mode === 'transport')
      if (mode === 'tunnel') seen = formatPair(pair)
      const serving = c.peer.children.filter((child) => child.mode === mode && serves(child, pair))
      const child = serving.find((s) => protocols.includes(s.protocol)) ?? serving[0]
      if (child !== undefined) return { child, pair }
    }
    return seen
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return error.message
  }
}

// Repetition and the end

function repeatFirst(s: QuickModeIn<'SENT'>, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const { message, times } = s.sending
  const wait = c.limits.retransmitMs[times]
  if (wait === undefined) return fail(s, s.child, 'no answer to Quick Mode message 1', true)
  return { next: { ...s, sending: { message, times: times + 1, dueAt: now + wait } }, effects: resent(message) }
}

/** Message 3 has no answer of its own, so that the responder has to ask for it with message 2. */
function remind(s: QuickModeIn<'ANSWERED'>, now: Millis, c: QuickModeContext): QuickModeOutcome {
  if (c.hasTraffic(s.agreed)) return settle(s, s.received, now, c)
  const { message, times } = s.sending
  const wait = c.limits.retransmitMs[times]
  if (wait === undefined) return abandon(s)
  return { next: { ...s, sending: { message, times: times + 1, dueAt: now + wait } }, effects: resent(message) }
}

function repeatSecond(s: QuickModeIn<'ANSWERED'>, c: QuickModeContext): QuickModeOutcome {
  if (s.repeats >= c.limits.repeats) return refusal(s, 'repeat-limit', false)
  return { next: { ...s, repeats: s.repeats + 1 }, effects: resent(s.sending.message) }
}

function repeatLast(s: QuickModeIn<'DONE'>, c: QuickModeContext): QuickModeOutcome {
  if (s.answer === undefined || s.repeats >= c.limits.repeats) return refusal(s, 'repeated', false)
  return { next: { ...s, repeats: s.repeats + 1 }, effects: resent(s.answer) }
}

const resent = (message: Uint8Array): QuickModeEffect[] => [
  { do: 'count', counter: 'ike.retransmitted' },
  { do: 'send', message },
]

function abandon(s: QuickModeIn<'ANSWERED'>): QuickModeOutcome {
  forgetQuickMode(s)
  const reason = 'Quick Mode message 3 did not come'
  return {
    next: CLOSED,
    effects: [
      { do: 'abandon', agreed: s.agreed },
      { do: 'failed', child: s.agreed.child, reason, silent: true },
    ],
  }
}

/** @param silent the peer did not answer at all */
function fail(s: QuickModeState, child: ChildConfig, reason: string, silent = false): QuickModeOutcome {
  forgetQuickMode(s)
  return { next: CLOSED, effects: [{ do: 'failed', child, reason, silent }] }
}

const unverified = (s: QuickModeState): QuickModeOutcome => refusal(s, 'bad-hash', false)

const refusal = (next: QuickModeState, cause: string, authentic: boolean): QuickModeOutcome => ({
  next,
  effects: [{ do: 'refuse', cause, authentic }],
})

/** Refuses an authenticated message 1 and tells the peer so. */
function decline(
  sa: SaPayload | undefined,
  notify: keyof typeof NOTIFY,
  error: string,
  fields: Record<string, unknown> = {},
): QuickModeOutcome {
  const proposal = sa?.proposals[0]
  const answer = {
    type: NOTIFY[notify],
    protocol: proposal?.protocol ?? PROTOCOL.ESP,
    spi: new Uint8Array(proposal?.spi ?? []),
  }
  const cause = notify.toLowerCase().replaceAll('_', '-')
  const effect = { do: 'refuse', cause, authentic: true, error: `${notify}: ${error}`, fields, notify: answer } as const
  return { next: { kind: 'IDLE' }, effects: [effect] }
}

// Parts

const headOf = (c: QuickModeContext) => ({
  ci: c.phase1.ci,
  cr: c.phase1.cr,
  exchange: EXCHANGE.QUICK_MODE,
  messageId: c.messageId,
})

/** Whether the SA may be in UDP, raw, or both, in order of preference; a text that says why not at all. */
function carriedAs(child: ChildConfig, role: Role, c: QuickModeContext): readonly boolean[] | string {
  const { nat } = c.phase1
  const rewritten = nat.local || (nat.remote && !nat.claimed)
  if (child.protocol === 'ah')
    return rewritten ? `child ${child.name}: AH cannot pass a NAT, which changes what it protects` : [false]
  // On port 4500 one end at least has found a NAT, or wants UDP.
  const udp = c.peer.encapsulation !== 'raw' && (usesUdp(nat) || c.path.local.port === NAT_T_PORT)
  if (c.peer.encapsulation === 'udp')
    return udp ? [true] : `child ${child.name}: encapsulation is udp, but the peer does not do NAT traversal`
  if (!udp) return [false]
  // A NAT was found or claimed: raw ESP would be dropped, or is what the other end does not want.
  return role === 'initiator' ? [true] : [true, false]
}

function natOa(v: Phase2Variant, initiator: Uint8Array, responder: Uint8Array): PayloadInit[] {
  if (v.mode !== 'transport' || !v.udp) return []
  return originalAddresses(initiator, responder).map((body) => ({ type: PAYLOAD.NAT_OA, body }))
}

const configured = (child: ChildConfig): SelectorPair => ({ local: child.localTs[0]!, remote: child.remoteTs[0]! })

const singleTransform = (sa: SaPayload): boolean =>
  sa.proposals.length === 1 && sa.proposals[0]!.transforms.length === 1

/** Whether the responder's identities mean the same as ours; it may write them in another way. @throws WireError */
function sameIds(theirs: readonly Uint8Array[], ours: readonly Uint8Array[]): boolean {
  return (
    theirs.length === ours.length &&
    theirs.every((body, i) => sameSelector(selectorOfId(parseId(body)), selectorOfId(parseId(ours[i]!))))
  )
}

/** g^xy of Quick Mode: empty without PFS; undefined when the peer's value is missing or not valid. */
function sharedSecret(
  share: { computeSecret(peer: Uint8Array): Uint8Array } | undefined,
  peersPublic: Uint8Array | undefined,
  group: number,
): Uint8Array | undefined {
  if (group === 0) return peersPublic === undefined ? new Uint8Array(0) : undefined
  if (share === undefined || peersPublic === undefined) return undefined
  try {
    return share.computeSecret(peersPublic)
  } catch {
    return undefined
  }
}

function agree(
  child: ChildConfig,
  role: Role,
  choice: Phase2Choice,
  inboundSpi: number,
  pair: SelectorPair,
  startedAt: Millis,
): AgreedChild {
  const { proposal, mode, udp } = choice.variant
  const { seconds, kilobytes } = choice.life
  const lifeOctets = kilobytes === undefined ? undefined : kilobytes * 1024
  return {
    ...{ child, role, proposal, mode, udp, inboundSpi, outboundSpi: choice.peerSpi, startedAt },
    localTs: [pair.local],
    remoteTs: [pair.remote],
    lifeSeconds: seconds,
    lifeOctets,
  }
}

/** Octets of KEYMAT: cipher key and salt, then integrity key. */
export function keymatLength(p: ChildProposal): number {
  const cipher = p.encryption === undefined ? undefined : encryptionInfo(p.encryption.id)
  const key = cipher === undefined ? 0 : cipher.hasKeyLengthAttribute ? p.encryption!.keyBits / 8 : cipher.keyLengths[0]!
  return key + (cipher?.saltLength ?? 0) + (integrityInfo(p.integrity)?.keyLength ?? 0)
}

/** Wipes gxy. */
function makeKeys(
  a: AgreedChild,
  gxy: Uint8Array,
  ni: Uint8Array,
  nr: Uint8Array,
  c: QuickModeContext,
): ChildKeys {
  const { prfId, d } = c.phase1
  const protocol = a.proposal.protocol === 'ah' ? PROTOCOL.AH : PROTOCOL.ESP
  const input = { prfId, d, gxy, ni, nr, protocol }
  const length = keymatLength(a.proposal)
  const inbound = childKeymat(input, spiOctets(a.inboundSpi), length)
  const outbound = childKeymat(input, spiOctets(a.outboundSpi), length)
  wipe(gxy)
  return { inbound, outbound }
}
