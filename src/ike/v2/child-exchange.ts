import { ProtocolError, WireError } from '../../errors.js'
import type { SaMode } from '../../sadb/sa-spec.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { spiNumber, spiOctets } from '../../wire/ike/v1/notify.js'
import {
  isAdditional,
  NOTIFY,
  type NotifyName,
  notifyName,
  PAYLOAD,
  TRANSFORM,
} from '../../wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../wire/ike/v2/sa.js'
import { emitSelectors, parseSelectors } from '../../wire/ike/v2/traffic-selectors.js'
import { formatSelector, type TrafficSelector } from '../../wire/traffic-selector.js'
import type { AgreedChild, Role } from '../child-sa.js'
import type { ChildConfig, IkePeerConfig } from '../config.js'
import { firstDifference, selectorFields } from '../differences.js'
import type { Millis } from '../environment.js'
import { type Explanation, explained } from '../explanation.js'
import type { Path } from '../path.js'
import { findChild } from './find-child.js'
import { explainProposals } from './mismatch.js'
import { type NatState, usesUdp } from './nat.js'
import {
  accepted,
  answerTo,
  type Choice,
  childRequirement,
  choose,
  offer,
  protocolNumber,
  type Requirement,
  settled,
} from './offer.js'
import { notify, type PayloadSet } from './payload-set.js'
import { explanationIn, type Refusal } from './refusals.js'
import { formatSelectors, narrow, type Selectors, within } from './selectors.js'

// What negotiates a CHILD_SA, in IKE_AUTH (RFC 7296 section 1.2) and in CREATE_CHILD_SA (section 1.3): SA, TSi, TSr and
// USE_TRANSPORT_MODE. Nonces and key exchange are the business of the exchange around it.

/** Smallest SPI that is not reserved (RFC 4303 section 2.1). */
const SPI_MIN = 256

export interface ChildContext {
  readonly peer: IkePeerConfig
  readonly nat: NatState
  readonly path: Path
  /** Whether the exchange may have a key exchange of its own: not IKE_AUTH. */
  readonly keyExchange: boolean
}

/** Why there is no CHILD_SA. */
export interface ChildRefusal {
  /** What a responder says. */
  readonly notify: NotifyName
  readonly data?: Uint8Array
  readonly reason: string
  /** The same for the peer, if `reason` is too long for it. */
  readonly told?: string
  readonly fields?: Record<string, unknown>
}
/** A refusal as the peer gets it. */
export const toldOf = (r: ChildRefusal): Refusal =>
  // Another group is a detour, no fault.
  r.notify === 'INVALID_KE_PAYLOAD'
    ? { notify: r.notify, data: r.data }
    : { ...r, reason: r.told ?? r.reason }
export const isRefusal = <T extends object>(x: T | ChildRefusal): x is ChildRefusal => 'notify' in x

/** Whether ESP goes in UDP; a text that says why the SA cannot be. */
function carriedInUdp(child: ChildConfig, c: ChildContext): boolean | string {
  const { nat } = c
  if (child.protocol === 'ah')
    return nat.local || nat.remote
      ? `child ${child.name}: AH cannot pass a NAT, which changes what it protects`
      : false
  if (c.peer.encapsulation === 'udp' && !usesUdp(nat))
    return `child ${child.name}: encapsulation: ours udp, theirs without NAT traversal`
  return usesUdp(nat)
}

// The initiator's side

export interface ChildOffer {
  readonly child: ChildConfig
  /** Ours: of the SA that we will receive on. */
  readonly spi: number
  readonly udp: boolean
  readonly requirements: readonly Requirement[]
  readonly startedAt: Millis
}

export function offerChild(
  child: ChildConfig,
  spi: number,
  now: Millis,
  c: ChildContext,
): ChildOffer | ChildRefusal {
  const udp = carriedInUdp(child, c)
  if (typeof udp === 'string') return { notify: 'NO_PROPOSAL_CHOSEN', reason: udp }
  const requirements = child.proposals.map((p) => childRequirement(p, c.keyExchange))
  return { child, spi, udp, requirements, startedAt: now }
}

const proposalsOf = (o: ChildOffer) =>
  offer(protocolNumber(o.child.protocol), spiOctets(o.spi), o.requirements)

/** SA, TSi, TSr, and USE_TRANSPORT_MODE. */
export const offerPayloads = (o: ChildOffer): PayloadInit[] => [
  ...(o.child.mode === 'transport' ? [notify('USE_TRANSPORT_MODE')] : []),
  { type: PAYLOAD.SA, body: emitSa(proposalsOf(o)) },
  { type: PAYLOAD.TS_I, body: emitSelectors(o.child.localTs) },
  { type: PAYLOAD.TS_R, body: emitSelectors(o.child.remoteTs) },
]

/** A CHILD_SA as the two ends agree on it, before it has keys. */
export interface Agreement {
  readonly agreed: AgreedChild
  readonly choice: Choice
}

