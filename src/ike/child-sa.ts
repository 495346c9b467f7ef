import type { SaMode } from '../sadb/sa-spec.js'
import type { TrafficSelector } from '../wire/traffic-selector.js'
import type { ChildConfig } from './config.js'
import type { Millis } from './environment.js'
import type { ChildProposal } from './proposals.js'

// A CHILD_SA as negotiated, whichever IKE version did it.

export type Role = 'initiator' | 'responder'

export interface AgreedChild {
  readonly child: ChildConfig
  /** Ours in the exchange that made it. */
  readonly role: Role
  /** With `esn` decided. */
  readonly proposal: ChildProposal
  readonly mode: SaMode
  /** The peer asked for transport mode and got a tunnel. */
  readonly modeDeclined?: true
  /** The peer takes no padding against traffic analysis (RFC 7296 section 1.3.1). */
  readonly noTfc?: true
  readonly udp: boolean
  /** Host order. The inbound one is ours, the outbound one the peer's. */
  readonly inboundSpi: number
  readonly outboundSpi: number
  readonly localTs: readonly TrafficSelector[]
  readonly remoteTs: readonly TrafficSelector[]
  /** Lifetime that the initiator of the exchange has said; each end takes the shorter of it and its own. */
  readonly lifeSeconds: number | undefined
  readonly lifeOctets: number | undefined
  /** When our part in the exchange began. */
  readonly startedAt: Millis
}

/** The SPI that the exchange's initiator chose: the same number at both ends. */
export const initiatorsSpi = (a: AgreedChild): number =>
  a.role === 'initiator' ? a.inboundSpi : a.outboundSpi
