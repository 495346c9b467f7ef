import { wipe } from '../../bytes/octets.js'
import type { KeyShare } from '../../crypto/key-exchange.js'
import { ProtocolError, WireError } from '../../errors.js'
import { parseKe } from '../../wire/ike/v2/bodies.js'
import { NOTIFY, notifyName, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import { formatGroup } from '../proposals.js'
import { childKeymat } from './keys.js'
import {
  forgetOwn,
  IDLE,
  type OwnContext,
  type OwnEffect,
  type OwnIn,
  type OwnOutcome,
} from './own-states.js'
import type { PayloadSet } from './payload-set.js'
import { newKeying } from './rekey-ike.js'

// IKE_FOLLOWUP_KE from the initiator's side: the second key exchange of a CREATE_CHILD_SA, after which its SA is made.

/** Errors that mean "not now", or that the peer has forgotten what went before (RFC 9370 section 2.2.4). */
const PASSING: ReadonlySet<number> = new Set([NOTIFY.TEMPORARY_FAILURE, NOTIFY.STATE_NOT_FOUND])

/** The second secret, or the peer's error, or what is wrong with its answer. */
function secretOf(share: KeyShare, set: PayloadSet): Uint8Array | number | string {
  const error = set.error()
  if (error !== undefined) return error.type
  const body = set.first(PAYLOAD.KE)
  if (body === undefined) return 'the second key exchange has no KE payload'
  try {
    const ke = parseKe(body)
    if (ke.method !== share.group)
      return `the second key exchange is ${formatGroup(ke.method)} where ${formatGroup(share.group)} was agreed`
    return share.computeSecret(ke.data)
  } catch (e) {
    if (!(e instanceof WireError || e instanceof ProtocolError)) throw e
    return `the second key exchange: ${e.message}`
  }
}

export function finishChild(s: OwnIn<'CREATING_KE'>, set: PayloadSet, c: OwnContext): OwnOutcome {
  const { agreed, old } = s
  const { child, spi } = s.offer
  const second = secretOf(s.share, set)
  if (second instanceof Uint8Array) {
    const { keys, proposal } = c.keying
    const keymat = childKeymat(proposal.prf, keys.d, s.gir, s.ni, s.nr, agreed.proposal, second)
    wipe(second)
    forgetOwn(s)
    return { next: IDLE, effects: [{ do: 'made', agreed, keymat, old }] }
  }
  forgetOwn(s)
  if (typeof second === 'number' && PASSING.has(second))
    return { next: IDLE, effects: [{ do: 'child-later', child, old }] }
  // With an answer that we cannot use the peer has the SA.
  const unmake: OwnEffect[] =
    typeof second === 'string' ? [{ do: 'unmake', protocol: child.protocol, spi }] : []
  return { next: IDLE, effects: [...unmake, { do: 'child-failed', child, reason: reasonOf(second) }] }
}

export function finishRekey(s: OwnIn<'REKEYING_KE'>, set: PayloadSet, c: OwnContext): OwnOutcome {
  const second = secretOf(s.share, set)
  if (second instanceof Uint8Array) {
    const keying = newKeying('initiator', s.proposal, s.gir, s, c, second)
    const { peersToken } = s
    forgetOwn(s)
    return { next: IDLE, effects: [{ do: 'rekeyed', keying, peersToken, rival: undefined, stays: true }] }
  }
  forgetOwn(s)
  const reason = reasonOf(second)
  if (typeof second === 'string') return { next: IDLE, effects: [{ do: 'rekey-unusable', reason }] }
  const isPassing = PASSING.has(second)
  return { next: IDLE, effects: [{ do: 'rekey-failed', reason, rival: undefined, isPassing }] }
}

const reasonOf = (x: number | string): string =>
  typeof x === 'string' ? x : `the peer says ${notifyName(x)}`
