import { wipe } from '../../bytes/octets.js'
import type { KeyShare } from '../../crypto/key-exchange.js'
import type { IkeHeader } from '../../wire/ike/header.js'
import type { AgreedChild } from '../child-sa.js'
import type { ChildConfig, IkePeerConfig } from '../config.js'
import type { Millis } from '../environment.js'
import type { FirstKeys, Ppk } from '../ike-sa.js'
import type { IkeLimits } from '../limits.js'
import type { Path } from '../path.js'
import type { Outcome } from '../transition-table.js'
import type { ChildOffer } from './child-exchange.js'
import type { Keying } from './keying.js'
import { wipeKeying } from './keying.js'
import type { ChildKeymat } from './keys.js'
import type { NatState } from './nat.js'
import type { Outgoing } from './outgoing.js'
import type { Joined } from './reassembly.js'

// What is true in each state of the first exchanges, RFC 7296 section 1.2.
//
//   initiator:  IDLE --BEGIN--> INIT_SENT --response--> [INTERMEDIATE_SENT --response-->] AUTH_SENT --response--> ESTABLISHED
//   responder:  IDLE --IKE_SA_INIT--> INIT_ANSWERED [--IKE_INTERMEDIATE--> INIT_ANSWERED] --IKE_AUTH--> ESTABLISHED

/** What the peer's first message says that it understands. */
export interface Capabilities {
  readonly prefersUdp: boolean
  readonly childless: boolean
  /** Lanes of its data path; 1 when it says nothing. */
  readonly lanes: number
  /** It takes IKE_INTERMEDIATE (RFC 9242). */
  readonly intermediate: boolean
  /** It has a post-quantum preshared key. */
  readonly ppk: boolean
  /** It verifies Ed25519 signatures (RFC 8420). */
  readonly signatures: boolean
  /** It asks for our raw public key (RFC 7670). */
  readonly asksForKey: boolean
}

/** After IKE_SA_INIT: everything that IKE_AUTH needs. */
export interface Keyed {
  readonly keying: Keying
  /** This exchange's own. */
  readonly psk: Uint8Array
  /** Set when both ends want one; `keying` is not mixed with it before IKE_AUTH. */
  readonly ppk: Ppk | undefined
  readonly ni: Uint8Array
  readonly nr: Uint8Array
  /** The whole IKE_SA_INIT messages, which AUTH covers. */
  readonly request: Uint8Array
  readonly response: Uint8Array
  readonly capabilities: Capabilities
  /** A second key exchange was agreed and is not done yet: IKE_AUTH has to wait. */
  readonly pendingKe: boolean
  /** Responder: the keys of the second key exchange, whose request may come again in other fragments until IKE_AUTH does. */
  readonly previous?: Keying | undefined
  /** What it adds to AUTH (RFC 9242 section 3.3.2). */
  readonly intAuth: Uint8Array | undefined
  readonly nat: NatState
  readonly path: Path
}

export interface Hint {
  readonly text: string
  readonly fields: Record<string, unknown>
}

export type FirstState =
  | { readonly kind: 'IDLE' }
  | {
      readonly kind: 'INIT_SENT'
      readonly spiI: Uint8Array
      readonly psk: Uint8Array
      readonly ppk: Ppk | undefined
      readonly ni: Uint8Array
      readonly share: KeyShare
      readonly cookie: Uint8Array | undefined
      /** Responses that asked for another request. */
      readonly detours: number
      readonly request: Uint8Array
      readonly path: Path
      /** What a response claimed without proof. */
      readonly hint: Hint | undefined
    }
  | ({
      readonly kind: 'INTERMEDIATE_SENT'
      readonly share: KeyShare
      /** IntAuth of our request. */
      readonly ownIntAuth: Uint8Array
    } & Keyed)
  | ({
      readonly kind: 'AUTH_SENT'
      /** What IKE_AUTH asks for; undefined without a CHILD_SA (RFC 6023). */
      readonly child: ChildOffer | undefined
      /** `keying` is mixed with the PPK, and this is what it was: the responder may do without (RFC 8784). */
      readonly unmixed: Keying | undefined
    } & Keyed)
  | ({ readonly kind: 'INIT_ANSWERED'; readonly until: Millis } & Keyed)
  | { readonly kind: 'ESTABLISHED' }
  | { readonly kind: 'FAILED' }

