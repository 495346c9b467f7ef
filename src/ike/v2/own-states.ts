import { wipe } from '../../bytes/octets.js'
import type { KeyShare } from '../../crypto/key-exchange.js'
import type { SaProtocol } from '../../sadb/sa-spec.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import type { AgreedChild } from '../child-sa.js'
import type { ChildConfig, IkePeerConfig } from '../config.js'
import type { Millis } from '../environment.js'
import type { IkeLimits } from '../limits.js'
import type { Path } from '../path.js'
import type { IkeProposal } from '../proposals.js'
import type { Outcome } from '../transition-table.js'
import type { ChildOffer } from './child-exchange.js'
import type { Keying } from './keying.js'
import type { ChildKeymat } from './keys.js'
import type { NatState } from './nat.js'
import type { NextIkeSa } from './next-ike-sa.js'
import type { PayloadSet } from './payload-set.js'

// Our own request under an established IKE SA: at most one at a time, and what is true while it is under way.

/** A CHILD_SA under an IKE SA. */
export interface OwnedChild {
  readonly agreed: AgreedChild
  /** The SA that it was made to replace. */
  readonly replaces: OwnedChild | undefined
  /** Responder of a rekeying: traffic moves when the peer is known to have it (RFC 7296 section 2.8). */
  outboundKey: Uint8Array | undefined
  /** Until then, if nothing tells. */
  moveAt: Millis | undefined
  /** Our own request for the same is under way: which of the two stays is not decided. */
  contested: boolean
  /** It is not the one that stays: the peer, which made it, deletes it. */
  redundant: boolean
  /** Our Delete for it waits or is under way. */
  closing: boolean
  /** Another one has taken its place. */
  replaced: boolean
}

/** What the peer made while our request for the same was under way, RFC 7296 section 2.8.1. */
export interface Rival<T> {
  /** Undefined as long as its second key exchange is not done. */
  readonly made: T | undefined
  /** The lower of the two nonces of its exchange. */
  readonly lowest: Uint8Array
}

/** What the first key exchange of two has left, and our share in the second one. */
export interface FirstHalf {
  readonly gir: Uint8Array
  readonly ni: Uint8Array
  readonly nr: Uint8Array
  readonly share: KeyShare
}

export type OwnState =
  | { readonly kind: 'IDLE' }
  | {
      /** A CHILD_SA, new or in the place of `old`. */
      readonly kind: 'CREATING'
      readonly offer: ChildOffer
      readonly old: OwnedChild | undefined
      readonly ni: Uint8Array
      readonly share: KeyShare | undefined
      /** Groups that the peer has asked for. */
      readonly detours: number
      readonly rival: Rival<OwnedChild> | undefined
    }
  | {
      readonly kind: 'REKEYING'
      readonly spi: Uint8Array
      readonly ni: Uint8Array
      readonly share: KeyShare
      readonly detours: number
      readonly rival: Rival<NextIkeSa> | undefined
    }
  /** The second key exchange of CREATING, and of REKEYING: RFC 9370 section 2.2.4. */
  | ({
      readonly kind: 'CREATING_KE'
      readonly offer: ChildOffer
      readonly old: OwnedChild | undefined
      readonly agreed: AgreedChild
    } & FirstHalf)
  | ({
      readonly kind: 'REKEYING_KE'
      readonly spiI: Uint8Array
      readonly spiR: Uint8Array
      readonly proposal: IkeProposal
      readonly peersToken: Uint8Array | undefined
    } & FirstHalf)
  | { readonly kind: 'DELETING'; readonly children: readonly OwnedChild[] }
  | { readonly kind: 'CLOSING' }
  | { readonly kind: 'ASKING' }

