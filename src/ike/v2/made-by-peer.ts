import type { PayloadInit } from '../../wire/ike/payloads.js'
import type { AgreedChild } from '../child-sa.js'
import type { Millis } from '../environment.js'
import type { Established } from './established.js'
import type { Keying } from './keying.js'
import type { ChildKeymat } from './keys.js'
import type { OwnedChild } from './own-states.js'
import { notify } from './payload-set.js'

// What the peer has asked for and has its keys now, after one key exchange or two: a CHILD_SA, or an IKE SA in the place of this one.

export interface Answer {
  readonly payloads: readonly PayloadInit[]
  /** What is to be done when the response has left. */
  afterwards(): void
}

export const answer = (payloads: readonly PayloadInit[], afterwards: () => void = () => {}): Answer => ({
  payloads,
  afterwards,
})

/** RFC 7296 section 2.25. What the peer has to wait for is a request of ours, whose answer may be lost. */
export function notNow(ike: Established, now: Millis): Answer {
  ike.owner.refuse(now, 'temporary-failure')
  return answer([notify('TEMPORARY_FAILURE')], () => ike.repeatNow(now))
}

/** What makes no sense in the peer's request, or a value that is none: the IKE SA ends with it (RFC 7296 section 2.21.3). */
export const unreadable = (
  ike: Established,
  now: Millis,
  payloads: readonly PayloadInit[] = [notify('INVALID_SYNTAX')],
): Answer => answer(payloads, () => ike.unreadable(now))

/** Whether our own request under way is for the same. */
export function contests({ own }: Established, agreed: AgreedChild, old: OwnedChild | undefined): boolean {
  if (own.kind !== 'CREATING' && own.kind !== 'CREATING_KE') return false
  return own.old === old && (old !== undefined || own.offer.child.policy === agreed.child.policy)
}

/** The peer's CHILD_SA has its keys. @param m `lowest` is the lower of the exchange's nonces */
export function childMade(
  ike: Established,
  now: Millis,
  m: {
    readonly agreed: AgreedChild
    readonly keymat: ChildKeymat
    readonly old: OwnedChild | undefined
    readonly lowest: Uint8Array
  },
  payloads: readonly PayloadInit[],
): Answer {
  const { agreed, keymat, old, lowest } = m
  const contested = ike.own.kind === 'CREATING' && contests(ike, agreed, old)
  const child = ike.granted(now, agreed, keymat, old, contested)
  if (contested) ike.ownEvent(now, { kind: 'CHILD_RIVAL', rival: { made: child, lowest } })
  return answer(payloads, () => {
    // Nothing is sent yet for the policy: nobody can lose a packet by it.
    if (!contested && old === undefined) ike.move(now, child)
  })
}

/** The peer's new IKE SA has its keys. */
export function ikeMade(
  ike: Established,
  now: Millis,
  { keying, lowest }: { readonly keying: Keying; readonly lowest: Uint8Array },
  payloads: readonly PayloadInit[],
): Answer {
  // Its own token comes by itself.
  const next = ike.host.next(now, keying, ike, undefined)
  ike.owner.held(now, next)
  if (ike.own.kind === 'REKEYING') {
    ike.ownEvent(now, { kind: 'IKE_RIVAL', rival: { made: next, lowest } })
    return answer(payloads)
  }
  return answer(payloads, () => ike.replaceBy(now, next))
}
