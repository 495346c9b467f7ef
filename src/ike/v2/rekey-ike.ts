import { equalOctets, isZero, wipe } from '../../bytes/octets.js'
import { WireError } from '../../errors.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { checkNonce, emitKe, parseKe } from '../../wire/ike/v2/bodies.js'
import { NOTIFY, notifyName, PAYLOAD, PROTOCOL } from '../../wire/ike/v2/numbers.js'
import { emitSa, type Proposal, parseSa } from '../../wire/ike/v2/sa.js'
import type { Role } from '../child-sa.js'
import { type IkeProposal, renewed } from '../proposals.js'
import { tellToken, tokenOf } from './crash-token.js'
import { groupOctets, NONCE_LEN, sharedSecret } from './init-parts.js'
import { type Keying, makeKeying } from './keying.js'
import { rekeyedSkeyseed, type SpisAndNonces } from './keys.js'
import { explainProposals } from './mismatch.js'
import { compareNonces, lowerNonce } from './nonces.js'
import { accepted, answerTo, choose, ikeRequirement, offer } from './offer.js'
import { forgetOwn, IDLE, type OwnContext, type OwnIn, type OwnOutcome } from './own-states.js'
import { notify, type PayloadSet } from './payload-set.js'

// A new IKE SA in the place of an old one, by CREATE_CHILD_SA: RFC 7296 sections 1.3.2 and 2.18.

/** Groups that we let the peer ask for, one after another. */
const DETOURS_MAX = 3
const SPI_LEN = 8

export const rekeyIke = (c: OwnContext): OwnOutcome =>
  ask(c.newIkeSpi(), c.keying.proposal.group, { detours: 0, rival: undefined }, c)

/** Without second key exchanges: the new keys come from SK_d, which has one in it where it was agreed. */
const ours = (c: OwnContext): IkeProposal[] => c.peer.proposals.map(renewed)

const proposalsOf = (c: OwnContext, spi: Uint8Array): Proposal[] =>
  offer(PROTOCOL.IKE, spi, ours(c).map(ikeRequirement))

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
  const error = set.error()
  if (error !== undefined && set.first(PAYLOAD.SA) === undefined) {
    if (error.type === NOTIFY.INVALID_KE_PAYLOAD && error.data.length === 2) {
      const group = (error.data[0]! << 8) | error.data[1]!
      const known = c.peer.proposals.some((p) => p.group === group)
      if (known && group !== s.share.group && s.detours < DETOURS_MAX) {
        forgetOwn(s)
        return ask(s.spi, group, { detours: s.detours + 1, rival: s.rival }, c)
      }
    }
    return failed(s, `the peer says ${notifyName(error.type)}`)
  }
  try {
    return agreedOn(s, set, c)
  } catch (e) {
    if (!(e instanceof WireError)) throw e
    return failed(s, `the response is malformed: ${e.message}`)
  }
}

function agreedOn(s: OwnIn<'REKEYING'>, set: PayloadSet, c: OwnContext): OwnOutcome {
  const theirs = parseSa(set.need(PAYLOAD.SA))
  const choice = accepted(ours(c).map(ikeRequirement), PROTOCOL.IKE, theirs)
  if (choice === undefined) {
    const why = explainProposals(proposalsOf(c, s.spi), theirs)
    return failed(s, `the peer chose what we did not offer: ${why.difference}`)
  }
  const proposal = ours(c)[choice.index]!
  const ke = parseKe(set.need(PAYLOAD.KE))
  const nr = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  if (ke.method !== proposal.group || s.share.group !== proposal.group)
    return failed(s, 'the peer chose another group than its KE payload, or ours, has')
  const gir = sharedSecret(s.share, ke.data)
  if (gir === undefined) return failed(s, 'the public value in the response is not valid')
  const x = { spiI: s.spi, spiR: spiOf(choice.theirs), ni: s.ni, nr }
  const keying = newKeying('initiator', proposal, gir, x, c)
  forgetOwn(s)
  const stays = s.rival === undefined || compareNonces(lowerNonce(s.ni, nr), s.rival.lowest) > 0
  return {
    next: IDLE,
    effects: [{ do: 'rekeyed', keying, peersToken: tokenOf(set), rival: s.rival?.made, stays }],
  }
}

function failed(s: OwnIn<'REKEYING'>, reason: string): OwnOutcome {
  forgetOwn(s)
  return { next: IDLE, effects: [{ do: 'rekey-failed', reason, rival: s.rival?.made }] }
}

/** @throws WireError */
function spiOf(p: Proposal): Uint8Array {
  if (p.spi.length !== SPI_LEN || isZero(p.spi))
    throw new WireError('proposal.spi', 0, 'is no SPI of an IKE SA')
  return new Uint8Array(p.spi)
}

/** Wipes gir. */
function newKeying(
  role: Role,
  proposal: IkeProposal,
  gir: Uint8Array,
  x: SpisAndNonces,
  c: OwnContext,
): Keying {
  const { proposal: old, keys } = c.keying
  const seed = rekeyedSkeyseed(old.prf, keys.d, gir, x.ni, x.nr)
  const keying = makeKeying(role, proposal, seed, x, c.random)
  wipe(gir, seed)
  return keying
}

/** The responder's side. */
export interface RekeyAnswer {
  readonly payloads: readonly PayloadInit[]
  /** Undefined when the request is refused; `error` says why. */
  readonly made: { readonly keying: Keying; readonly lowest: Uint8Array } | undefined
  readonly error?: string
  readonly fields?: Record<string, unknown>
}

/** @throws WireError */
export function answerRekey(set: PayloadSet, c: OwnContext): RekeyAnswer {
  const theirs = parseSa(set.need(PAYLOAD.SA))
  const requirements = ours(c).map(ikeRequirement)
  const choice = choose(requirements, PROTOCOL.IKE, theirs)
  if (choice === undefined) {
    const why = explainProposals(offer(PROTOCOL.IKE, new Uint8Array(0), requirements), theirs)
    const error = `NO_PROPOSAL_CHOSEN for a new IKE SA: ${why.difference}`
    return { payloads: [notify('NO_PROPOSAL_CHOSEN')], made: undefined, error, fields: why }
  }
  const proposal = ours(c)[choice.index]!
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
    }
  const nr = c.random(NONCE_LEN)
  const spiR = c.newIkeSpi()
  const keying = newKeying('responder', proposal, gir, { spiI, spiR, ni, nr }, c)
  return {
    payloads: [
      { type: PAYLOAD.SA, body: emitSa(answerTo(choice, spiR)) },
      { type: PAYLOAD.NONCE, body: nr },
      { type: PAYLOAD.KE, body: emitKe({ method: proposal.group, data: share.publicValue }) },
      ...tellToken(c.crashSecret, keying),
    ],
    made: { keying, lowest: lowerNonce(ni, nr) },
  }
}
