import { equalOctets, isZero, wipe } from '../../bytes/octets.js'
import { WireError } from '../../errors.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { checkNonce, emitKe, parseKe } from '../../wire/ike/v2/bodies.js'
import { NOTIFY, notifyName, PAYLOAD, PROTOCOL } from '../../wire/ike/v2/numbers.js'
import { emitSa, type Proposal, parseSa } from '../../wire/ike/v2/sa.js'
import type { Role } from '../child-sa.js'
import { explained } from '../explanation.js'
import type { IkeProposal } from '../proposals.js'
import type { AwaitedIke } from './awaited-exchange.js'
import { tellToken, tokenOf } from './crash-token.js'
import { followUp, linkOf, NO_LINK } from './follow-up-parts.js'
import { groupOctets, NONCE_LEN, sharedSecret } from './init-parts.js'
import { type Keying, makeKeying } from './keying.js'
import { rekeyedSkeyseed, type SpisAndNonces } from './keys.js'
import { explainProposals } from './mismatch.js'
import { compareNonces, lowerNonce } from './nonces.js'
import { accepted, answerTo, choose, ikeRequirement, offer } from './offer.js'
import {
  forgetOwn,
  IDLE,
  type OwnContext,
  type OwnEffect,
  type OwnIn,
  type OwnOutcome,
} from './own-states.js'
import { notify, type PayloadSet } from './payload-set.js'
import { explanationIn, refusalPayloads } from './refusals.js'

// A new IKE SA in the place of an old one, by CREATE_CHILD_SA: RFC 7296 sections 1.3.2 and 2.18.

/** Groups that we let the peer ask for, one after another. */
const DETOURS_MAX = 3
const SPI_LEN = 8

export const rekeyIke = (c: OwnContext): OwnOutcome =>
  ask(c.newIkeSpi(), c.keying.proposal.group, { detours: 0, rival: undefined }, c)

const proposalsOf = (c: OwnContext, spi: Uint8Array): Proposal[] =>
  offer(PROTOCOL.IKE, spi, c.peer.proposals.map(ikeRequirement))

function ask(
  spi: Uint8Array,
  group: number,
  s: Pick<OwnIn<'REKEYING'>, 'detours' | 'rival'>,
  c: OwnContext,
): OwnOutcome {
  const share = c.keyShare(group)
  const ni = c.random(NONCE_LEN)
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.SA, body: emitSa(proposalsOf(c, spi)) },
    { type: PAYLOAD.NONCE, body: ni },
    { type: PAYLOAD.KE, body: emitKe({ method: group, data: share.publicValue }) },
  ]
  return {
    next: { kind: 'REKEYING', spi, ni, share, ...s },
    effects: [{ do: 'request', exchange: EXCHANGE.CREATE_CHILD_SA, payloads }],
  }
}

export function receiveRekey(s: OwnIn<'REKEYING'>, set: PayloadSet, c: OwnContext): OwnOutcome {
  // An error beside an SA, whatever it is: the request has failed (RFC 7296 section 3.10.1).
  const error = set.error()
  if (error !== undefined) {
    if (error.type === NOTIFY.INVALID_KE_PAYLOAD && error.data.length === 2) {
      const group = (error.data[0]! << 8) | error.data[1]!
      const known = c.peer.proposals.some((p) => p.group === group)
      if (known && group !== s.share.group && s.detours < DETOURS_MAX) {
        forgetOwn(s)
        return ask(s.spi, group, { detours: s.detours + 1, rival: s.rival }, c)
      }
    }
    const isPassing = error.type === NOTIFY.TEMPORARY_FAILURE
    return failed(s, `the peer says ${explained(notifyName(error.type), explanationIn(set))}`, isPassing)
  }
  try {
    return agreedOn(s, set, c)
  } catch (e) {
    if (!(e instanceof WireError)) throw e
    return unusable(s, `the response is malformed: ${e.message}`)
  }
}

function agreedOn(s: OwnIn<'REKEYING'>, set: PayloadSet, c: OwnContext): OwnOutcome {
  const theirs = parseSa(set.need(PAYLOAD.SA))
  const choice = accepted(c.peer.proposals.map(ikeRequirement), PROTOCOL.IKE, theirs)
  if (choice === undefined) {
    const why = explainProposals(proposalsOf(c, s.spi), theirs)
    return unusable(s, `the peer chose what we did not offer: ${why.difference}`)
  }
  const proposal = c.peer.proposals[choice.index]!
  const ke = parseKe(set.need(PAYLOAD.KE))
  const nr = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  if (ke.method !== proposal.group || s.share.group !== proposal.group)
    return unusable(s, 'the peer chose another group than its KE payload, or ours, has')
  const gir = sharedSecret(s.share, ke.data)
  if (gir === undefined) return unusable(s, 'the public value in the response is not valid')
  const x = { spiI: s.spi, spiR: spiOf(choice.theirs), ni: s.ni, nr }
  const peersToken = tokenOf(set)
  const stays = s.rival === undefined || compareNonces(lowerNonce(s.ni, nr), s.rival.lowest) > 0
  const rival: OwnEffect[] =
    s.rival !== undefined && s.rival.made === undefined && stays ? [{ do: 'rival-stops' }] : []
  if (proposal.additional !== undefined) {
    const link = linkOf(set)
    if (link === undefined || !stays) wipe(gir)
    if (link === undefined) return failed(s, NO_LINK)
    forgetOwn(s)
    // Nothing is made yet that would have to be deleted (RFC 9370 section 2.2.4).
    if (!stays) return { next: IDLE, effects: [{ do: 'outdone', rival: s.rival?.made }] }
    const share = c.keyShare(proposal.additional)
    return {
      next: { kind: 'REKEYING_KE', proposal, gir, share, peersToken, ...x },
      effects: [...rival, followUp(share, link)],
    }
  }
  const keying = newKeying('initiator', proposal, gir, x, c)
  forgetOwn(s)
  return {
    next: IDLE,
    effects: [...rival, { do: 'rekeyed', keying, peersToken, rival: s.rival?.made, stays }],
  }
}

