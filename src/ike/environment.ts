import type { SaKey, SaSpec } from '../sadb/sa-spec.js'
import type { IpAddress } from '../wire/ip-address.js'

// What the sans-I/O IKE code gets from outside and hands back. Times are milliseconds of a monotonic clock, passed in
// by the caller of every entry point; nothing in ike/ reads a clock.

export type Millis = number

export interface Endpoint {
  readonly address: IpAddress
  /** 500 or 4500 on our side; a peer behind a NAT may have any. */
  readonly port: number
}

/** Wall-clock time for TAI64N labels. */
export interface WallTime {
  readonly unixSeconds: number
  readonly nanoseconds: number
}

/** Highest pre-phase timestamps, kept on disk (12-octet TAI64N labels). */
export interface TimestampStore {
  /** Last label that we sent to the peer; undefined when never. */
  lastSent(peer: string): Uint8Array | undefined
  /** Highest label accepted from the peer. */
  lastAccepted(peer: string): Uint8Array | undefined
  /** Durable when it returns. @throws SystemError; the exchange then fails closed. */
  setLastSent(peer: string, label: Uint8Array): void
  setLastAccepted(peer: string, label: Uint8Array): void
}

/** Keys of an IKEv1 SA, for a key log. */
export interface IkeV1Keys {
  readonly version: 1
  /** The initiator's cookie. */
  readonly initiatorSpi: Uint8Array
  readonly encryptionKey: Uint8Array
}

/** Keys of an IKEv2 SA, for a key log: SK_e and SK_a of both directions, a salt behind SK_e; SK_a is empty with an AEAD. */
export interface IkeV2Keys {
  readonly version: 2
  readonly initiatorSpi: Uint8Array
  readonly responderSpi: Uint8Array
  /** Those before a second key exchange (RFC 9370): they protect IKE_INTERMEDIATE, and other keys all that comes behind it. */
  readonly interim: boolean
  /** IANA ids of the algorithms. */
  readonly encryption: number
  readonly integrity: number
  readonly ei: Uint8Array
  readonly er: Uint8Array
  readonly ai: Uint8Array
  readonly ar: Uint8Array
}

export type IkeSaKeys = IkeV1Keys | IkeV2Keys

export interface IkeEnvironment {
  /** Cryptographically strong octets. */
  random(length: number): Uint8Array
  wallTime(): WallTime
  timestamps: TimestampStore
  /**
   * 32 octets that survive restarts and that nobody else knows: what proves to a peer that we have forgotten an IKE SA (RFC 6290).
   * Absent: peers find that out by dead peer detection.
   */
  readonly crashSecret?: Uint8Array
  /** Sends an IKE message (without non-ESP marker: the sender of the datagram adds it when local.port is 4500). */
  send(local: Endpoint, remote: Endpoint, message: Uint8Array): void
  /** The keys are valid within the call only: they are wiped when it returns. */
  addSa(sa: SaSpec): void
  deleteSa(key: SaKey): void
  /**
   * An outbound SA in UDP sends to another address and port from now on: its peer's NAT has moved it. Absent where nobody can: such
   * SAs are then negotiated anew.
   */
  redirectSa?(key: SaKey, remote: Endpoint): void
  /** Sends one 0xFF octet, which keeps a NAT's mapping alive (RFC 3948 section 2.3). Absent where nobody can. */
  sendKeepalive?(local: Endpoint, remote: Endpoint): void
  /**
   * Milliseconds since an authenticated packet came in on this inbound SA; undefined when none has. Absent where the data
   * path cannot tell: dead peers are then found by IKE messages alone.
   */
  inboundIdleMs?(key: SaKey): number | undefined
  /**
   * So many lanes of the data path have CHILD_SAs with the peer, from lane 0 on; the others hand their packets to those. Told
   * with every IKE SA. Absent where the data path has one lane.
   */
  shareLanes?(peer: string, lanes: number): void
  /**
   * Told of the keys of an IKE SA as soon as they are made, authenticated or not; they are valid within the call only. Absent
   * unless the operator wants a key log.
   */
  keyLog?(keys: IkeSaKeys): void
  /** Structured story of what happened; no key material. */
  log(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
  /** Adds one to a named counter: every message refused is counted under its cause. */
  count(counter: string): void
}
