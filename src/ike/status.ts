import { hex } from '../bytes/octets.js'
import type { SaMode, SaProtocol } from '../sadb/sa-spec.js'
import { formatSelector } from '../wire/traffic-selector.js'
import type { Role } from './child-sa.js'
import type { ChildRecord, ChildState } from './children.js'
import type { DynamicPsk } from './config.js'
import type { Millis } from './environment.js'
import type { HeldIkeSa } from './ike-sa-set.js'
import { formatEndpoint } from './path.js'
import { formatChildProposal } from './proposals.js'
import type { Trouble } from './trouble.js'

// What `status` shows. Times are of the monotonic clock that every entry point is given; texts carry no key.

export interface IkePeerStatus {
  readonly peer: string
  readonly localId: string
  readonly remoteId: string
  readonly version: 1 | 2
  readonly dynamicPsk: DynamicPsk
  readonly phase: 'idle' | 'pre-phase' | 'connecting' | 'established'
  readonly ikeSas: readonly IkeSaStatus[]
  readonly children: readonly ChildSaStatus[]
  /** Children that are asked for and have no SA. */
  readonly wanted: readonly string[]
  /** Why the last attempt failed, or why the one under way makes no headway. */
  readonly lastError: (Trouble & { readonly ageMs: number }) | undefined
}

export interface IkeSaStatus {
  readonly version: 1 | 2
  readonly role: Role
  /** Cookies or SPIs in hex; the responder's is undefined until it is known. */
  readonly initiatorSpi: string
  readonly responderSpi: string | undefined
  readonly state: string
  /** Another IKE SA has taken its place; it ends soon. */
  readonly replaced: boolean
  /** "192.0.2.1:500". */
  readonly local: string
  readonly remote: string
  readonly proposal: string | undefined
  /** Why UDP encapsulation is used; undefined when it is not. */
  readonly nat: string | undefined
  readonly establishedAt: Millis | undefined
  readonly ageMs: number | undefined
  readonly rekeyInMs: number | undefined
  readonly expiresInMs: number | undefined
}

export interface ChildSaStatus {
  readonly child: string
  readonly policy: number
  readonly state: ChildState
  readonly role: Role
  readonly protocol: SaProtocol
  readonly mode: SaMode
  readonly udp: boolean
  readonly proposal: string
  readonly inboundSpi: number
  readonly outboundSpi: number
  readonly localTs: readonly string[]
  readonly remoteTs: readonly string[]
  readonly installedAt: Millis
  readonly ageMs: number
  readonly rekeyInMs: number | undefined
  readonly expiresInMs: number | undefined
}

export function ikeSaStatus({ sa, closeAt }: HeldIkeSa, now: Millis): IkeSaStatus {
  const { state, proposal, nat } = sa.describe()
  return {
    version: sa.version,
    role: sa.role,
    initiatorSpi: hex(sa.initiatorSpi),
    responderSpi: sa.responderSpi && hex(sa.responderSpi),
    ...{ state, proposal, nat },
    replaced: closeAt !== undefined,
    local: formatEndpoint(sa.path.local),
    remote: formatEndpoint(sa.path.remote),
    establishedAt: sa.establishedAt,
    ageMs: sa.establishedAt === undefined ? undefined : now - sa.establishedAt,
    rekeyInMs: remaining(sa.softAt, now),
    expiresInMs: remaining(closeAt ?? sa.hardAt, now),
  }
}

export function childSaStatus(r: ChildRecord, now: Millis): ChildSaStatus {
  const { agreed: a, state, installedAt } = r
  return {
    child: a.child.name,
    policy: a.child.policy,
    state,
    role: a.role,
    protocol: a.proposal.protocol,
    mode: a.mode,
    udp: a.udp,
    proposal: formatChildProposal(a.proposal),
    inboundSpi: a.inboundSpi,
    outboundSpi: a.outboundSpi,
    localTs: a.localTs.map(formatSelector),
    remoteTs: a.remoteTs.map(formatSelector),
    installedAt,
    ageMs: now - installedAt,
    rekeyInMs: state === 'CURRENT' ? remaining(r.softAt, now) : undefined,
    expiresInMs: remaining(r.hardAt ?? r.deleteAt, now),
  }
}

const remaining = (at: Millis | undefined, now: Millis): number | undefined =>
  at === undefined ? undefined : Math.max(0, at - now)

/** Eight hex digits. */
export const spiText = (spi: number): string => spi.toString(16).padStart(8, '0')
