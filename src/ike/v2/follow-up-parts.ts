import type { KeyShare } from '../../crypto/key-exchange.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import { emitKe } from '../../wire/ike/v2/bodies.js'
import { NOTIFY, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { OwnEffect } from './own-states.js'
import { notify, type PayloadSet } from './payload-set.js'

// What CREATE_CHILD_SA and IKE_FOLLOWUP_KE have to do with each other: RFC 9370 section 2.2.4. The responder of the first gives
// the initiator a link, octets of its own choice, by which it knows the second.

/** The request for the second key exchange. */
export const followUp = (share: KeyShare, link: Uint8Array): OwnEffect => ({
  do: 'request',
  exchange: EXCHANGE.IKE_FOLLOWUP_KE,
  payloads: [
    { type: PAYLOAD.KE, body: emitKe({ method: share.group, data: share.publicValue }) },
    notify('ADDITIONAL_KEY_EXCHANGE', link),
  ],
})

export const linkOf = (set: PayloadSet): Uint8Array | undefined =>
  set.notify(NOTIFY.ADDITIONAL_KEY_EXCHANGE)?.data

export const NO_LINK = 'the peer agreed to a second key exchange and left out ADDITIONAL_KEY_EXCHANGE'
