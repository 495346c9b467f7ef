import { encryptionInfo } from '../../crypto/algorithms.js'
import { attributeNumber, numberAttribute } from '../../wire/ike/v1/attributes.js'
import { ATTRIBUTE_KEY_LENGTH, PROTOCOL, TRANSFORM } from '../../wire/ike/v2/numbers.js'
import type { Proposal, Transform } from '../../wire/ike/v2/sa.js'
import type { ChildProposal, CipherChoice, IkeProposal } from '../proposals.js'

// Offers and choices, RFC 7296 sections 2.7 and 3.3: a proposal is a set of alternatives for each transform type, and a
// choice is one of each. Ours are offered one combination a proposal, so that a choice's number says which.

/** What one of our proposals accepts for each transform type, in order of preference. */
export type Requirement = ReadonlyMap<number, readonly Transform[]>

const transform = (type: number, id: number): Transform => ({ type, id, attributes: [] })

function cipher(c: CipherChoice): Transform {
  const attributes = encryptionInfo(c.id)?.hasKeyLengthAttribute
    ? [numberAttribute(ATTRIBUTE_KEY_LENGTH, c.keyBits)]
    : []
  return { type: TRANSFORM.ENCR, id: c.id, attributes }
}

export function ikeRequirement(p: IkeProposal): Requirement {
  const out = new Map([[TRANSFORM.ENCR as number, [cipher(p.encryption)]]])
  if (p.integrity !== 0) out.set(TRANSFORM.INTEG, [transform(TRANSFORM.INTEG, p.integrity)])
  out.set(TRANSFORM.PRF, [transform(TRANSFORM.PRF, p.prf)])
  out.set(TRANSFORM.KE, [transform(TRANSFORM.KE, p.group)])
  if (p.additional !== undefined) out.set(TRANSFORM.ADDKE1, [transform(TRANSFORM.ADDKE1, p.additional)])
  return out
}

/** @param keyExchange the exchange may have one of its own; IKE_AUTH has none (RFC 7296 section 1.2) */
export function childRequirement(p: ChildProposal, keyExchange: boolean): Requirement {
  const out = new Map<number, readonly Transform[]>()
  if (p.encryption !== undefined) out.set(TRANSFORM.ENCR, [cipher(p.encryption)])
  if (p.integrity !== 0) out.set(TRANSFORM.INTEG, [transform(TRANSFORM.INTEG, p.integrity)])
  if (keyExchange && p.group !== 0) out.set(TRANSFORM.KE, [transform(TRANSFORM.KE, p.group)])
  if (keyExchange && p.additional !== undefined)
    out.set(TRANSFORM.ADDKE1, [transform(TRANSFORM.ADDKE1, p.additional)])
  const numbers = p.esnOptional === true ? [1, 0] : [p.esn ? 1 : 0]
  return out.set(
    TRANSFORM.ESN,
    numbers.map((id) => transform(TRANSFORM.ESN, id)),
  )
}

/** Proposals numbered from 1. @param spi empty in IKE_SA_INIT */
export const offer = (protocol: number, spi: Uint8Array, requirements: readonly Requirement[]): Proposal[] =>
  requirements.map((r, i) => ({ number: i + 1, protocol, spi, transforms: [...r.values()].flat() }))

export interface Choice {
  /** Which of our requirements. */
  readonly index: number
  /** The proposal as the peer wrote it. */
  readonly theirs: Proposal
  /** One of each type. */
  readonly transforms: readonly Transform[]
}

export const chosen = (c: Choice, type: number): number | undefined =>
  c.transforms.find((t) => t.type === type)?.id

/** The responder's SA payload. */
export const answerTo = (c: Choice, spi: Uint8Array): Proposal[] => [
  { number: c.theirs.number, protocol: c.theirs.protocol, spi, transforms: c.transforms },
]

/** The most preferred of ours that the peer offers with this protocol. */
export function choose(
  ours: readonly Requirement[],
  protocol: number,
  theirs: readonly Proposal[],
): Choice | undefined {
  for (const [index, requirement] of ours.entries()) {
    for (const proposal of theirs) {
      if (proposal.protocol !== protocol) continue
      const transforms = select(requirement, proposal)
      if (transforms !== undefined) return { index, theirs: proposal, transforms }
    }
  }
  return undefined
}

/** What the responder has chosen of our offer: exactly one proposal, with one transform of each type, that we made. */
export function accepted(
  ours: readonly Requirement[],
  protocol: number,
  theirs: readonly Proposal[],
): Choice | undefined {
  const [proposal, more] = theirs
  if (proposal === undefined || more !== undefined || proposal.protocol !== protocol) return undefined
  const index = proposal.number - 1
  const requirement = ours[index]
  if (requirement === undefined) return undefined
  const types = proposal.transforms.map((t) => t.type)
  if (new Set(types).size !== types.length) return undefined
  const transforms = select(requirement, proposal)
  return transforms && { index, theirs: proposal, transforms }
}

function select(requirement: Requirement, theirs: Proposal): Transform[] | undefined {
  const out: Transform[] = []
  for (const [type, ours] of requirement) {
    const offered = theirs.transforms.filter((t) => t.type === type)
    // Old implementations leave ESN out and mean 32-bit numbers.
    if (type === TRANSFORM.ESN && offered.length === 0 && ours.some((t) => t.id === 0)) continue
    const found = ours.find((own) => offered.some((t) => sameTransform(own, t)))
    if (found === undefined) return undefined
    out.push(found)
  }
  // What we have no requirement for must be optional: NONE among the alternatives (RFC 7296 section 3.3.6).
  const others = new Set(theirs.transforms.map((t) => t.type).filter((type) => !requirement.has(type)))
  for (const type of others) {
    const none = theirs.transforms.find((t) => t.type === type && t.id === 0 && t.attributes.length === 0)
    if (none === undefined || type === TRANSFORM.ENCR || type === TRANSFORM.ESN) return undefined
    out.push(none)
  }
  return out
}

/** An attribute that we do not know makes a transform another one (RFC 7296 section 3.3.6). */
const sameTransform = (a: Transform, b: Transform): boolean =>
  a.type === b.type &&
  a.id === b.id &&
  a.attributes.length === b.attributes.length &&
  a.attributes.every((x, i) => {
    const y = b.attributes[i]!
    return x.type === y.type && attributeNumber(x) === attributeNumber(y)
  })

/** The protocol number of a CHILD_SA. */
export const protocolNumber = (p: 'esp' | 'ah'): number => (p === 'ah' ? PROTOCOL.AH : PROTOCOL.ESP)

/** A proposal with its ESN and key exchanges as they were chosen. */
export function settled(p: ChildProposal, c: Choice): ChildProposal {
  const { esnOptional: _, additional: __, ...rest } = p
  const additional = chosen(c, TRANSFORM.ADDKE1) ?? 0
  return {
    ...{ ...rest, esn: chosen(c, TRANSFORM.ESN) === 1, group: chosen(c, TRANSFORM.KE) ?? 0 },
    ...(additional !== 0 && { additional }),
  }
}
