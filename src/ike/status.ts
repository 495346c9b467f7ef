import type { SaMode, SaProtocol } from '../sadb/sa-spec.js'
import type { Role } from './child-sa.js'
import type { DynamicPsk } from './config.js'
import type { Millis } from './environment.js'

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
  readonly lastError: { readonly at: Millis; readonly ageMs: number; readonly message: string } | undefined
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
  readonly state: 'HALF' | 'CURRENT' | 'REPLACED'
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
