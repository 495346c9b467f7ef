import { ENCR, INTEG, integrityInfo } from '../../crypto/algorithms.js'
import { type Attribute, attributeNumber, numberAttribute } from '../../wire/ike/v1/attributes.js'
import {
  AUTH_PRE_SHARED_KEY,
  DOI_IPSEC,
  KEY_IKE,
  LIFE,
  PHASE1,
  PHASE1_AES_CBC,
  PROTOCOL,
  SIT_IDENTITY_ONLY,
} from '../../wire/ike/v1/numbers.js'
import type { Proposal, SaPayload, Transform } from '../../wire/ike/v1/sa.js'
import { type Fields, sameFields } from '../differences.js'
import { formatCipher, formatGroup, formatPrf, type IkeProposal } from '../proposals.js'
import { methodName, phase1EncryptionName, phase1Hash, prfOfPhase1Hash } from './algorithms.js'

// The SA payload of Main Mode, RFC 2409 section 5 and appendix A: one proposal, one transform for each combination.

/** Why IKEv1 cannot express an IKE proposal; undefined when it can. */
export function phase1Obstacle(p: IkeProposal): string | undefined {
  if (p.encryption.id !== ENCR.AES_CBC)
    return `IKEv1 encrypts its own messages with AES-CBC alone, not ${formatCipher(p.encryption)}`
  if (p.integrity !== INTEG.NONE && hashOf(p.integrity) !== phase1Hash(p.prf))
    return 'IKEv1 has one hash, which is integrity algorithm and PRF in one'
  if (phase1Hash(p.prf) === undefined) return `IKEv1 has no number for ${formatPrf(p.prf)}`
  return undefined
}

/** Phase 1 hash of the hash that an integrity algorithm uses. */
function hashOf(integ: number): number | undefined {
  const names: Record<string, number> = { sha1: 2, sha256: 4, sha384: 5, sha512: 6 }
  return names[integrityInfo(integ)?.hash ?? '']
}

const expressible = (proposals: readonly IkeProposal[]): IkeProposal[] =>
  proposals.filter((p) => phase1Obstacle(p) === undefined)

/** What we offer as initiator, in our order of preference; undefined when IKEv1 can express none of it. */
export function offerPhase1(proposals: readonly IkeProposal[], lifeSeconds: number): SaPayload | undefined {
  const transforms = expressible(proposals).map(
    (p, i): Transform => ({
      number: i + 1,
      id: KEY_IKE,
      attributes: [
        numberAttribute(PHASE1.ENCRYPTION, PHASE1_AES_CBC),
        numberAttribute(PHASE1.KEY_LENGTH, p.encryption.keyBits),
        numberAttribute(PHASE1.HASH, phase1Hash(p.prf) ?? 0),
        numberAttribute(PHASE1.GROUP, p.group),
        numberAttribute(PHASE1.AUTHENTICATION, AUTH_PRE_SHARED_KEY),
        numberAttribute(PHASE1.LIFE_TYPE, LIFE.SECONDS),
        numberAttribute(PHASE1.LIFE_DURATION, lifeSeconds),
      ],
    }),
  )
  if (transforms.length === 0) return undefined
  const proposal: Proposal = { number: 1, protocol: PROTOCOL.ISAKMP, spi: new Uint8Array(0), transforms }
  return { doi: DOI_IPSEC, situation: SIT_IDENTITY_ONLY, proposals: [proposal] }
}

export interface Phase1Choice {
  readonly proposal: IkeProposal
  /** As the initiator said; undefined when it did not. */
  readonly lifeSeconds: number | undefined
  /** The responder's SA payload: the chosen transform as it came. */
  readonly answer: SaPayload
}

/**
 * As responder: our most preferred proposal that the initiator offers. As initiator: the one that the responder chose,
 * which must be one of ours.
 */
export function choosePhase1(ours: readonly IkeProposal[], sa: SaPayload): Phase1Choice | undefined {
  const offered = transformsOf(sa)
  for (const proposal of expressible(ours)) {
    const fields = fieldsOfProposal(proposal)
    const found = offered.find((o) => sameFields(fieldsOfTransform(o.transform), fields))
    if (found === undefined) continue
    return {
      proposal,
      lifeSeconds: lifeSeconds(found.transform.attributes),
      answer: { ...sa, proposals: [{ ...found.proposal, transforms: [found.transform] }] },
    }
  }
  return undefined
}

/** All that the peer offers, for log lines. */
export const phase1Fields = (sa: SaPayload): Fields[] =>
  transformsOf(sa).map((o) => fieldsOfTransform(o.transform))
/** All that we have, for log lines. */
export const ownPhase1Fields = (proposals: readonly IkeProposal[]): Fields[] =>
  expressible(proposals).map(fieldsOfProposal)

function transformsOf(sa: SaPayload): { proposal: Proposal; transform: Transform }[] {
  return sa.proposals
    .filter((p) => p.protocol === PROTOCOL.ISAKMP)
    .flatMap((proposal) =>
      proposal.transforms.filter((t) => t.id === KEY_IKE).map((transform) => ({ proposal, transform })),
    )
}

function fieldsOfProposal(p: IkeProposal): Fields {
  return {
    encryption: formatCipher(p.encryption),
    hash: formatPrf(p.prf).replace(/^prf/, ''),
    group: formatGroup(p.group),
    authentication: methodName(AUTH_PRE_SHARED_KEY),
  }
}

const LIFE_ATTRIBUTES: readonly number[] = [PHASE1.LIFE_TYPE, PHASE1.LIFE_DURATION]

function fieldsOfTransform(t: Transform): Fields {
  const values = new Map(t.attributes.map((a) => [a.type, attributeNumber(a) ?? -1]))
  const take = (type: number): number => {
    const value = values.get(type) ?? 0
    values.delete(type)
    return value
  }
  const cipher = take(PHASE1.ENCRYPTION)
  const keyBits = take(PHASE1.KEY_LENGTH)
  const prf = prfOfPhase1Hash(take(PHASE1.HASH))
  const fields: Record<string, string> = {
    encryption:
      cipher === PHASE1_AES_CBC ? formatCipher({ id: ENCR.AES_CBC, keyBits }) : phase1EncryptionName(cipher),
    hash: prf === undefined ? 'unknown' : formatPrf(prf).replace(/^prf/, ''),
    group: formatGroup(take(PHASE1.GROUP)),
    authentication: methodName(take(PHASE1.AUTHENTICATION)),
  }
  for (const type of LIFE_ATTRIBUTES) values.delete(type)
  for (const [type, value] of values) fields[`attribute ${type}`] = String(value)
  return fields
}

/** The duration behind the life type "seconds". */
export function lifeOf(
  attributes: readonly Attribute[],
  typeAttribute: number,
  durationAttribute: number,
  unit: number,
): number | undefined {
  let current = 0
  for (const a of attributes) {
    if (a.type === typeAttribute) current = attributeNumber(a) ?? 0
    else if (a.type === durationAttribute && current === unit) return attributeNumber(a)
  }
  return undefined
}

const lifeSeconds = (attributes: readonly Attribute[]): number | undefined =>
  lifeOf(attributes, PHASE1.LIFE_TYPE, PHASE1.LIFE_DURATION, LIFE.SECONDS)
