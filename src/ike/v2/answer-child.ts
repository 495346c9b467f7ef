import { wipe } from '../../bytes/octets.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { checkNonce, emitKe, parseKe } from '../../wire/ike/v2/bodies.js'
import { PAYLOAD, TRANSFORM } from '../../wire/ike/v2/numbers.js'
import type { AgreedChild } from '../child-sa.js'
import type { ChildConfig } from '../config.js'
import type { Millis } from '../environment.js'
import { laneForPeer } from '../lanes.js'
import type { AwaitedChild } from './awaited-exchange.js'
import { answerChild, answerPayloads, type ChildRefusal, isRefusal } from './child-exchange.js'
import { childContextOf } from './create-child.js'
import { groupOctets, NONCE_LEN, sharedSecret } from './init-parts.js'
import { type ChildKeymat, childKeymat } from './keys.js'
import { lowerNonce } from './nonces.js'
import { chosen } from './offer.js'
import type { OwnContext } from './own-states.js'
import type { PayloadSet } from './payload-set.js'

// CREATE_CHILD_SA for a CHILD_SA from the responder's side: RFC 7296 sections 1.3.1 and 1.3.3.

export interface CreateAnswer {
  readonly payloads: readonly PayloadInit[]
  readonly agreed: AgreedChild
  /** The keys, or what they lack. */
  readonly made: ChildKeymat | AwaitedChild
  /** The lower of the exchange's nonces. */
  readonly lowest: Uint8Array
}

/**
 * @param old the child whose SA is replaced
 * @param hinders why there can be no other SA of a child; undefined for nothing
 * @throws WireError
 */
export function answerCreate(
  set: PayloadSet,
  now: Millis,
  old: ChildConfig | undefined,
  c: OwnContext,
  hinders: (agreed: AgreedChild) => ChildRefusal | undefined,
): CreateAnswer | ChildRefusal {
  const ni = new Uint8Array(checkNonce(set.need(PAYLOAD.NONCE)))
  const only = old === undefined ? c.peer.children : [old]
  const inLane = (child: ChildConfig, spi: number) => old ?? laneForPeer(c.peer, child, spi, c.peersLanes)
  const answer = answerChild(set, now, childContextOf(c), only, inLane, c.newSpi)
  if (isRefusal(answer)) return answer
  const hindrance = old === undefined ? hinders(answer.agreed) : undefined
  if (hindrance !== undefined) return hindrance
  const group = chosen(answer.choice, TRANSFORM.KE) ?? 0
  const ke = set.first(PAYLOAD.KE)
  const peers = ke === undefined ? undefined : parseKe(ke)
  if (group !== 0 && peers?.method !== group)
    return {
      notify: 'INVALID_KE_PAYLOAD',
      data: groupOctets(group),
      reason: `child ${answer.agreed.child.name}: another group is asked for`,
    }
  let gir: Uint8Array | undefined = new Uint8Array(0)
  const payloads: PayloadInit[] = [...answerPayloads(answer)]
  if (group !== 0 && peers !== undefined) {
    const share = c.keyShare(group)
    gir = sharedSecret(share, peers.data)
    share.destroy()
    payloads.push({ type: PAYLOAD.KE, body: emitKe({ method: group, data: share.publicValue }) })
  }
  if (gir === undefined)
    return {
      notify: 'INVALID_SYNTAX',
      reason: `child ${answer.agreed.child.name}: the public value is not valid`,
    }
  const nr = c.random(NONCE_LEN)
  payloads.push({ type: PAYLOAD.NONCE, body: nr })
  const { agreed } = answer
  const lowest = lowerNonce(ni, nr)
  const { additional: method } = agreed.proposal
  if (method !== undefined)
    return { payloads, agreed, made: { what: 'CHILD', method, agreed, gir, ni, nr, lowest }, lowest }
  const { keys, proposal } = c.keying
  const keymat = childKeymat(proposal.prf, keys.d, gir, ni, nr, agreed.proposal)
  wipe(gir)
  return { payloads, agreed, made: keymat, lowest }
}
