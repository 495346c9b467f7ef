import { ENCR, encryptionInfo, INTEG } from '../../crypto/algorithms.js'
import type { SaMode } from '../../sadb/sa-spec.js'
import { type Attribute, attributeNumber, numberAttribute } from '../../wire/ike/v1/attributes.js'
import { spiNumber, spiOctets } from '../../wire/ike/v1/notify.js'
import {
  DOI_IPSEC,
  ENCAPSULATION,
  LIFE,
  PHASE2,
  PROTOCOL,
  SIT_IDENTITY_ONLY,
} from '../../wire/ike/v1/numbers.js'
import type { Proposal, SaPayload, Transform } from '../../wire/ike/v1/sa.js'
import type { ChildConfig } from '../config.js'
import { type Fields, sameFields } from '../differences.js'
import { type ChildProposal, formatCipher, formatGroup, formatIntegrity } from '../proposals.js'
import {
  ahTransform,
  authentication,
  authenticationName,
  encrOfEspTransform,
  espTransform,
  espTransformName,
  integOfAhTransform,
  integOfAuthentication,
} from './algorithms.js'
import { lifeOf } from './phase1-offer.js'

// The SA payload of Quick Mode, RFC 2407 section 4.5: one proposal with our SPI, one transform for each combination.

/** Smallest SPI that is not reserved (RFC 4303 section 2.1). */
export const SPI_MIN = 256

/** Why IKEv1 cannot express a proposal; undefined when it can. */
export function phase2Obstacle(p: ChildProposal): string | undefined {
  if (p.additional !== undefined) return 'IKEv1 has no second key exchange; use it with IKEv2'
  if (p.protocol === 'ah')
    return ahTransform(p.integrity) === undefined
      ? `IKEv1 has no number for AH with ${formatIntegrity(p.integrity)}`
      : undefined
  const id = p.encryption?.id ?? ENCR.NULL
  if (espTransform(id) === undefined)
    return `IKEv1 has no number for ${formatCipher({ id, keyBits: p.encryption?.keyBits ?? 0 })}; use it with IKEv2, or take aes128gcm16 or aes256gcm16 with IKEv1`
  if (p.integrity !== INTEG.NONE && authentication(p.integrity) === undefined)
    return `IKEv1 has no number for ${formatIntegrity(p.integrity)}`
  return undefined
}

/** What can be agreed about one SA: a proposal with its ESN decided, and how it is carried. */
export interface Phase2Variant {
  readonly proposal: ChildProposal
  readonly mode: SaMode
  readonly udp: boolean
}

/**
 * Everything that a child may agree to, in order of preference.
 * @param udp which encapsulations may be: UDP, raw or both
 * @param extended whether what takes sequence numbers of either length may be offered with 64 bits. libreswan refuses an offer in
 *   which a single transform has RFC 4304's attribute.
 */
export function variantsOf(child: ChildConfig, udp: readonly boolean[], extended = true): Phase2Variant[] {
  return udp.flatMap((u) =>
    child.proposals
      .filter((p) => phase2Obstacle(p) === undefined)
      .flatMap(({ esnOptional, ...p }) =>
        esnOptional === true ? [...(extended ? [p] : []), { ...p, esn: false }] : [p],
      )
      .map((p) => ({ proposal: p, mode: child.mode, udp: u })),
  )
}

/** What we offer: those with the first one's group, as one Quick Mode has one key exchange (RFC 2409 section 5.5). */
export function offerable(variants: readonly Phase2Variant[]): Phase2Variant[] {
  return variants.filter((v) => v.proposal.group === variants[0]!.proposal.group)
}

export interface Phase2Life {
  readonly seconds: number | undefined
  readonly kilobytes: number | undefined
}

/** The SA payload of message 1. @param variants not empty, all of one protocol and group */
export function offerPhase2(variants: readonly Phase2Variant[], spi: number, life: Phase2Life): SaPayload {
  const transforms = variants.map((v, i): Transform => {
    const { proposal: p } = v
    const attributes: Attribute[] = []
    const put = (type: number, value: number): void => {
      attributes.push(numberAttribute(type, value))
    }
    if (p.encryption !== undefined && encryptionInfo(p.encryption.id)?.hasKeyLengthAttribute)
      put(PHASE2.KEY_LENGTH, p.encryption.keyBits)
    if (p.integrity !== INTEG.NONE) put(PHASE2.AUTHENTICATION, authentication(p.integrity)!)
    if (p.group !== 0) put(PHASE2.GROUP, p.group)
    put(PHASE2.ENCAPSULATION, encapsulationOf(v))
    if (p.esn) put(PHASE2.ESN, 1)
    if (life.seconds !== undefined) {
      put(PHASE2.LIFE_TYPE, LIFE.SECONDS)
      put(PHASE2.LIFE_DURATION, life.seconds)
    }
    if (life.kilobytes !== undefined) {
      put(PHASE2.LIFE_TYPE, LIFE.KILOBYTES)
      put(PHASE2.LIFE_DURATION, Math.min(life.kilobytes, 0xffffffff))
    }
    const id = p.protocol === 'ah' ? ahTransform(p.integrity)! : espTransform(p.encryption!.id)!
    return { number: i + 1, id, attributes }
  })
  const protocol = variants[0]!.proposal.protocol === 'ah' ? PROTOCOL.AH : PROTOCOL.ESP
  const proposal: Proposal = { number: 1, protocol, spi: spiOctets(spi), transforms }
  return { doi: DOI_IPSEC, situation: SIT_IDENTITY_ONLY, proposals: [proposal] }
}