/** Reads the response to an offer. @throws WireError */
export function acceptChild(o: ChildOffer, set: PayloadSet): Agreement | ChildRefusal {
  const error = set.error()
  if (error !== undefined)
    return { notify: 'NO_PROPOSAL_CHOSEN', ...saysNo(notifyName(error.type), explanationIn(set), o) }
  const theirs = parseSa(set.need(PAYLOAD.SA))
  const choice = accepted(o.requirements, protocolNumber(o.child.protocol), theirs)
  if (choice === undefined) {
    const why = explainProposals(proposalsOf(o), theirs)
    return {
      notify: 'NO_PROPOSAL_CHOSEN',
      reason: `the peer chose what we did not offer: ${why.difference}`,
      fields: why,
    }
  }
  const selectors = {
    local: parseSelectors(set.need(PAYLOAD.TS_I)),
    remote: parseSelectors(set.need(PAYLOAD.TS_R)),
  }
  const { child } = o
  const empty = selectors.local.length === 0 || selectors.remote.length === 0
  if (empty || !within(selectors.local, child.localTs) || !within(selectors.remote, child.remoteTs))
    return {
      notify: 'TS_UNACCEPTABLE',
      reason: `the peer answered with traffic selectors beyond what we asked for: ${formatSelectors(selectors)}`,
    }
  const transport = set.says(NOTIFY.USE_TRANSPORT_MODE)
  if (transport !== (child.mode === 'transport'))
    return {
      notify: 'NO_PROPOSAL_CHOSEN',
      reason: transport
        ? 'mode: ours tunnel, theirs transport'
        : 'mode: ours transport, theirs tunnel (the peer refuses transport mode)',
    }
  const agreed = agree(child, 'initiator', choice, o, selectors, child.mode)
  return { agreed: { ...agreed, ...padding(set) }, choice }
}

/** The peer's refusal of an offer, for the operator. @param why what it says besides */
export function saysNo(
  name: string,
  why: Explanation | undefined,
  o: ChildOffer,
): Required<Pick<ChildRefusal, 'reason' | 'fields'>> {
  const { child } = o
  const selectors = name === 'TS_UNACCEPTABLE'
  const asked = formatSelectors({ local: child.localTs, remote: child.remoteTs })
  const ours = selectors ? [`${asked} ${child.mode}`] : explainProposals(proposalsOf(o), []).ours
  const fields = { ours, ...(why !== undefined && why.theirs.length > 0 && { theirs: why.theirs }) }
  if (why === undefined && selectors)
    return { reason: `the peer says ${name}: it has no child for ${asked} in ${child.mode} mode`, fields }
  const meaning =
    name === 'SINGLE_PAIR_REQUIRED' && why === undefined
      ? ': it takes one pair of addresses for each CHILD_SA: configure one child for each pair'
      : ''
  return { reason: `the peer says ${explained(name, why)}${meaning}`, fields }
}

/** What to look at when the renewal of a CHILD_SA is refused that was made without a key exchange, in IKE_AUTH most likely. */
export const firstWithoutPfs = (name: string, old: AgreedChild | undefined): string =>
  name === 'NO_PROPOSAL_CHOSEN' && old?.proposal.group === 0
    ? ' (the CHILD_SA that is to be renewed had no key exchange of its own, so that this is the first time that the ends compare theirs: is the group, PFS, the same at both?)'
    : ''

// The responder's side

export interface ChildAnswer extends Agreement {
  /** TSi and TSr as they go back; in transport mode behind a NAT with the peer's own addresses. */
  readonly tsI: Uint8Array
  readonly tsR: Uint8Array
}

/**
 * Reads a request and decides.
 * @param only the children that may answer it
 * @param inLane the child of the same name that the SA with the peer's SPI is for
 * @param spi gives ours, once everything fits
 * @throws WireError
 */