/** The peer has made an IKE SA that we cannot have, and moved to it: what is under the old one has no use any more. */
function unusable(s: OwnIn<'REKEYING'>, reason: string): OwnOutcome {
  forgetOwn(s)
  return { next: IDLE, effects: [{ do: 'rekey-unusable', reason }] }
}

function failed(s: OwnIn<'REKEYING'>, reason: string, isPassing = false): OwnOutcome {
  forgetOwn(s)
  return { next: IDLE, effects: [{ do: 'rekey-failed', reason, rival: s.rival?.made, isPassing }] }
}

/** @throws WireError */
function spiOf(p: Proposal): Uint8Array {
  if (p.spi.length !== SPI_LEN || isZero(p.spi))
    throw new WireError('proposal.spi', 0, 'is no SPI of an IKE SA')
  return new Uint8Array(p.spi)
}

/** Wipes gir and the second key exchange's secret, if there was one. */
export function newKeying(
  role: Role,
  proposal: IkeProposal,
  gir: Uint8Array,
  x: SpisAndNonces,
  c: OwnContext,
  second?: Uint8Array,
): Keying {
  const { proposal: old, keys } = c.keying
  const seed = rekeyedSkeyseed(old.prf, keys.d, gir, x.ni, x.nr, second)
  const keying = makeKeying(role, proposal, seed, x, c.random)
  wipe(gir, seed, second)
  return keying
}

/** The responder's side. */
export interface RekeyAnswer {
  readonly payloads: readonly PayloadInit[]
  /** The new IKE SA, or what it lacks; undefined when the request is refused, and `error` says why. */
  readonly made: Keying | AwaitedIke | undefined
  /** The lower of the exchange's nonces. */
  readonly lowest?: Uint8Array
  readonly error?: string
  readonly fields?: Record<string, unknown>
  /** The IKE SA ends with that. */
  readonly isFatal?: true
}

/** @throws WireError */
export function answerRekey(set: PayloadSet, c: OwnContext): RekeyAnswer {
  const theirs = parseSa(set.need(PAYLOAD.SA))
  const requirements = c.peer.proposals.map(ikeRequirement)
  const choice = choose(requirements, PROTOCOL.IKE, theirs)
  if (choice === undefined) {
    const why = explainProposals(offer(PROTOCOL.IKE, new Uint8Array(0), requirements), theirs)
    const error = `NO_PROPOSAL_CHOSEN for a new IKE SA: ${why.difference}`
    const payloads = refusalPayloads({ notify: 'NO_PROPOSAL_CHOSEN', reason: why.difference, fields: why })
    return { payloads, made: undefined, error, fields: why }
  }
  const proposal = c.peer.proposals[choice.index]!
  const ke = parseKe(set.need(PAYLOAD.KE))
  const ni = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  const spiI = spiOf(choice.theirs)
  if (ke.method !== proposal.group)
    return { payloads: [notify('INVALID_KE_PAYLOAD', groupOctets(proposal.group))], made: undefined }
  if (equalOctets(spiI, c.keying.spiI)) throw new WireError('proposal.spi', 0, "is the old IKE SA's")
  const share = c.keyShare(proposal.group)
  const gir = sharedSecret(share, ke.data)
  share.destroy()
  if (gir === undefined)
    return {
      payloads: [notify('INVALID_SYNTAX')],
      made: undefined,
      error: 'the public value for a new IKE SA is not valid',
      isFatal: true,
    }
  const nr = c.random(NONCE_LEN)
  const spiR = c.newIkeSpi()
  const x = { spiI, spiR, ni, nr }
  const { additional: method } = proposal
  return {
    payloads: [
      { type: PAYLOAD.SA, body: emitSa(answerTo(choice, spiR)) },
      { type: PAYLOAD.NONCE, body: nr },
      { type: PAYLOAD.KE, body: emitKe({ method: proposal.group, data: share.publicValue }) },
      ...tellToken(c.crashSecret, x),
    ],
    made:
      method === undefined
        ? newKeying('responder', proposal, gir, x, c)
        : { what: 'IKE', method, proposal, gir, lowest: lowerNonce(ni, nr), ...x },
    lowest: lowerNonce(ni, nr),
  }
}
