import { wipe } from '../../bytes/octets.js'
import type { KeyShare } from '../../crypto/key-exchange.js'
import type { IkeHeader } from '../../wire/ike/header.js'
import type { IkePeerConfig } from '../config.js'
import type { Millis } from '../environment.js'
import type { IkeLimits } from '../limits.js'
import type { Path } from '../path.js'
import type { IkeProposal } from '../proposals.js'
import type { Outcome } from '../transition-table.js'
import type { Phase1Exchange } from './keymat.js'
import type { NatState } from './nat.js'
import type { Phase1Choice } from './phase1-offer.js'

// What is true in each state of Main Mode, RFC 2409 section 5.4.
//
//   initiator:  IDLE --BEGIN--> SA_SENT --2--> KE_SENT --4--> AUTH_SENT --6--> ESTABLISHED
//   responder:  IDLE --1--> SA_ANSWERED --3--> KE_ANSWERED --5--> ESTABLISHED

/** A message that is repeated until it is answered. */
export interface Sending {
  readonly message: Uint8Array
  /** Times sent so far. */
  readonly times: number
  /** When it was sent first. */
  readonly since: Millis
  readonly dueAt: Millis
}

/** A message that was answered: the same octets get the same answer. */
export interface Answered {
  readonly received: Uint8Array
  readonly answer: Uint8Array
  /** Times that the answer was repeated. */
  readonly repeats: number
}

/** What the peer's vendor IDs say. */
export interface Capabilities {
  readonly natT: boolean
  readonly dpd: boolean
  readonly prefersUdp: boolean
  /** Takes messages in pieces. */
  readonly fragments: boolean
  /** Takes an offer of which only a part has extended sequence numbers. */
  readonly extendedNumbers: boolean
  /** Lanes of its data path; 1 when it says nothing. */
  readonly lanes: number
}

/** Keys of an ISAKMP SA; its owner wipes them. */
export interface Phase1Keys {
  readonly prfId: number
  /** SKEYID_d, SKEYID_a. */
  readonly d: Uint8Array
  readonly a: Uint8Array
  /** AES key. */
  readonly key: Uint8Array
}

/** An established ISAKMP SA. */
export interface Phase1 extends Phase1Keys {
  readonly ci: Uint8Array
  readonly cr: Uint8Array
  readonly proposal: IkeProposal
  /** Last ciphertext block of Main Mode, from which every later exchange's IV comes. */
  readonly lastBlock: Uint8Array
  readonly nat: NatState
  readonly path: Path
  /** The agreed lifetime as the initiator said it. */
  readonly lifeSeconds: number | undefined
  readonly capabilities: Capabilities
}

/** Common to the states before the keys are known. `psk` is this exchange's own. */
interface Opening {
  readonly ci: Uint8Array
  readonly psk: Uint8Array
  /** SA payload body of message 1. */
  readonly sai: Uint8Array
  readonly path: Path
}

/** Common to the states in which identities are exchanged. */
interface Keyed {
  readonly x: Phase1Exchange
  readonly skeyid: Uint8Array
  readonly keys: Phase1Keys
  readonly sai: Uint8Array
  readonly choice: Phase1Choice
  readonly capabilities: Capabilities
  readonly nat: NatState
  readonly path: Path
}

export type MainModeState =
  | { readonly kind: 'IDLE' }
  | ({ readonly kind: 'SA_SENT'; readonly sending: Sending } & Opening)
  | ({
      readonly kind: 'KE_SENT'
      readonly cr: Uint8Array
      readonly choice: Phase1Choice
      readonly capabilities: Capabilities
      readonly share: KeyShare
      readonly ni: Uint8Array
      /** We said that our address is rewritten, to get UDP encapsulation. */
      readonly claimed: boolean
      /** Message 2, to know its repetitions. */
      readonly received: Uint8Array
      readonly sending: Sending
    } & Opening)
  | ({
      readonly kind: 'AUTH_SENT'
      readonly received: Uint8Array
      /** Last ciphertext block of message 5. */
      readonly iv: Uint8Array
      readonly sending: Sending
    } & Keyed)
  | ({
      readonly kind: 'SA_ANSWERED'
      readonly cr: Uint8Array
      readonly choice: Phase1Choice
      readonly capabilities: Capabilities
      readonly until: Millis
    } & Answered &
      Opening)
  | ({
      readonly kind: 'KE_ANSWERED'
      readonly iv: Uint8Array
      readonly until: Millis
      /** What was wrong with a message 5; another one may be better, as anybody can send one. */
      readonly wrong: string | undefined
    } & Answered &
      Keyed)
  | {
      readonly kind: 'ESTABLISHED'
      readonly phase1: Phase1
      /** Responder: messages 5 and 6. */
      readonly answered: Answered | undefined
    }
  | { readonly kind: 'FAILED' }

export type MainModeEvent =
  | { readonly kind: 'BEGIN'; readonly ci: Uint8Array; readonly psk: Uint8Array; readonly path: Path }
  /** The first message of a peer's exchange. */
  | ({ readonly kind: 'FIRST' } & Received)
  | ({ readonly kind: 'MESSAGE' } & Received)
  /** The message that the state has already dealt with, octet for octet. */
  | { readonly kind: 'REPEAT'; readonly path: Path }
  /** The peer says, authenticated, that it refuses us. */
  | { readonly kind: 'REFUSED'; readonly notify: string }
  | { readonly kind: 'DUE' }

/** The octets are valid within the call only. */
export interface Received {
  readonly header: IkeHeader
  readonly message: Uint8Array
  readonly path: Path
}

export interface MainModeContext {
  readonly peer: IkePeerConfig
  readonly limits: IkeLimits
  /** We would rather have ESP in UDP even without a NAT. */
  readonly prefersUdp: boolean
  /** We know of no other SA with the peer (RFC 2407 section 4.6.3.3). */
  readonly initialContact: boolean
  random(length: number): Uint8Array
  newCookie(): Uint8Array
  keyShare(group: number): KeyShare
  /** Responder: the pre-shared key, the caller's from now on; undefined when there is none for this exchange. */
  takePsk(): Uint8Array | undefined
}

export type MainModeEffect =
  | { readonly do: 'send'; readonly path: Path; readonly message: Uint8Array }
  /** Counts a refused message; `error` is for the operator and becomes the peer's last error. */
  | {
      readonly do: 'refuse'
      readonly cause: string
      readonly error?: string
      readonly fields?: Record<string, unknown>
    }
  | { readonly do: 'count'; readonly counter: string }
  | { readonly do: 'established'; readonly phase1: Phase1; readonly initialContact: boolean }
  | { readonly do: 'failed'; readonly reason: string }

export type MainModeOutcome = Outcome<MainModeState, MainModeEffect>
export type MainModeIn<K> = Extract<MainModeState, { kind: K }>

/** When the state wants DUE. */
export function mainModeDeadline(s: MainModeState): Millis | undefined {
  if ('sending' in s) return s.sending.dueAt
  return 'until' in s ? s.until : undefined
}

/** The message that the state has dealt with last. */
export function dealtWith(s: MainModeState): Uint8Array | undefined {
  if ('received' in s) return s.received
  return s.kind === 'ESTABLISHED' ? s.answered?.received : undefined
}

/** Wipes the secrets of a state that is left for good. An established SA's are its owner's. */
export function forgetMainMode(s: MainModeState): void {
  if ('psk' in s) wipe(s.psk)
  if (s.kind === 'KE_SENT') s.share.destroy()
  if ('skeyid' in s) wipe(s.skeyid, s.keys.d, s.keys.a, s.keys.key)
}