export function answerChild(
  set: PayloadSet,
  now: Millis,
  c: ChildContext,
  only: readonly ChildConfig[],
  inLane: (child: ChildConfig, spi: number) => ChildConfig,
  spi: (child: ChildConfig) => number,
): ChildAnswer | ChildRefusal {
  const theirs = parseSa(set.need(PAYLOAD.SA))
  const asked = {
    local: parseSelectors(set.need(PAYLOAD.TS_R)),
    remote: parseSelectors(set.need(PAYLOAD.TS_I)),
  }
  const transport = set.says(NOTIFY.USE_TRANSPORT_MODE)
  const protocols = new Set(theirs.map((p) => p.protocol))
  const found = findChild(only, asked, transport, protocols, c)
  if (found === undefined) {
    const ours = only.map(
      (x) => `${x.name}: ${formatSelectors({ local: x.localTs, remote: x.remoteTs })} ${x.mode}`,
    )
    const wanted = `${formatSelectors(asked)} ${transport ? 'transport' : 'tunnel'}`
    const told = selectorDifference(only, asked, transport)
    return {
      notify: 'TS_UNACCEPTABLE',
      reason: `no child for the peer's selectors ${wanted}; ours: ${ours.join('; ') || 'none'}; ${told}`,
      told,
      fields: { ours, theirs: [wanted], difference: told },
    }
  }
  const { child } = found
  const udp = carriedInUdp(child, c)
  const requirements = child.proposals.map((p) => childRequirement(p, c.keyExchange))
  const protocol = protocolNumber(child.protocol)
  const offered = c.keyExchange ? theirs : theirs.map(withoutKeyExchange)
  const choice = typeof udp === 'string' ? undefined : choose(requirements, protocol, offered)
  if (choice === undefined) {
    const why = explainProposals(offer(protocol, new Uint8Array(0), requirements), offered)
    const text = typeof udp === 'string' ? udp : `child ${child.name}: ${why.difference}`
    return { notify: 'NO_PROPOSAL_CHOSEN', reason: text, fields: { ...why, child: child.name } }
  }
  const laned = inLane(child, peersSpi(choice))
  const partial = { spi: spi(laned), udp: udp === true, startedAt: now }
  const made = {
    ...agree(laned, 'responder', choice, partial, found.selectors, found.mode),
    ...padding(set),
  }
  const agreed = transport && made.mode === 'tunnel' ? { ...made, modeDeclined: true as const } : made
  return { agreed, choice, tsI: emitSelectors(found.tsI), tsR: emitSelectors(found.tsR) }
}

/** The first difference to the child that comes closest. */
function selectorDifference(only: readonly ChildConfig[], asked: Selectors, transport: boolean): string {
  const text = (ts: readonly TrafficSelector[]): string => ts.map(formatSelector).join(',')
  const theirs = selectorFields(text(asked.local), text(asked.remote), transport ? 'transport' : 'tunnel')
  // What overlaps is no difference: the responder takes a part.
  const ours = only.map((x) =>
    selectorFields(
      text(narrow(asked.local, x.localTs).length > 0 ? asked.local : x.localTs),
      text(narrow(asked.remote, x.remoteTs).length > 0 ? asked.remote : x.remoteTs),
      x.mode,
    ),
  )
  return ours.length === 0 ? 'we have no child' : firstDifference(ours, [theirs])
}

/** SA, TSi, TSr, and USE_TRANSPORT_MODE. */
export const answerPayloads = (a: ChildAnswer): PayloadInit[] => [
  ...(a.agreed.mode === 'transport' ? [notify('USE_TRANSPORT_MODE')] : []),
  { type: PAYLOAD.SA, body: emitSa(answerTo(a.choice, spiOctets(a.agreed.inboundSpi))) },
  { type: PAYLOAD.TS_I, body: a.tsI },
  { type: PAYLOAD.TS_R, body: a.tsR },
]

/** RFC 7296 section 1.2: a group in IKE_AUTH means nothing, as there is no KE payload; nor does what would follow it. */
const withoutKeyExchange = <P extends { transforms: readonly { type: number }[] }>(p: P): P => ({
  ...p,
  transforms: p.transforms.filter((t) => t.type !== TRANSFORM.KE && !isAdditional(t.type)),
})

function agree(
  child: ChildConfig,
  role: Role,
  choice: Choice,
  o: { spi: number; udp: boolean; startedAt: Millis },
  selectors: Selectors,
  mode: SaMode,
): AgreedChild {
  const outboundSpi = peersSpi(choice)
  return {
    ...{ child, role, proposal: settled(child.proposals[choice.index]!, choice), mode, udp: o.udp },
    ...{ inboundSpi: o.spi, outboundSpi, startedAt: o.startedAt },
    localTs: selectors.local,
    remoteTs: selectors.remote,
    lifeSeconds: undefined,
    lifeOctets: undefined,
  }
}

/** RFC 7296 section 1.3.1: a sender of this must not be sent padding on the CHILD_SA of the exchange. */
const padding = (set: PayloadSet): Pick<AgreedChild, 'noTfc'> =>
  set.says(NOTIFY.ESP_TFC_PADDING_NOT_SUPPORTED) ? { noTfc: true } : {}

/** The SPI that the peer will receive on. @throws WireError */
function peersSpi(choice: Choice): number {
  const { spi } = choice.theirs
  const number = spi.length === 4 ? spiNumber(spi) : 0
  if (number < SPI_MIN) throw new WireError('proposal.spi', 0, 'is no SPI of ESP or AH')
  return number
}

/** Runs what reads the peer's payloads: a key exchange that fails is a refusal like others. */
export function refusalOf(error: unknown): ChildRefusal {
  if (error instanceof WireError) return { notify: 'INVALID_SYNTAX', reason: error.message }
  if (error instanceof ProtocolError) return { notify: 'INVALID_SYNTAX', reason: error.message }
  throw error
}
