import type { IpAddress } from '../wire/ip-address.js'
import type { TrafficSelector } from '../wire/traffic-selector.js'

// What key management hands to the data path, in the words of the kernels' SADB interfaces (RFC 2367, XFRM): plain data
// that can be cloned to a worker thread. Both sides of the interface know this folder and not each other.

export type Direction = 'inbound' | 'outbound'
export type SaProtocol = 'esp' | 'ah'
export type SaMode = 'tunnel' | 'transport'

/** Limits of an SA; undefined = none. The soft limit asks for a rekey, at the hard limit the SA stops (RFC 4301 section 4.4.2.1). */
export interface SaLifetime {
  readonly softSeconds?: number
  readonly hardSeconds?: number
  /** Octets of protected (inner) packets. */
  readonly softOctets?: number
  readonly hardOctets?: number
  readonly softPackets?: number
  readonly hardPackets?: number
}

/** One direction of a CHILD_SA, or a manual SA. */
export interface SaSpec {
  readonly direction: Direction
  readonly protocol: SaProtocol
  readonly mode: SaMode
  /** Host order, never 0; chosen by the receiver. */
  readonly spi: number
  /** Policy (CHILD configuration) that the SA serves. */
  readonly policy: number
  /** ESP only. `key` holds the cipher key followed by the salt, in KEYMAT order. */
  readonly encryption?: { readonly id: number; readonly key: Uint8Array }
  /** AH, and ESP with a cipher that is not an AEAD. */
  readonly integrity?: { readonly id: number; readonly key: Uint8Array }
  readonly esn: boolean
  /** Packets; a multiple of 32, at least 32; 0 = no replay protection (manual SAs, whose numbers start again). Inbound only. */
  readonly replayWindow: number
  /** Outer addresses, as this host sees them. */
  readonly local: IpAddress
  readonly remote: IpAddress
  /** RFC 3948 encapsulation; absent = raw protocol 50 or 51. */
  readonly udp?: { readonly localPort: number; readonly remotePort: number }
  /** Negotiated selectors. */
  readonly localTs: readonly TrafficSelector[]
  readonly remoteTs: readonly TrafficSelector[]
  readonly lifetime: SaLifetime
  /** Outbound: the peer takes no traffic-flow-confidentiality padding, whatever the policy says. */
  readonly tfc?: false
}

/** Names one SA of this host. */
export interface SaKey {
  readonly direction: Direction
  readonly protocol: SaProtocol
  readonly spi: number
  /** Outbound SPIs are chosen by the peers, and two peers may choose the same: with its policy the SA is named for sure. */
  readonly policy?: number
}

/** How the packets of a policy are treated besides being protected. */
export interface PacketHandling {
  /**
   * DF of the outer IPv4 header (RFC 4301 section 8.1): `copy` takes it from an IPv4 packet and sets it for an IPv6 one, which
   * no router may fragment.
   */
  readonly df: 'copy' | 'set' | 'clear'
  /**
   * Which way DSCP is copied between the headers of a tunnel (RFC 4301 section 5.1.2). Inwards it is what anybody on the way has
   * written there.
   */
  readonly dscp: 'out' | 'in' | 'both' | 'off'
  /** ECN goes in and comes out by RFC 6040; false: the outer packets tell nothing, and are not heeded. */
  readonly ecn: boolean
  /** Largest MSS that TCP connections may agree on; `auto`: what fits the path. */
  readonly mss: number | 'auto' | 'off'
  /**
   * Traffic-flow-confidentiality padding (RFC 4303 section 2.7), ESP in tunnel mode: inner packets look as if they had so many
   * octets; `mtu`: as many as fit. 0 = off.
   */
  readonly tfc: number | 'mtu'
  /** Dummy packets a second (RFC 4303 section 2.6), ESP in tunnel mode, whether there is traffic or not. 0 = none. */
  readonly dummyRate: number
}

export const DEFAULT_HANDLING: PacketHandling = {
  df: 'copy',
  dscp: 'out',
  ecn: true,
  mss: 'auto',
  tfc: 0,
  dummyRate: 0,
}

/** One SPD entry: traffic between the selectors is protected by the newest outbound SA with this policy's id. */
export interface PolicySpec {
  readonly id: number
  /** Configuration names, for logs and status. */
  readonly peer: string
  readonly child: string
  readonly mode: SaMode
  readonly protocol: SaProtocol
  readonly localTs: readonly TrafficSelector[]
  readonly remoteTs: readonly TrafficSelector[]
  /** Default DEFAULT_HANDLING. */
  readonly handling?: PacketHandling
}

/** What key management asks of the data path. */
export interface Sadb {
  /** Adds or replaces. A new outbound SA of a policy takes over its traffic at once. */
  addSa(sa: SaSpec): void
  deleteSa(key: SaKey): void
}

/** Why an SA came to its end by itself. */
export interface SaExpiry extends SaKey {
  readonly policy: number
  readonly limit: 'soft' | 'hard'
  /** `asked`: nothing was reached; somebody wants a new one. */
  readonly cause: 'time' | 'octets' | 'packets' | 'sequence' | 'asked'
}