export type OwnEvent =
  | { readonly kind: 'CREATE'; readonly child: ChildConfig; readonly old: OwnedChild | undefined }
  | { readonly kind: 'REKEY' }
  | {
      readonly kind: 'DELETE'
      readonly protocol: SaProtocol
      readonly children: readonly OwnedChild[]
      readonly spis: readonly number[]
    }
  | { readonly kind: 'CLOSE' }
  | { readonly kind: 'ASK' }
  | { readonly kind: 'TELL' }
  /** The peer has answered. */
  | { readonly kind: 'RESPONSE'; readonly set: PayloadSet }
  /** The peer has asked for the same, and was answered. */
  | { readonly kind: 'CHILD_RIVAL'; readonly rival: Rival<OwnedChild> }
  /** The peer has deleted it again. */
  | { readonly kind: 'RIVAL_GONE' }
  | { readonly kind: 'IKE_RIVAL'; readonly rival: Rival<NextIkeSa> }

export interface OwnContext {
  readonly peer: IkePeerConfig
  readonly limits: IkeLimits
  readonly keying: Keying
  readonly nat: NatState
  readonly path: Path
  readonly peersLanes: number
  /** See IkeEnvironment.crashSecret. */
  readonly crashSecret: Uint8Array | undefined
  random(length: number): Uint8Array
  newSpi(child: ChildConfig): number
  newIkeSpi(): Uint8Array
  keyShare(group: number): KeyShare
}

export type OwnEffect =
  | {
      readonly do: 'request'
      readonly exchange: number
      readonly payloads: readonly PayloadInit[]
      /** How often to ask before the peer is believed dead; the usual schedule without it. */
      readonly schedule?: readonly number[]
    }
  /** A CHILD_SA is made: receive and send on it, and end the one that it replaces. */
  | {
      readonly do: 'made'
      readonly agreed: AgreedChild
      readonly keymat: ChildKeymat
      readonly old: OwnedChild | undefined
    }
  /** The peer has made an SA that is not to be: it is deleted by the SPI that we gave it. */
  | { readonly do: 'unmake'; readonly protocol: SaProtocol; readonly spi: number }
  /** Which of two that were made at once stays. */
  | { readonly do: 'rival-child'; readonly rival: OwnedChild; readonly stays: boolean }
  /** What the peer has begun at the same time goes no further: it stops before its second key exchange. */
  | { readonly do: 'rival-stops' }
  | {
      readonly do: 'child-failed'
      readonly child: ChildConfig
      readonly reason: string
      readonly fields?: Record<string, unknown>
    }
  /** Not now (RFC 7296 section 2.25). */
  | { readonly do: 'child-later'; readonly child: ChildConfig; readonly old: OwnedChild | undefined }
  /** The peer does not know the SA that we wanted to replace. */
  | { readonly do: 'child-unknown'; readonly old: OwnedChild; readonly child: ChildConfig }
  | {
      readonly do: 'rekeyed'
      readonly keying: Keying
      readonly peersToken: Uint8Array | undefined
      readonly rival: NextIkeSa | undefined
      readonly stays: boolean
    }
  /** The peer's new IKE SA is the one that stays; undefined as long as it is not made. */
  | { readonly do: 'outdone'; readonly rival: NextIkeSa | undefined }
  /** There is no new IKE SA of ours; what the peer made meanwhile takes the place. */
  | {
      readonly do: 'rekey-failed'
      readonly reason: string
      readonly rival: NextIkeSa | undefined
      /** It may be granted soon (RFC 7296 section 2.25). */
      readonly isPassing?: boolean
    }
  /** The peer's answer cannot be used: it has made an IKE SA that we do not have. */
  | { readonly do: 'rekey-unusable'; readonly reason: string }
  | { readonly do: 'deleted'; readonly children: readonly OwnedChild[] }
  | { readonly do: 'closed' }

export type OwnOutcome = Outcome<OwnState, OwnEffect>
export type OwnIn<K> = Extract<OwnState, { kind: K }>

export const IDLE: OwnState = { kind: 'IDLE' }

/** Wipes the secrets of a state that is left for good. */
export function forgetOwn(s: OwnState): void {
  if ('share' in s) s.share?.destroy()
  if ('gir' in s) wipe(s.gir)
}

export const forgetChild = (c: OwnedChild): void => wipe(c.outboundKey)
