import type { EngineReport } from '../crypto/select.js'
import type { EngineName } from '../crypto/types.js'
import type { PathMtu, Way } from '../ipsec/path-mtu.js'
import type { DirectWay } from '../net/types.js'
import type { PolicySpec, SaExpiry, SaKey, SaProtocol, SaSpec } from '../sadb/sa-spec.js'
import type { IpAddress } from '../wire/ip-address.js'
import type { Unreachable } from '../wire/unreachable.js'

// What the main thread and a lane say to each other. Everything can be cloned to another thread.

/** A socket that the main thread opened and a lane uses. */
export interface SocketSpec {
  readonly fd: number
  readonly kind: 'udp' | 'raw'
  readonly family: 4 | 6
  /** IP protocol: 17, 50 or 51; 1 or 58 to hear of paths that are too small. */
  readonly protocol: number
  /** The underlay address it is bound to. */
  readonly local: IpAddress
  /** UDP_GRO is on. */
  readonly gro: boolean
  /** UDP_SEGMENT may be tried. */
  readonly gso: boolean
  /** Packet socket for direct ways; -1: there is none. */
  readonly linkFd: number
}

export interface LaneOptions {
  readonly lane: number
  readonly tun: {
    readonly fd: number
    readonly vnetHeader: boolean
    readonly offloads: number
    /** Inner packets are joined before they are written; only with the vnet header. */
    readonly joinTcp: boolean
    readonly joinUdp: boolean
  }
  readonly sockets: readonly SocketSpec[]
  /** Where packets come from that other lanes have no SA for; negative where there is one lane. */
  readonly inboxFd: number
  /** By lane: where packets go that this one has no SA for. */
  readonly outboxFds: readonly number[]
  readonly wakeFd: number
  readonly engine: EngineName | 'auto'
  /** Counter block, laid out by counters.ts. */
  readonly counters: SharedArrayBuffer
  /** Int32: [MAIL] is non-zero while messages may be waiting. */
  readonly mail: SharedArrayBuffer
}

/** Index of the mail flag. */
export const MAIL = 0

export type ToLane =
  | { readonly op: 'addSa'; readonly sa: SaSpec; readonly slot: number }
  | { readonly op: 'deleteSa'; readonly key: SaKey }
  /** An outbound SA in UDP sends elsewhere from now on. */
  | {
      readonly op: 'redirectSa'
      readonly key: SaKey
      readonly remote: IpAddress
      readonly remotePort: number
    }
  | { readonly op: 'addPolicy'; readonly policy: PolicySpec }
  | { readonly op: 'deletePolicy'; readonly id: number }
  /** MTU of the TUN device, and of the underlay towards each peer. */
  | { readonly op: 'mtus'; readonly tun: number; readonly ways: readonly Way[] }
  /** How raw packets between two underlay addresses reach their station; undefined: through the kernel's IP layer. */
  | {
      readonly op: 'way'
      readonly local: IpAddress
      readonly remote: IpAddress
      readonly way: DirectWay | undefined
    }
  /** A policy has no SA in this lane: its packets go to another one, or, undefined, wait for an SA again. */
  | { readonly op: 'handOver'; readonly policy: number; readonly to: number | undefined }
  /** Another lane has lowered what the TUN device leaves to us. */
  | { readonly op: 'tunOffloads'; readonly bits: number }
  /** What another lane has learnt of the paths to the peers. */
  | { readonly op: 'paths'; readonly paths: readonly PathMtu[] }
  | { readonly op: 'stop' }

export type FromLane =
  | { readonly op: 'ready'; readonly engines: readonly EngineReport[] }
  /** A packet matched a policy that has no SA. Sent once a second and policy at most. */
  | { readonly op: 'acquire'; readonly policy: number }
  | { readonly op: 'expire'; readonly expiry: SaExpiry }
  /** An IKE message came in on an encapsulation socket; its marker is removed. */
  | {
      readonly op: 'ike'
      readonly local: IpAddress
      readonly localPort: number
      readonly remote: IpAddress
      readonly remotePort: number
      readonly message: Uint8Array
    }
  /** A packet came in on an SPI that this lane does not know; the ports are 0 for a packet that was in no UDP. Some a second at most. */
  | {
      readonly op: 'unknownSpi'
      readonly protocol: SaProtocol
      readonly spi: number
      readonly local: IpAddress
      readonly localPort: number
      readonly remote: IpAddress
      readonly remotePort: number
    }
  /** The newest packet of an inbound SA came from elsewhere than the ones before. */
  | {
      readonly op: 'packetFrom'
      readonly key: SaKey
      readonly remote: IpAddress
      readonly remotePort: number
    }
  /** An SA could not be installed. */
  | { readonly op: 'refused'; readonly key: SaKey; readonly reason: string }
  /** An offload misbehaved and was switched off. */
  | {
      readonly op: 'stepBack'
      readonly feature: string
      readonly reason: string
      /** TUN_F_ bits of the device, where it has lost one of them. */
      readonly tunOffloads?: number
    }
  /** ICMP says that a peer cannot be reached; nobody has to have proved it. */
  | ({ readonly op: 'unreachable' } & Unreachable)
  /** What is known of the paths to the peers has changed. */
  | { readonly op: 'pathMtu'; readonly paths: readonly PathMtu[] }
  | { readonly op: 'stopped' }
