import { equalOctets, equalSecret, isZero, wipe } from '../../bytes/octets.js'
import { AES_BLOCK } from '../../crypto/aes-cbc.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { NOTIFY, PAYLOAD } from '../../wire/ike/v1/numbers.js'
import { emitSa, parseSa } from '../../wire/ike/v1/sa.js'
import { explainMismatch } from '../differences.js'
import type { Millis } from '../environment.js'
import { copyPath, floated } from '../path.js'
import { formatIkeProposal } from '../proposals.js'
import { initialContact } from './informational.js'
import { hashI, hashR, type Phase1Exchange, phase1Iv } from './keymat.js'
import { FAILED, failTelling, firstSending, refuse } from './main-mode-outcomes.js'
import {
  capabilitiesOf,
  claimsNat,
  clear,
  headOf,
  identityBody,
  makeKeys,
  mergeCapabilities,
  NO_COOKIE,
  NONCE_LEN,
  natDetection,
  phase1Of,
  readClear,
  says,
  vendors,
  wrongIdentity,
} from './main-mode-parts.js'
import type {
  MainModeContext,
  MainModeEvent,
  MainModeIn,
  MainModeOutcome,
  Received,
} from './main-mode-states.js'
import { checkNonce, PayloadSet, RULES } from './message-rules.js'
import { detectNat, type NatState, usesUdp } from './nat.js'
import { choosePhase1, offerPhase1, ownPhase1Fields, phase1Fields } from './phase1-offer.js'
import { open, seal } from './protection.js'

// Main Mode from the initiator's side: messages 1, 3 and 5.

export function begin(
  e: Extract<MainModeEvent, { kind: 'BEGIN' }>,
  now: Millis,
  c: MainModeContext,
): MainModeOutcome {
  const offer = offerPhase1(c.peer.proposals, c.peer.ikeLifetimeSeconds)
  if (offer === undefined) {
    wipe(e.psk)
    const own = c.peer.proposals.map(formatIkeProposal).join(', ')
    return {
      next: FAILED,
      effects: [{ do: 'failed', reason: `IKEv1 can express none of our proposals: ${own}` }],
    }
  }
  const sai = emitSa(offer)
  const message = clear(e.ci, NO_COOKIE, [{ type: PAYLOAD.SA, body: sai }, ...vendors(c)])
  const path = copyPath(e.path)
  return {
    next: { kind: 'SA_SENT', ci: e.ci, psk: e.psk, sai, path, sending: firstSending(message, now, c) },
    effects: [{ do: 'send', path, message }],
  }
}

export function sendKe(
  s: MainModeIn<'SA_SENT'>,
  e: Received,
  now: Millis,
  c: MainModeContext,
): MainModeOutcome {
  const set = readClear(e, RULES.sa)
  const cr = new Uint8Array(e.header.responderSpi)
  if (isZero(cr)) return refuse(s, 'unexpected')
  const answer = parseSa(set.need(PAYLOAD.SA))
  const choice = answer.proposals.length === 1 ? choosePhase1(c.peer.proposals, answer) : undefined
  if (choice === undefined || answer.proposals[0]!.transforms.length !== 1) {
    const error = 'the peer chose what we did not offer'
    return refuse(
      s,
      'proposal-not-offered',
      error,
      explainMismatch(ownPhase1Fields(c.peer.proposals), phase1Fields(answer)),
    )
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
    next: {
      kind: 'KE_SENT',
      ci,
      cr,
      psk,
      sai,
      path,
      choice,
      capabilities,
      share,
      ni,
      claimed,
      received,
      sending,
    },
    effects: [{ do: 'send', path, message }],
  }
}

export function sendAuth(
  s: MainModeIn<'KE_SENT'>,
  e: Received,
  now: Millis,
  c: MainModeContext,
): MainModeOutcome {
  const set = readClear(e, RULES.ke)
  const { ci, cr, ni, choice, psk, sai } = s
  const prfId = choice.proposal.prf
  const gxr = new Uint8Array(set.need(PAYLOAD.KE))
  const nr = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  // Our own message 3, sent back to us.
  if (equalOctets(gxr, s.share.publicValue) || equalOctets(nr, ni)) return refuse(s, 'reflected')
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
  const idii = identityBody(c.peer.localId)
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.ID, body: idii },
    { type: PAYLOAD.HASH, body: hashI(prfId, made.skeyid, x, sai, idii) },
  ]
  if (c.initialContact) payloads.push(initialContact(ci, cr))
  const sealed = seal(headOf(ci, cr), payloads, made.keys.key, phase1Iv(prfId, x.gxi, x.gxr, AES_BLOCK))
  wipe(psk)
  s.share.destroy()
  const received = new Uint8Array(e.message)
  const sending = firstSending(sealed.message, now, c)
  const keyed = { ...made, x, sai, choice, capabilities, nat, path }
  return {
    next: { kind: 'AUTH_SENT', ...keyed, iv: sealed.nextIv, received, sending },
    effects: [{ do: 'send', path, message: sealed.message }],
  }
}

export function checkPeer(s: MainModeIn<'AUTH_SENT'>, e: Received, c: MainModeContext): MainModeOutcome {
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
