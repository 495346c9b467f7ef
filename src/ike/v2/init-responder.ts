import { wipe } from '../../bytes/octets.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { checkNonce, emitKe, parseKe } from '../../wire/ike/v2/bodies.js'
import { NOTIFY, PAYLOAD, PROTOCOL } from '../../wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../wire/ike/v2/sa.js'
import type { Millis } from '../environment.js'
import { copyPath } from '../path.js'
import { formatGroup } from '../proposals.js'
import { clear, decline, refuse } from './first-outcomes.js'
import type { FirstContext, FirstIn, FirstOutcome, Received } from './first-states.js'
import { allowFragments } from './fragmentation.js'
import {
  aboutUs,
  capabilitiesOf,
  childlessSupport,
  groupOctets,
  intermediateSupport,
  NO_SPI,
  NONCE_LEN,
  readClear,
  sharedSecret,
} from './init-parts.js'
import { makeKeying } from './keying.js'
import { skeyseed } from './keys.js'
import { explainProposals } from './mismatch.js'
import { detectNat, doesNatT, NO_NAT } from './nat.js'
import { answerTo, choose, ikeRequirement, offer } from './offer.js'
import { whole } from './outgoing.js'
import { type PayloadSet, RULES, UnknownCritical } from './payload-set.js'
import { usePpk } from './ppk.js'
import { askForKey } from './signature.js'

// IKE_SA_INIT from the responder's side. Diffie-Hellman work and memory come last: after the cookie, the proposals, the
// group, and the proof that somebody has finished the pre-phase.

export function answerInit(e: Received, now: Millis, c: FirstContext): FirstOutcome {
  const idle: FirstIn<'IDLE'> = { kind: 'IDLE' }
  let set: PayloadSet
  try {
    set = readClear(e, RULES.init)
  } catch (error) {
    if (!(error instanceof UnknownCritical)) throw error
    return declineCritical(e, error)
  }
  const ni = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  const cookie = c.challenge(ni, set.notify(NOTIFY.COOKIE)?.data)
  if (cookie === 'refuse') return refuse(idle, 'first-rate-limit')
  if (cookie !== undefined) return decline(e, 'COOKIE', cookie, { cause: 'cookie-asked' })
  const theirs = parseSa(set.need(PAYLOAD.SA))
  const capabilities = capabilitiesOf(set)
  const ours = c.peer.proposals.filter((p) => p.additional === undefined || capabilities.intermediate)
  const requirements = ours.map(ikeRequirement)
  const choice = choose(requirements, PROTOCOL.IKE, theirs)
  if (choice === undefined) {
    const why = explainProposals(
      offer(PROTOCOL.IKE, new Uint8Array(0), c.peer.proposals.map(ikeRequirement)),
      theirs,
    )
    const error = `NO_PROPOSAL_CHOSEN: ${why.difference}`
    const refusal = { cause: 'no-proposal-chosen', error, fields: why }
    return decline(e, 'NO_PROPOSAL_CHOSEN', undefined, refusal, why.difference)
  }
  const proposal = ours[choice.index]!
  const ke = parseKe(set.need(PAYLOAD.KE))
  if (ke.method !== proposal.group)
    return decline(e, 'INVALID_KE_PAYLOAD', groupOctets(proposal.group), {
      cause: 'other-group-asked',
      fields: { asked: formatGroup(proposal.group), came: formatGroup(ke.method) },
    })
  if (c.peer.signatures && !capabilities.signatures) {
    const error =
      'NO_PROPOSAL_CHOSEN: the peer does not authenticate by public keys (Ed25519, RFC 8420), as we do'
    const told = 'it authenticates by public keys (Ed25519, RFC 8420), and we do not'
    return decline(e, 'NO_PROPOSAL_CHOSEN', undefined, { cause: 'no-signatures', error }, told)
  }
  const keys = c.takeKeys()
  if (keys === undefined) return refuse(idle, 'no-prephase')
  if (keys.ppk?.required === true && !capabilities.ppk) {
    wipe(keys.psk, keys.ppk.key)
    const error =
      'NO_PROPOSAL_CHOSEN: the peer has no post-quantum preshared key (RFC 8784), which we require'
    const told = 'it requires a post-quantum preshared key (RFC 8784), and we have none'
    return decline(e, 'NO_PROPOSAL_CHOSEN', undefined, { cause: 'no-ppk', error }, told)
  }
  const { psk } = keys
  const ppk = capabilities.ppk ? keys.ppk : undefined
  if (ppk === undefined) wipe(keys.ppk?.key)
  const share = c.keyShare(proposal.group)
  const secret = sharedSecret(share, ke.data)
  share.destroy()
  if (secret === undefined) {
    wipe(psk, ppk?.key)
    return refuse(idle, 'invalid-key', 'the public value in IKE_SA_INIT is not valid')
  }
  const spiI = new Uint8Array(e.header.initiatorSpi)
  const spiR = c.newIkeSpi()
  const nr = c.random(NONCE_LEN)
  const seed = skeyseed(proposal.prf, ni, nr, secret)
  const keying = makeKeying('responder', proposal, seed, { spiI, spiR, ni, nr }, c.random)
  wipe(secret, seed)
  allowFragments(keying, set, c.peer)
  const natT = c.peer.encapsulation !== 'raw' && doesNatT(set)
  const claims = natT && (c.peer.encapsulation === 'udp' || (c.prefersUdp && capabilities.prefersUdp))
  const found = natT ? detectNat(spiI, NO_SPI, set, e.path) : NO_NAT
  const path = copyPath(e.path)
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.SA, body: emitSa(answerTo(choice, new Uint8Array(0))) },
    { type: PAYLOAD.KE, body: emitKe({ method: proposal.group, data: share.publicValue }) },
    { type: PAYLOAD.NONCE, body: nr },
    ...aboutUs(spiI, spiR, path, claims, c),
    childlessSupport(),
    ...usePpk(ppk),
    ...intermediateSupport(capabilities.intermediate),
    ...(c.peer.signatures ? [askForKey()] : []),
  ]
  const response = clear('responder', spiI, spiR, payloads)
  return {
    next: {
      kind: 'INIT_ANSWERED',
      ...{ keying, psk, ppk, ni, nr, capabilities, path, response, intAuth: undefined },
      pendingKe: proposal.additional !== undefined,
      nat: { ...found, claimed: found.claimed || claims },
      request: new Uint8Array(e.message),
      until: now + c.limits.halfOpenMs,
    },
    effects: [{ do: 'respond', path, message: whole(response) }],
  }
}

/** RFC 7296 section 2.5. Its sender may be anybody, as with every refusal in the clear. */
function declineCritical(e: Received, { payload, message }: UnknownCritical): FirstOutcome {
  const refusal = { cause: 'unsupported-critical-payload', fields: { why: message } }
  return decline(e, 'UNSUPPORTED_CRITICAL_PAYLOAD', Uint8Array.of(payload), refusal)
}