export type FirstEvent =
  | ({ readonly kind: 'BEGIN'; readonly spiI: Uint8Array; readonly path: Path } & FirstKeys)
  /** The first message of a peer's exchange. */
  | ({ readonly kind: 'FIRST' } & Received)
  | ({ readonly kind: 'REQUEST' } & Received)
  | ({ readonly kind: 'RESPONSE' } & Received)
  /** Our request was repeated often enough. */
  | { readonly kind: 'SILENT' }
  | { readonly kind: 'DUE' }

/** The octets are valid within the call only. */
export interface Received {
  readonly header: IkeHeader
  /** The first fragment of a message that came in some. */
  readonly message: Uint8Array
  readonly path: Path
  /** What was in all of them. */
  readonly joined?: Joined | undefined
}

export interface FirstContext {
  readonly peer: IkePeerConfig
  readonly limits: IkeLimits
  /** We would rather have ESP in UDP even without a NAT. */
  readonly prefersUdp: boolean
  /** We know of no other SA with the peer (RFC 7296 section 2.4). */
  readonly initialContact: boolean
  readonly messageId: number
  /** See IkeEnvironment.crashSecret. */
  readonly crashSecret: Uint8Array | undefined
  random(length: number): Uint8Array
  newIkeSpi(): Uint8Array
  newSpi(child: ChildConfig): number
  keyShare(group: number): KeyShare
  /** Responder: the pre-shared keys, the caller's from now on; undefined when there are none for this exchange. */
  takeKeys(): FirstKeys | undefined
  /** The child that IKE_AUTH asks for; undefined when none is wanted now. @param needed the peer does not do without (RFC 6023) */
  firstChild(peersLanes: number, needed: boolean): ChildConfig | undefined
  /** Responder: the cookie that a first message has to come again with; undefined when it may go on. */
  challenge(ni: Uint8Array, cookie: Uint8Array | undefined): Uint8Array | 'refuse' | undefined
}

/** A CHILD_SA made in IKE_AUTH. Keys are wiped by whoever installs them. */
export interface FirstChild {
  readonly agreed: AgreedChild
  readonly keymat: ChildKeymat
}

/** An IKE SA that is up. */
export interface FirstResult {
  readonly keying: Keying
  readonly nat: NatState
  readonly path: Path
  readonly peersLanes: number
  readonly initialContact: boolean
  /** The peer's token of quick crash detection. */
  readonly peersToken: Uint8Array | undefined
  readonly child: FirstChild | undefined
  /** Why the child that was asked for is none; `remove` names an SA that the peer has made of it. */
  readonly noChild:
    | {
        readonly child: ChildConfig
        readonly reason: string
        readonly fields?: Record<string, unknown> | undefined
        readonly remove?: number
      }
    | undefined
}

export type FirstEffect =
  /** Our request, to be repeated until it is answered. `again` takes the place of the one under way. */
  | { readonly do: 'request'; readonly path: Path; readonly message: Outgoing; readonly again?: true }
  /** The response to the request in the event. */
  | { readonly do: 'respond'; readonly path: Path; readonly message: Outgoing }
  /** A response for which nothing is kept, or a last word. */
  | { readonly do: 'reply'; readonly path: Path; readonly message: Outgoing }
  /** Counts a refused message; `error` is for the operator and becomes the peer's last error. */
  | {
      readonly do: 'refuse'
      readonly cause: string
      readonly error?: string
      readonly fields?: Record<string, unknown>
    }
  | { readonly do: 'established'; readonly result: FirstResult }
  | { readonly do: 'failed'; readonly reason: string; readonly fields?: Record<string, unknown> }

export type FirstOutcome = Outcome<FirstState, FirstEffect>
export type FirstIn<K> = Extract<FirstState, { kind: K }>

/** When the state wants DUE. */
export const firstDeadline = (s: FirstState): Millis | undefined =>
  s.kind === 'INIT_ANSWERED' ? s.until : undefined

/** Wipes the secrets of a state that is left for good. An established SA's are its owner's. */
export function forgetFirst(s: FirstState): void {
  if ('psk' in s) wipe(s.psk, s.ppk?.key)
  if ('share' in s) s.share.destroy()
  if ('keying' in s) wipeKeying(s.keying)
  if ('previous' in s && s.previous !== undefined) wipeKeying(s.previous)
  if ('unmixed' in s && s.unmixed !== undefined) wipeKeying(s.unmixed)
}
