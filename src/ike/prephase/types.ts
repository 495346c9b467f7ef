import type { Endpoint, Millis } from '../environment.js'
import type { Trouble } from '../trouble.js'

// What the pre-phase hands to IKE, and the words that its parts share.

export type Scheme = 'classic' | 'hardened'
export type Step = 1 | 2 | 3 | 4
export type Role = 'initiator' | 'responder'

/** A finished pre-phase: the fresh keys of one IKE SA establishment. */
export interface PrephaseResult {
  /** Name of the peer in the configuration. */
  readonly peer: string
  readonly role: Role
  /** 8 octets each; the IKE exchange that follows uses `initiatorCookie` as its own initiator cookie or SPI. */
  readonly initiatorCookie: Uint8Array
  readonly responderCookie: Uint8Array
  /** 64 octets. Whoever owns the result wipes it after use. */
  readonly psk: Uint8Array
  /** 32 octets for RFC 8784, hardened only. */
  readonly ppk: Uint8Array | undefined
  /** Our and the peer's end as of the last message. */
  readonly local: Endpoint
  readonly remote: Endpoint
}

/** Whom the engine tells. Called after its own state is settled, so that a listener may call the engine again. */
export interface PrephaseListener {
  /**
   * A pre-phase has finished. With role `initiator` the result is the listener's from now on: it begins IKE and wipes
   * the keys. With role `responder` this is news only: the result stays the engine's until `take`, and is wiped by it
   * when nobody does.
   */
  finished(now: Millis, result: PrephaseResult): void
  /** Our own attempt has come to an end without success; nothing is under way for the peer until `start` again. */
  failed(now: Millis, peer: string, reason: string): void
}

/** One peer's line of `status`. */
export interface PrephaseStatus {
  readonly peer: string
  readonly scheme: Scheme
  readonly keyFingerprint: string
  /** IDLE, STEP1_SENT, STEP3_SENT or HOLD. */
  readonly initiator: string
  /** Exchanges that the peer began. */
  readonly halfOpen: number
  readonly finished: number
  /** The last refused message laid to this peer's account since a pre-phase finished; nobody has proved to be its sender. */
  readonly lastRefusal: Trouble | undefined
  /** What the peer leaves without an answer at this moment; undefined while that may be chance. */
  readonly silence: Trouble | undefined
}
