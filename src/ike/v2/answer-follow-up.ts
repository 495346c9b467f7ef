import { wipe } from '../../bytes/octets.js'
import { mlKemAnswer } from '../../crypto/ml-kem.js'
import { ProtocolError, WireError } from '../../errors.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { emitKe, parseKe } from '../../wire/ike/v2/bodies.js'
import { PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { Millis } from '../environment.js'
import { type AwaitedChild, type AwaitedIke, forgetAwaited } from './awaited-exchange.js'
import type { Established } from './established.js'
import { linkOf } from './follow-up-parts.js'
import { childKeymat } from './keys.js'
import { type Answer, answer, childMade, ikeMade, notNow, unreadable } from './made-by-peer.js'
import { notify, type PayloadSet } from './payload-set.js'
import { newKeying } from './rekey-ike.js'

// IKE_FOLLOWUP_KE from the responder's side: the second key exchange of a CREATE_CHILD_SA, RFC 9370 section 2.2.4.

export function answerFollowUp(ike: Established, now: Millis, set: PayloadSet): Answer {
  const awaited = ike.awaited(linkOf(set))
  if (awaited === undefined) {
    ike.owner.refuse(now, 'state-not-found')
    return answer([notify('STATE_NOT_FOUND')])
  }
  try {
    const ke = parseKe(set.need(PAYLOAD.KE))
    if (ke.method !== awaited.method)
      throw new WireError('KE.method', 0, `is ${ke.method}, not ${awaited.method}, which was agreed`)
    const { ciphertext, secret } = mlKemAnswer(ke.data)
    const payload = { type: PAYLOAD.KE, body: emitKe({ method: ke.method, data: ciphertext }) }
    return awaited.what === 'CHILD'
      ? finishChild(ike, now, awaited, secret, [payload])
      : finishIke(ike, now, awaited, secret, [payload])
  } catch (error) {
    if (!(error instanceof WireError || error instanceof ProtocolError)) throw error
    ike.owner.refuse(now, 'invalid-key', `the second key exchange: ${error.message}`)
    return unreadable(ike, now)
  } finally {
    forgetAwaited(awaited)
  }
}

function finishChild(
  ike: Established,
  now: Millis,
  a: AwaitedChild,
  secret: Uint8Array,
  payloads: readonly PayloadInit[],
): Answer {
  const { agreed, gir, ni, nr, lowest } = a
  if (a.old?.closing === true) {
    wipe(secret)
    return notNow(ike, now)
  }
  const old = a.old !== undefined && ike.children.includes(a.old) ? a.old : undefined
  const { keys, proposal } = ike.keying
  const keymat = childKeymat(proposal.prf, keys.d, gir, ni, nr, agreed.proposal, secret)
  wipe(secret)
  return childMade(ike, now, { agreed, keymat, old, lowest }, payloads)
}

function finishIke(
  ike: Established,
  now: Millis,
  a: AwaitedIke,
  secret: Uint8Array,
  payloads: readonly PayloadInit[],
): Answer {
  const keying = newKeying('responder', a.proposal, a.gir, a, ike.context(), secret)
  return ikeMade(ike, now, { keying, lowest: a.lowest }, payloads)
}
