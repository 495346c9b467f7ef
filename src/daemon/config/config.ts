import type { EngineName } from '../../crypto/types.js'
import type { OffloadOptions } from '../../dataplane/descriptors.js'
import type { IkePeerConfig } from '../../ike/config.js'
import type { Identity } from '../../ike/identity.js'
import type { PolicySpec, SaSpec } from '../../sadb/sa-spec.js'
import type { IpAddress } from '../../wire/ip-address.js'
import type { InterfaceAddress } from './fields.js'

// The configuration file after it was read, checked and resolved: what the daemon's parts are given.

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'auto' | 'json' | 'pretty'

export interface GatewayConfig {
  /** The file that it was read from. */
  readonly file: string
  readonly host: HostSettings
  readonly tun: TunSettings
  readonly log: { readonly level: LogLevel; readonly format: LogFormat }
  readonly dataplane: DataplaneSettings
  /** Directory that the keys of all SAs are written to, in plain. Undefined: they are not. */
  readonly keyLog: string | undefined
  /** In the order of the file. */
  readonly peers: readonly PeerSettings[]
  /** Peers that are keyed by IKE. Their keys belong to the configuration: `wipeConfig`. */
  readonly ike: readonly IkePeerConfig[]
  /** Every child of every peer; ids count from 1 in the order of the file. */
  readonly policies: readonly PolicySettings[]
  /** SAs with keys from files. Wiped by `wipeConfig`, after the data path has its copy. */
  readonly manual: readonly SaSpec[]
}

export interface HostSettings {
  readonly id: Identity | undefined
  /** Of this host's own key pair, 64 octets. */
  readonly publicKey: Uint8Array | undefined
  /** Directory of what must outlive the daemon: pre-phase timestamps. */
  readonly state: string
  /** Path of the control socket. */
  readonly control: string
}

export interface TunSettings {
  readonly name: string
  readonly addresses: readonly InterfaceAddress[]
  readonly mtu: number | 'auto'
}

export interface DataplaneSettings {
  readonly engine: EngineName | 'auto'
  /** Mark of the gateway's own packets, which keeps them out of the TUN device. */
  readonly fwmark: number
  /** Routing table of the protected destinations in transparent use. */
  readonly table: number
  readonly offload: OffloadOptions
  /** Worker threads; `auto`: one for every two processors. */
  readonly lanes: number | 'auto'
}

export interface PeerSettings {
  readonly name: string
  readonly local: IpAddress
  readonly remote: IpAddress
  /** Of K_ab; undefined with a plain PSK, and where all children have manual SAs. */
  readonly fingerprint: string | undefined
}

export interface PolicySettings extends PolicySpec {
  /** The remote selectors contain the peer's own underlay address. */
  readonly transparent: boolean
  /** SAs are manual: nothing is negotiated. */
  readonly manual: boolean
  /** Whether the outer packets are UDP (RFC 3948): `auto` is settled by negotiation. */
  readonly encapsulation: 'auto' | 'udp' | 'raw'
  /** Underlay addresses of its peer. */
  readonly local: IpAddress
  readonly remote: IpAddress
}
