import { wipe } from '../../bytes/octets.js'
import type { KeyShare } from '../../crypto/key-exchange.js'
import type { AgreedChild } from '../child-sa.js'
import type { ChildConfig, IkePeerConfig } from '../config.js'
import type { Millis } from '../environment.js'
import type { Explanation } from '../explanation.js'
import type { Missing } from '../ike-sa.js'
import type { IkeLimits } from '../limits.js'
import type { Path } from '../path.js'
import type { Outcome } from '../transition-table.js'
import type { Phase1, Received, Sending } from './main-mode-states.js'
import type { Phase2Variant } from './phase2-offer.js'

// What is true in each state of a Quick Mode, RFC 2409 section 5.5.
//
//   initiator:  IDLE --BEGIN--> SENT --2--> DONE; SENT --YIELD--> YIELDED or CLOSED; YIELDED --2--> DONE
//   responder:  IDLE --1--> ANSWERED --3, or traffic--> DONE; IDLE --1--> DECLINED

/** KEYMAT of both directions; wiped by whoever installs or drops it. */
export interface ChildKeys {
  readonly inbound: Uint8Array
  readonly outbound: Uint8Array
}

/** What the initiator has asked for with message 1. */
export interface Asked {
  readonly child: ChildConfig
  readonly variants: readonly Phase2Variant[]
  readonly spi: number
  readonly ni: Uint8Array
  /** With PFS. */
  readonly share: KeyShare | undefined
  /** ID payload bodies: ours, then the peer's. */
  readonly ids: readonly [Uint8Array, Uint8Array]
  /** Last ciphertext block of message 1. */
  readonly iv: Uint8Array
  readonly startedAt: Millis
}

export type QuickModeState =
  | { readonly kind: 'IDLE' }
  | ({
      readonly kind: 'SENT'
      readonly sending: Sending
      /** When it was sent last, and how often out of turn. */
      readonly sentAt: Millis
      readonly hurried: number
    } & Asked)
  /** Nothing is asked for any more, but the peer may have answered, and would wait for message 3. */
  | ({ readonly kind: 'YIELDED'; readonly until: Millis } & Asked)
  | {
      readonly kind: 'ANSWERED'
      readonly agreed: AgreedChild
      readonly outboundKey: Uint8Array
      readonly ni: Uint8Array
      readonly nr: Uint8Array
      readonly iv: Uint8Array
      /** Message 1, to know its repetitions; `sending` is message 2. */
      readonly received: Uint8Array
      readonly repeats: number
      readonly sending: Sending
    }
  | {
      readonly kind: 'DONE'
      readonly received: Uint8Array
      /** Message 3, at the initiator. */
      readonly answer: Uint8Array | undefined
      readonly repeats: number
      readonly until: Millis
    }
  /** What we refuse has no answer in Quick Mode: our notification may be lost, and the peer asks again. */
  | {
      readonly kind: 'DECLINED'
      readonly received: Uint8Array
      readonly notify: Refusal
      readonly repeats: number
      readonly until: Millis
    }
  | { readonly kind: 'CLOSED' }

/** Notification for the peer, sent under the IKE SA's protection. */
export interface Refusal {
  readonly type: number
  readonly protocol: number
  readonly spi: Uint8Array
  readonly data: Uint8Array
}

export type QuickModeEvent =
  | { readonly kind: 'BEGIN'; readonly child: ChildConfig }
  /** The first message of the peer's exchange. */
  | ({ readonly kind: 'FIRST' } & Received)
  | ({ readonly kind: 'MESSAGE' } & Received)
  /** The message that the state has already dealt with, octet for octet. */
  | { readonly kind: 'REPEAT' }
  /** Due, and a packet has come in on the new inbound SA. */
  | { readonly kind: 'TRAFFIC' }
  /** The peer says, authenticated, that it refuses. */
  | { readonly kind: 'REFUSED'; readonly notify: string; readonly why: Explanation | undefined }
  /** The child waits for this exchange. */
  | { readonly kind: 'HURRY' }
  /** The peer's own exchange for the same child goes first, or is over. */
  | { readonly kind: 'YIELD' }
  /** The IKE SA ends. */
  | { readonly kind: 'CANCEL' }
  | { readonly kind: 'DUE' }

export interface QuickModeContext {
  readonly peer: IkePeerConfig
  readonly limits: IkeLimits
  readonly phase1: Phase1
  /** Where messages go now. */
  readonly path: Path
  readonly messageId: number
  random(length: number): Uint8Array
  newSpi(child: ChildConfig): number
  /** Of a child's lanes the one that the SA with the initiator's SPI is for. */
  inLane(child: ChildConfig, initiatorsSpi: number): ChildConfig
  keyShare(group: number): KeyShare
  /** Whether a peer's exchange for the child may go on. Ours, if any, is given up then. */
  yieldTo(child: ChildConfig): boolean
}

export type QuickModeEffect =
  | { readonly do: 'send'; readonly message: Uint8Array }
  /** `authentic`: the message is the peer's, and its message ID is used up. */
  | {
      readonly do: 'refuse'
      readonly cause: string
      readonly authentic: boolean
      readonly error?: string
      readonly fields?: Record<string, unknown>
    }
  | { readonly do: 'notify'; readonly refusal: Refusal }
  | { readonly do: 'count'; readonly counter: string }
  | { readonly do: 'inbound'; readonly agreed: AgreedChild; readonly key: Uint8Array }
  | { readonly do: 'outbound'; readonly agreed: AgreedChild; readonly key: Uint8Array }
  /** The half SA that message 2 promised is not to be. */
  | { readonly do: 'abandon'; readonly agreed: AgreedChild }
  | {
      readonly do: 'failed'
      readonly child: ChildConfig
      readonly reason: string
      /** The peer was silent. */
      readonly missing: Missing | undefined
      readonly fields: Record<string, unknown>
    }

export type QuickModeOutcome = Outcome<QuickModeState, QuickModeEffect>
export type QuickModeIn<K> = Extract<QuickModeState, { kind: K }>

/** When the state wants DUE. */
export function quickModeDeadline(s: QuickModeState): Millis | undefined {
  if (s.kind === 'SENT' || s.kind === 'ANSWERED') return s.sending.dueAt
  return 'until' in s ? s.until : undefined
}

/** Wipes the secrets of a state that is left for good. */
export function forgetQuickMode(s: QuickModeState): void {
  if (s.kind === 'SENT' || s.kind === 'YIELDED') s.share?.destroy()
  if (s.kind === 'ANSWERED') wipe(s.outboundKey)
}
