import { equalSecret, wipe } from '../../bytes/octets.js'
import { AES_BLOCK } from '../../crypto/aes-cbc.js'
import { WireError } from '../../errors.js'
import { DOI_IPSEC, NOTIFY, PAYLOAD, SIT_IDENTITY_ONLY } from '../../wire/ike/v1/numbers.js'
import { emitSa, parseSa } from '../../wire/ike/v1/sa.js'
import { explainMismatch } from '../differences.js'
import type { Millis } from '../environment.js'
import { emitExplanation } from '../explanation.js'
import { copyPath } from '../path.js'
import { CLEAR_NOTIFY_LEN, clearNotify, initialContact } from './informational.js'
import { hashI, hashR, type Phase1Exchange, phase1Iv } from './keymat.js'
import { failTelling, refuse } from './main-mode-outcomes.js'
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
  Answered,
  MainModeContext,
  MainModeIn,
  MainModeOutcome,
  MainModeState,
  Received,
} from './main-mode-states.js'
import { checkNonce, PayloadSet, RULES } from './message-rules.js'
import { detectNat, type NatState } from './nat.js'
import { choosePhase1, ownPhase1Fields, phase1Fields } from './phase1-offer.js'
import { open, seal } from './protection.js'

// Main Mode from the responder's side: messages 2, 4 and 6.

export function answerSa(e: Received, now: Millis, c: MainModeContext): MainModeOutcome {
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
    // Not larger than what it answers: nobody has proved to be there.
    const data = emitExplanation(why.difference, why.ours, e.message.length - CLEAR_NOTIFY_LEN)
    const notify = clearNotify(ci, NO_COOKIE, NOTIFY.NO_PROPOSAL_CHOSEN, data)
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
    next: {
      kind: 'SA_ANSWERED',
      ci,
      cr,
      psk,
      sai,
      path,
      choice,
      capabilities,
      received,
      answer,
      repeats: 0,
      until,
    },
    effects: [{ do: 'send', path, message: answer }],
  }
}

export function answerKe(
  s: MainModeIn<'SA_ANSWERED'>,
  e: Received,
  now: Millis,
  c: MainModeContext,
): MainModeOutcome {
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
  const nat: NatState = {
    ...detectNat(prfId, ci, cr, natT ? natD : [], e.path.local, e.path.remote),
    claimed,
  }
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
  const iv = phase1Iv(prfId, x.gxi, x.gxr, AES_BLOCK)
  return {
    next: { kind: 'KE_ANSWERED', ...keyed, iv, received, answer, repeats: 0, until, wrong: undefined },
    effects: [{ do: 'send', path, message: answer }],
  }
}

export function admit(s: MainModeIn<'KE_ANSWERED'>, e: Received, c: MainModeContext): MainModeOutcome {
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
    const wrong = "message 5 does not decrypt: the peer's pre-shared key differs from ours"
    return refuse({ ...s, wrong }, 'undecryptable', wrong, { why: error.message })
  }
  const idii = set.need(PAYLOAD.ID)
  if (!equalSecret(set.need(PAYLOAD.HASH), hashI(prfId, skeyid, x, s.sai, idii))) {
    const wrong = "HASH_I of message 5 does not verify: the peer's pre-shared key differs from ours"
    return refuse({ ...s, wrong }, 'bad-hash', wrong)
  }
  const wrong = wrongIdentity(idii, c)
  if (wrong !== undefined) return failTelling(s, e.path, lastIv, wrong, c)
  const idir = identityBody(c.peer.localId)
  const payloads = [
    { type: PAYLOAD.ID, body: idir },
    { type: PAYLOAD.HASH, body: hashR(prfId, skeyid, x, s.sai, idir) },
    ...(c.initialContact ? [initialContact(x.ci, x.cr)] : []),
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
