import type { SaLifetime, SaMode, SaProtocol } from '../sadb/sa-spec.js'
import type { IpAddress } from '../wire/ip-address.js'
import type { TrafficSelector } from '../wire/traffic-selector.js'
import type { Identity } from './identity.js'
import type { Ppk } from './ike-sa.js'
import type { ChildProposal, IkeProposal } from './proposals.js'

// What IKE and the pre-phase need to know of the configuration, already checked and resolved.

export type DynamicPsk = 'hardened' | 'classic' | 'off'
export type Encapsulation = 'auto' | 'udp' | 'raw'

export interface IkePeerConfig {
  /** Name in the configuration; unique. */
  readonly name: string
  readonly localId: Identity
  readonly remoteId: Identity
  readonly local: IpAddress
  readonly remote: IpAddress
  /**
   * K_ab, 32 octets; with `off` a plain PSK of at least 16 octets, or nothing beside `signatures`. Owned by the configuration; wiped
   * at unload.
   */
  readonly key: Uint8Array
  readonly dynamicPsk: DynamicPsk
  /** IKEv2: both ends prove themselves by signatures instead of the pre-shared key. Owned by the configuration. */
  readonly signatures?: Signatures
  /** IKEv2: a static PPK; the hardened pre-phase makes one of its own. Owned by the configuration. */
  readonly ppk?: Ppk
  readonly version: 1 | 2
  /** In order of preference. */
  readonly proposals: readonly IkeProposal[]
  readonly ikeLifetimeSeconds: number
  readonly encapsulation: Encapsulation
  /** Dead peer detection (RFC 3706): ask after so many idle seconds; 0 = never. */
  readonly dpdDelaySeconds: number
  /** IP packets of IKE messages are at most so large when the peer takes fragments; 0 = never cut. */
  readonly fragmentSize: number
  readonly children: readonly ChildConfig[]
}

/** What IKE authenticates both ends by. */
export const authOf = (peer: IkePeerConfig): 'psk' | 'pubkey' => (peer.signatures ? 'pubkey' : 'psk')

/** Ed25519 keys. */
export interface Signatures {
  /** Seed of our private key, 32 octets. */
  readonly sign: Uint8Array
  /** Our public key, 32 octets. */
  readonly own: Uint8Array
  /** The peer's, 32 octets. */
  readonly peer: Uint8Array
}

export interface Lane {
  readonly index: number
  /** At least 2. */
  readonly count: number
}

export interface ChildConfig {
  readonly name: string
  /** Policy id, unique on the host. */
  readonly policy: number
  /**
   * The lane of the data path that its SAs are for, if there are several: a child of the configuration is then a child for each
   * of them, alike but for policy and lane.
   */
  readonly lane?: Lane
  readonly protocol: SaProtocol
  readonly mode: SaMode
  readonly proposals: readonly ChildProposal[]
  readonly localTs: readonly TrafficSelector[]
  readonly remoteTs: readonly TrafficSelector[]
  readonly replayWindow: number
  /** Its packets are padded against traffic analysis (RFC 4303 section 2.7), if the peer takes that. */
  readonly pads?: true
  /** Hard limits; the soft ones are derived with jitter by whoever negotiates. */
  readonly lifetime: SaLifetime
  /** `start`: negotiate at once; `trap`: at the first packet. */
  readonly start: 'trap' | 'start'
}
