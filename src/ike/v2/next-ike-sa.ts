import type { SaProtocol } from '../../sadb/sa-spec.js'
import type { ChildConfig } from '../config.js'
import type { Millis } from '../environment.js'
import type { IkeSa } from '../ike-sa.js'
import type { OwnedChild } from './own-states.js'

/** What an IKE SA has still to ask its peer for, in order. */
export type Task =
  | {
      readonly kind: 'CHILD'
      readonly child: ChildConfig
      /** The SA that is to be renewed: without it the wish is void. */
      readonly renews: OwnedChild | undefined
      /** Not before. */
      readonly at: Millis
      /** Times that the peer has said TEMPORARY_FAILURE. */
      readonly tries: number
    }
  | { readonly kind: 'REKEY' }
  /** By the SPIs that we gave the peer. */
  | { readonly kind: 'DELETE'; readonly protocol: SaProtocol; readonly spis: readonly number[] }
  | { readonly kind: 'CLOSE' }
  | { readonly kind: 'ASK' }
  /** Our token for quick crash detection. */
  | { readonly kind: 'TELL' }

/** An IKE SA that was made to take another one's place. */
export interface NextIkeSa extends IkeSa {
  /** Takes over what belongs to the old one, and is in use from now on. */
  promote(now: Millis, children: readonly OwnedChild[], tasks: readonly Task[]): void
  /** It is not to be: the peer is told. */
  discard(now: Millis): void
}
