import { encryptionInfo, integrityInfo, KE, PRF } from '../crypto/algorithms.js'
import { parseIkeProposal } from '../ike/proposals.js'
import type { ChildSaStatus, IkePeerStatus, IkeSaStatus } from '../ike/status.js'
import { basePolicy } from '../sadb/lane-policy.js'

// Key management as status shows it: IKE's own status with the times as seconds, ready for JSON.

export interface IkeView {
  readonly version: 1 | 2
  /** What has been reached: "idle", "pre-phase", "connecting", "established". */
  readonly phase: IkePeerStatus['phase']
  /** Children that are asked for and have no SA. */
  readonly wanted: readonly string[]
  /** Why the last attempt failed, or why the one under way makes no headway. */
  readonly lastError: string | undefined
  readonly lastErrorAgeSeconds: number | undefined
  readonly sas: readonly IkeSaView[]
  readonly children: readonly ChildPairView[]
}

export interface IkeSaView {
  readonly version: 1 | 2
  readonly state: string
  /** Another IKE SA has taken its place. */
  readonly replaced: boolean
  readonly initiator: boolean
  /** 16 hex digits each; the responder's zero until it is known. */
  readonly initiatorSpi: string
  readonly responderSpi: string
  /** "192.0.2.1:500". */
  readonly local: string
  readonly remote: string
  /** "aes128-sha256-modp2048"; absent while nothing is negotiated. */
  readonly proposal: string | undefined
  /** Why UDP encapsulation is used. */
  readonly nat: string | undefined
  /** Since it was established. */
  readonly ageSeconds: number | undefined
  readonly rekeySeconds: number | undefined
  readonly expiresSeconds: number | undefined
}

/** The two SAs of a negotiated child, which belong together. */
export interface ChildPairView {
  readonly policy: number
  readonly inboundSpi: number
  readonly outboundSpi: number
  readonly state: ChildSaStatus['state']
  readonly proposal: string
  readonly rekeySeconds: number | undefined
}

/** Views by peer name. */
export function ikeViews(peers: readonly IkePeerStatus[]): ReadonlyMap<string, IkeView> {
  return new Map(peers.map((p) => [p.peer, viewOf(p)]))
}

function viewOf(p: IkePeerStatus): IkeView {
  return {
    version: p.version,
    phase: p.phase,
    wanted: p.wanted,
    lastError: p.lastError?.message,
    lastErrorAgeSeconds: seconds(p.lastError?.ageMs),
    sas: p.ikeSas.map(saView),
    children: p.children.map((c) => ({
      policy: basePolicy(c.policy),
      inboundSpi: c.inboundSpi,
      outboundSpi: c.outboundSpi,
      state: c.state,
      proposal: c.proposal,
      rekeySeconds: seconds(c.rekeyInMs),
    })),
  }
}

function saView(sa: IkeSaStatus): IkeSaView {
  return {
    version: sa.version,
    state: sa.state,
    replaced: sa.replaced,
    initiator: sa.role === 'initiator',
    initiatorSpi: sa.initiatorSpi,
    responderSpi: sa.responderSpi ?? '0'.repeat(16),
    local: sa.local,
    remote: sa.remote,
    proposal: sa.proposal,
    nat: sa.nat,
    ageSeconds: seconds(sa.ageMs),
    rekeySeconds: seconds(sa.rekeyInMs),
    expiresSeconds: seconds(sa.expiresInMs),
  }
}

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000)

/** The algorithms of an IKE proposal by the names that strongSwan shows. */
export interface ProposalNames {
  readonly encryption: string | undefined
  readonly keyBits: number
  readonly integrity: string | undefined
  readonly prf: string | undefined
  readonly group: string | undefined
  /** Of the second key exchange (RFC 9370). */
  readonly second: string | undefined
}

const PRF_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(PRF).map(([name, id]) => [id, `PRF_${name}`]),
)
// "MODP2048" is "MODP_2048" there, "CURVE25519" is "CURVE_25519".
const GROUP_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(KE).map(([name, id]) => [id, name.replace(/([A-Z])(\d+)$/, '$1_$2')]),
)

export function proposalNames(text: string): ProposalNames {
  const p = parseIkeProposal(text)
  return {
    encryption: encryptionInfo(p.encryption.id)?.name,
    keyBits: p.encryption.keyBits,
    integrity: integrityInfo(p.integrity)?.name,
    prf: PRF_NAMES.get(p.prf),
    group: GROUP_NAMES.get(p.group),
    second: p.additional === undefined ? undefined : GROUP_NAMES.get(p.additional),
  }
}
