import { AES_BLOCK } from '../../crypto/aes-cbc.js'
import { WireError } from '../../errors.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { PAYLOAD } from '../../wire/ike/v1/numbers.js'
import { emitSa, parseSa, type SaPayload } from '../../wire/ike/v1/sa.js'
import type { ChildConfig } from '../config.js'
import { explainMismatch } from '../differences.js'
import type { Millis } from '../environment.js'
import { hash1, hash2, hash3, phase2Iv } from './keymat.js'
import type { Received } from './main-mode-states.js'
import { checkNonce, PayloadSet, RULES } from './message-rules.js'
import {
  choosePhase2,
  offerable,
  offerPhase2,
  ownPhase2Fields,
  phase2Fields,
  phase2Obstacle,
  variantsOf,
} from './phase2-offer.js'
import { open, seal, verifyHash, withHash } from './protection.js'
import { CLOSED, fail, unverified } from './quick-mode-outcomes.js'
import {
  agree,
  carriedAs,
  configured,
  headOf,
  makeKeys,
  NONCE_LEN,
  natOa,
  sharedSecret,
} from './quick-mode-parts.js'
import {
  forgetQuickMode,
  type QuickModeContext,
  type QuickModeIn,
  type QuickModeOutcome,
} from './quick-mode-states.js'
import { idsOf, sameIds } from './selectors.js'

// Quick Mode from the initiator's side: messages 1 and 3.

export function begin(child: ChildConfig, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const impossible = (reason: string): QuickModeOutcome => ({
    next: CLOSED,
    effects: [{ do: 'failed', child, reason, missing: undefined, fields: {} }],
  })
  const carried = carriedAs(child, 'initiator', c)
  if (typeof carried === 'string') return impossible(carried)
  const variants = offerable(variantsOf(child, carried, c.phase1.capabilities.extendedNumbers))
  const first = variants[0]
  if (first === undefined) return impossible(child.proposals.map(phase2Obstacle).join('; '))
  const ids = idsOf(child)
  if (typeof ids === 'string') return impossible(ids)
  const spi = c.newSpi(child)
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
  const sealed = seal(headOf(c), hashed, key, phase2Iv(prfId, lastBlock, c.messageId, AES_BLOCK))
  const asked = { child, variants, spi, ni, share, ids, iv: sealed.nextIv, startedAt: now }
  const sending = {
    message: sealed.message,
    times: 1,
    since: now,
    dueAt: now + (c.limits.retransmitMs[0] ?? 0),
  }
  return {
    next: { kind: 'SENT', ...asked, sending, sentAt: now, hurried: 0 },
    effects: [{ do: 'send', message: sealed.message }],
  }
}

const singleTransform = (sa: SaPayload): boolean =>
  sa.proposals.length === 1 && sa.proposals[0]!.transforms.length === 1

export function finish(
  s: QuickModeIn<'SENT' | 'YIELDED'>,
  e: Received,
  now: Millis,
  c: QuickModeContext,
): QuickModeOutcome {
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
