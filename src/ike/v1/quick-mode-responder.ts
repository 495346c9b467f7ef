import { equalSecret } from '../../bytes/octets.js'
import { AES_BLOCK } from '../../crypto/aes-cbc.js'
import { WireError } from '../../errors.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { DOI_IPSEC, PAYLOAD, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import { emitSa, parseSa, type SaPayload } from '../../wire/ike/v1/sa.js'
import { formatSelector } from '../../wire/traffic-selector.js'
import type { ChildConfig } from '../config.js'
import { explainMismatch, firstDifference } from '../differences.js'
import type { Millis } from '../environment.js'
import { hash1, hash2, hash3, phase2Iv } from './keymat.js'
import type { Received } from './main-mode-states.js'
import { checkNonce, PayloadSet, RULES } from './message-rules.js'
import { choosePhase2, ownPhase2Fields, phase2Fields, variantsOf } from './phase2-offer.js'
import { open, seal, verifyHash, withHash } from './protection.js'
import { type Declined, decline, refusal, settle, unverified } from './quick-mode-outcomes.js'
import { agree, carriedAs, headOf, makeKeys, NONCE_LEN, natOa, sharedSecret } from './quick-mode-parts.js'
import type { QuickModeContext, QuickModeIn, QuickModeOutcome, QuickModeState } from './quick-mode-states.js'
import { formatChildSelectors, formatPair, type SelectorPair, selectorsFrom, serves } from './selectors.js'

// Quick Mode from the responder's side: message 2, and what message 3 means.

export function answer(e: Received, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const idle: QuickModeState = { kind: 'IDLE' }
  const declined = (d: Declined): QuickModeOutcome => decline(e.message, d, now, c)
  const { prfId, a, key, lastBlock, nat } = c.phase1
  const opened = open(e.header, e.message, key, phase2Iv(prfId, lastBlock, c.messageId, AES_BLOCK))
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
    return declined({
      sa: undefined,
      notify: 'PAYLOAD_MALFORMED',
      error: `message 1 is malformed: ${error.message}`,
    })
  }
  const found = findChild(set, sa, c)
  if ('text' in found) {
    const ours = c.peer.children.map((child) => `${child.name}: ${formatChildSelectors(child)}`)
    const { text, difference } = found
    const error = `no child for these selectors: ${text}; ours: ${ours.join('; ') || 'none'}`
    const fields = { ours, theirs: [text], ...(difference !== undefined && { difference }) }
    return declined({
      ...{ sa, notify: 'INVALID_ID_INFORMATION', fields },
      error: difference === undefined ? error : `${error}; ${difference}`,
      told: difference ?? 'it has no child for our selectors',
    })
  }
  const { pair } = found
  const carried = carriedAs(found.child, 'responder', c)
  const variants = typeof carried === 'string' ? [] : variantsOf(found.child, carried)
  const choice = choosePhase2(variants, sa)
  if (choice === undefined) {
    const why = explainMismatch(ownPhase2Fields(variants), phase2Fields(sa))
    const { name } = found.child
    const text = typeof carried === 'string' ? carried : `child ${name}: ${why.difference}`
    const fields = typeof carried === 'string' ? { child: name } : { ...why, child: name }
    return declined({ sa, notify: 'NO_PROPOSAL_CHOSEN', error: text, fields })
  }
  const child = c.inLane(found.child, choice.peerSpi)
  const { group } = choice.variant.proposal
  if ((group !== 0) !== (set.first(PAYLOAD.KE) !== undefined))
    return declined({
      ...{ sa, notify: 'NO_PROPOSAL_CHOSEN' },
      error: `child ${child.name}: group and KE payload do not fit`,
    })
  if (!c.yieldTo(child)) return refusal(idle, 'simultaneous', false)
  const share = group === 0 ? undefined : c.keyShare(group)
  const gxy = sharedSecret(share, set.first(PAYLOAD.KE), group)
  share?.destroy()
  if (gxy === undefined)
    return declined({
      ...{ sa, notify: 'INVALID_KEY_INFORMATION' },
      error: `child ${child.name}: the public value in message 1 is not valid`,
    })
  const ni = new Uint8Array(set.need(PAYLOAD.NONCE))
  const nr = c.random(NONCE_LEN)
  const agreed = agree(child, 'responder', choice, c.newSpi(child), pair, now)
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
  const sending = {
    message: sealed.message,
    times: 1,
    since: now,
    dueAt: now + (c.limits.retransmitMs[0] ?? 0),
  }
  const received = new Uint8Array(e.message)
  const state = {
    agreed,
    outboundKey: keys.outbound,
    ni,
    nr,
    iv: sealed.nextIv,
    received,
    repeats: 0,
    sending,
  }
  return {
    next: { kind: 'ANSWERED', ...state },
    effects: [
      { do: 'inbound', agreed, key: keys.inbound },
      { do: 'send', message: sealed.message },
    ],
  }
}

export function confirm(
  s: QuickModeIn<'ANSWERED'>,
  e: Received,
  now: Millis,
  c: QuickModeContext,
): QuickModeOutcome {
  const { prfId, a, key } = c.phase1
  const opened = open(e.header, e.message, key, s.iv)
  const set = new PayloadSet(opened.payloads, RULES.quickLast)
  const expected = hash3(prfId, a, c.messageId, s.ni, s.nr)
  if (!equalSecret(set.need(PAYLOAD.HASH), expected)) return unverified(s)
  return settle(s, new Uint8Array(e.message), now, c)
}

interface Found {
  readonly child: ChildConfig
  readonly pair: SelectorPair
}

interface NotFound {
  /** The selectors, or what is wrong with them. */
  readonly text: string
  readonly difference: string | undefined
}

/** The child that message 1 is about. */
function findChild(set: PayloadSet, sa: SaPayload, c: QuickModeContext): Found | NotFound {
  const protocols = sa.proposals.map((p) => (p.protocol === PROTOCOL.AH ? 'ah' : 'esp'))
  let seen: SelectorPair | undefined
  try {
    // Transport mode decides what the identities mean, and the child decides the mode.
    for (const mode of ['tunnel', 'transport'] as const) {
      const pair = selectorsFrom(set.all(PAYLOAD.ID), c.path, c.phase1.nat, mode === 'transport')
      seen ??= pair
      const serving = c.peer.children.filter((child) => child.mode === mode && serves(child, pair))
      const child = serving.find((s) => protocols.includes(s.protocol)) ?? serving[0]
      if (child !== undefined) return { child, pair }
    }
    if (seen === undefined) return { text: '', difference: undefined }
    return { text: formatPair(seen), difference: selectorDifference(c.peer.children, seen) }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return { text: error.message, difference: undefined }
  }
}

/** The first difference to the child that comes closest. */
function selectorDifference(children: readonly ChildConfig[], pair: SelectorPair): string {
  const theirs = {
    'local selectors': formatSelector(pair.local),
    'remote selectors': formatSelector(pair.remote),
  }
  const ours = children.map((x) => ({
    'local selectors': x.localTs.map(formatSelector).join(','),
    'remote selectors': x.remoteTs.map(formatSelector).join(','),
  }))
  return ours.length === 0 ? 'we have no child' : firstDifference(ours, [theirs])
}