function encapsulationOf(v: Phase2Variant): number {
  if (v.mode === 'tunnel') return v.udp ? ENCAPSULATION.UDP_TUNNEL : ENCAPSULATION.TUNNEL
  return v.udp ? ENCAPSULATION.UDP_TRANSPORT : ENCAPSULATION.TRANSPORT
}

export interface Phase2Choice {
  readonly variant: Phase2Variant
  /** The peer's SPI: the one of the SA towards it. */
  readonly peerSpi: number
  readonly life: Phase2Life
  /** The responder's SA payload once our SPI is known: the chosen transform as it came. */
  answer(spi: number): SaPayload
}

/** Our most preferred variant among those that the peer's payload contains. */
export function choosePhase2(variants: readonly Phase2Variant[], sa: SaPayload): Phase2Choice | undefined {
  const offered = transformsOf(sa)
  for (const variant of variants) {
    const fields = fieldsOfVariant(variant)
    const found = offered.find((o) => sameFields(fieldsOfTransform(o.proposal, o.transform), fields))
    if (found === undefined) continue
    const { proposal, transform } = found
    return {
      variant,
      peerSpi: spiNumber(proposal.spi),
      life: {
        seconds: life(transform, LIFE.SECONDS),
        kilobytes: life(transform, LIFE.KILOBYTES),
      },
      answer: (spi) => ({
        ...sa,
        proposals: [{ ...proposal, spi: spiOctets(spi), transforms: [transform] }],
      }),
    }
  }
  return undefined
}

const life = (t: Transform, unit: number): number | undefined =>
  lifeOf(t.attributes, PHASE2.LIFE_TYPE, PHASE2.LIFE_DURATION, unit)

/** All that the peer offers, for log lines. */
export const phase2Fields = (sa: SaPayload): Fields[] =>
  sa.proposals.flatMap((p) => p.transforms.map((t) => fieldsOfTransform(p, t)))
/** All that we have, for log lines. */
export const ownPhase2Fields = (variants: readonly Phase2Variant[]): Fields[] => variants.map(fieldsOfVariant)

/** Transforms of proposals with a usable SPI. Proposals of one number are one bundle (AH with ESP, IPComp): not ours. */
function transformsOf(sa: SaPayload): { proposal: Proposal; transform: Transform }[] {
  return sa.proposals
    .filter(
      (p) =>
        p.spi.length === 4 &&
        spiNumber(p.spi) >= SPI_MIN &&
        sa.proposals.filter((q) => q.number === p.number).length === 1,
    )
    .flatMap((proposal) => proposal.transforms.map((transform) => ({ proposal, transform })))
}

const numbersName = (esn: boolean): string => (esn ? 'esn' : 'noesn')
const carriedName = (mode: string, udp: boolean): string => (udp ? `${mode} in UDP` : mode)

function fieldsOfVariant(v: Phase2Variant): Fields {
  const { proposal: p } = v
  return {
    protocol: p.protocol,
    ...(p.encryption !== undefined && { encryption: formatCipher(p.encryption) }),
    integrity: p.integrity === INTEG.NONE ? 'none' : formatIntegrity(p.integrity),
    pfs: formatGroup(p.group),
    mode: carriedName(v.mode, v.udp),
    numbers: numbersName(p.esn),
  }
}

/** Modes by attribute value. */
const modes = new Map<number, string>([
  [ENCAPSULATION.TUNNEL, carriedName('tunnel', false)],
  [ENCAPSULATION.TRANSPORT, carriedName('transport', false)],
  [ENCAPSULATION.UDP_TUNNEL, carriedName('tunnel', true)],
  [ENCAPSULATION.UDP_TRANSPORT, carriedName('transport', true)],
])
const KNOWN: readonly number[] = [PHASE2.LIFE_TYPE, PHASE2.LIFE_DURATION]

function fieldsOfTransform(p: Proposal, t: Transform): Fields {
  const values = new Map(t.attributes.map((a) => [a.type, attributeNumber(a) ?? -1]))
  const take = (type: number): number | undefined => {
    const value = values.get(type)
    values.delete(type)
    return value
  }
  const keyBits = take(PHASE2.KEY_LENGTH)
  const auth = take(PHASE2.AUTHENTICATION)
  const integ = auth === undefined ? undefined : integOfAuthentication(auth)
  const integrity =
    auth === undefined ? 'none' : integ === undefined ? authenticationName(auth) : formatIntegrity(integ)
  const encapsulation = take(PHASE2.ENCAPSULATION) ?? 0
  const common = {
    pfs: formatGroup(take(PHASE2.GROUP) ?? 0),
    mode: modes.get(encapsulation) ?? `encapsulation ${encapsulation}`,
    numbers: numbersName(take(PHASE2.ESN) === 1),
  }
  for (const type of KNOWN) values.delete(type)
  const rest: Record<string, string> = {}
  for (const [type, value] of values) rest[`attribute ${type}`] = String(value)
  if (p.protocol === PROTOCOL.ESP) {
    const encr = encrOfEspTransform(t.id)
    const encryption =
      encr === undefined ? espTransformName(t.id) : formatCipher({ id: encr, keyBits: keyBits ?? 0 })
    return { protocol: 'esp', encryption, integrity, ...common, ...rest }
  }
  if (p.protocol === PROTOCOL.AH) {
    // AH names its algorithm twice; both must agree.
    const twice = integOfAhTransform(t.id) === integ ? integrity : `AH transform ${t.id} with ${integrity}`
    return { protocol: 'ah', integrity: twice, ...common, ...rest }
  }
  return { protocol: `protocol ${p.protocol}`, integrity, ...common, ...rest }
}
