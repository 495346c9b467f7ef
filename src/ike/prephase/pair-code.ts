import type { MessageOf } from './messages.js'
import type { Scheme } from './types.js'

// One scheme bound to one K_ab: makes and checks the four messages, keeps no exchange's state. The responder's and the
// initiator's machine are the same for both schemes and differ only in this object.

/** What both ends know after step 1. `ida` and `idb` are the ID payload bodies of initiator and responder. */
export interface Opened {
  readonly ci: Uint8Array
  readonly ida: Uint8Array
  readonly idb: Uint8Array
  /** Secret. */
  readonly na: Uint8Array
  readonly m1: Uint8Array
}

/** After step 2. */
export interface Answered extends Opened {
  readonly cr: Uint8Array
  /** Secret. */
  readonly nb: Uint8Array
  readonly m2: Uint8Array
}

/** After step 3. */
export interface Proved extends Answered {
  readonly m3: Uint8Array
}

/** After step 4. */
export interface Confirmed extends Proved {
  readonly m4: Uint8Array
}

export interface FreshKeys {
  /** 64 octets. */
  readonly psk: Uint8Array
  /** 32 octets, hardened only. */
  readonly ppk: Uint8Array | undefined
}

/**
 * Messages and keys that are returned are new buffers; secrets among them are wiped by the caller. Every check of a
 * secret takes the same time whether it holds or not.
 */
export interface PairCode {
  readonly scheme: Scheme
  /** @param label TAI64N; classic has no place for it. */
  step1(ci: Uint8Array, ida: Uint8Array, na: Uint8Array, label: Uint8Array): Uint8Array
  /** N_a of a step 1 that verifies; classic has nothing to verify. @param message the octets that `m` was parsed from */
  openStep1(ci: Uint8Array, m: MessageOf<1>, message: Uint8Array): Uint8Array | undefined
  step2(o: Opened, cr: Uint8Array, nb: Uint8Array): Uint8Array
  /** N_b of a step 2 that verifies. */
  openStep2(o: Opened, cr: Uint8Array, m: MessageOf<2>, message: Uint8Array): Uint8Array | undefined
  step3(a: Answered): Uint8Array
  checkStep3(a: Answered, m: MessageOf<3>, message: Uint8Array): boolean
  step4(p: Proved): Uint8Array
  checkStep4(p: Proved, m: MessageOf<4>, message: Uint8Array): boolean
  keys(c: Confirmed): FreshKeys
  /** Wipes what is derived from K_ab; K_ab itself belongs to the configuration. */
  destroy(): void
}
