import { wipe } from '../../bytes/octets.js'
import type { AgreedChild } from '../child-sa.js'
import type { IkeProposal } from '../proposals.js'
import type { OwnedChild } from './own-states.js'

// A CREATE_CHILD_SA of the peer's that waits for its second key exchange: RFC 9370 section 2.2.4.

/** What the first key exchange has left. */
interface Half {
  /** Of the second one. */
  readonly method: number
  readonly gir: Uint8Array
  readonly ni: Uint8Array
  readonly nr: Uint8Array
  /** The lower of the nonces. */
  readonly lowest: Uint8Array
}

export interface AwaitedChild extends Half {
  readonly what: 'CHILD'
  readonly agreed: AgreedChild
  /** The SA that it replaces. */
  readonly old?: OwnedChild | undefined
}

export interface AwaitedIke extends Half {
  readonly what: 'IKE'
  readonly proposal: IkeProposal
  readonly spiI: Uint8Array
  readonly spiR: Uint8Array
}

export type AwaitedExchange = AwaitedChild | AwaitedIke

export const isAwaited = (x: object): x is AwaitedExchange => 'what' in x

export const forgetAwaited = (a: AwaitedExchange | undefined): void => wipe(a?.gir)
