import { equalOctets, hex, isZero } from '../../../src/bytes/octets.js'
import { EXCHANGE, type IkeHeader } from '../../../src/wire/ike/header.js'
import type { PayloadInit } from '../../../src/wire/ike/payloads.js'
import { FLAG as FLAG_V1, PAYLOAD as V1 } from '../../../src/wire/ike/v1/numbers.js'
import { parseNotify } from '../../../src/wire/ike/v2/notify.js'
import { FLAG, notifyName, PAYLOAD as V2, payloadName as v2Name } from '../../../src/wire/ike/v2/numbers.js'

const named = (entries: readonly (readonly [number, string])[]): ReadonlyMap<number, string> =>
  new Map(entries)

const V2_EXCHANGES = named([
  [EXCHANGE.IKE_SA_INIT, 'IKE_SA_INIT'],
  [EXCHANGE.IKE_AUTH, 'IKE_AUTH'],
  [EXCHANGE.IKE_INTERMEDIATE, 'IKE_INTERMEDIATE'],
  [EXCHANGE.CREATE_CHILD_SA, 'CREATE_CHILD_SA'],
  [EXCHANGE.IKE_FOLLOWUP_KE, 'IKE_FOLLOWUP_KE'],
  [EXCHANGE.INFORMATIONAL, 'INFORMATIONAL'],
])

const V1_PAYLOADS = named([
  [V1.SA, 'SA'],
  [V1.KE, 'KE'],
  [V1.ID, 'ID'],
  [V1.HASH, 'HASH'],
  [V1.NONCE, 'Nonce'],
  [V1.NOTIFY, 'N'],
  [V1.DELETE, 'D'],
  [V1.VID, 'VID'],
  [V1.NAT_D, 'NAT-D'],
])

/** As a rule names it. */
export function payloadName(header: IkeHeader, p: PayloadInit): string {
  if (header.version >>> 4 === 1) return V1_PAYLOADS.get(p.type) ?? `${p.type}`
  if (p.type === V2.NOTIFY) return `N(${notifyName(parseNotify(p.body).type)})`
  return v2Name(p.type)
}

/** The last messages that are remembered. */
const SEEN_MAX = 256

/** Names the messages of one end. IKEv1's have no numbers of their own: which one it is follows from those before. */
export class MessageNames {
  /** By cookie, or cookie and message ID: who was first, and our first message. */
  private readonly seen = new Map<string, { readonly ours: boolean; readonly first: Uint8Array }>()

  /** A message of the other end. */
  received(header: IkeHeader, message: Uint8Array): void {
    this.see(header, message, false)
  }

  /** A message that this end is about to send. */
  sent(header: IkeHeader, message: Uint8Array): string {
    if (header.exchange === EXCHANGE.PREPHASE) return `pre-phase ${header.messageId}`
    if (header.version >>> 4 === 2) {
      const kind = (header.flags & FLAG.RESPONSE) === 0 ? 'request' : 'response'
      return `${V2_EXCHANGES.get(header.exchange) ?? header.exchange} ${kind}`
    }
    const { ours, first } = this.see(header, message, true)
    if (header.exchange === EXCHANGE.MAIN_MODE) return `Main Mode ${mainModeNumber(header, ours)}`
    if (header.exchange === EXCHANGE.QUICK_MODE)
      return `Quick Mode ${ours ? (equalOctets(first, message) ? 1 : 3) : 2}`
    return 'Informational'
  }

  private see(header: IkeHeader, message: Uint8Array, ours: boolean) {
    const key = `${hex(header.initiatorSpi)} ${header.exchange} ${header.messageId}`
    const known = this.seen.get(key) ?? { ours, first: new Uint8Array(message) }
    this.seen.set(key, known)
    if (this.seen.size > SEEN_MAX) this.seen.delete(this.seen.keys().next().value!)
    return known
  }
}

function mainModeNumber(header: IkeHeader, initiator: boolean): number {
  if ((header.flags & FLAG_V1.ENCRYPTION) !== 0) return initiator ? 5 : 6
  if (header.nextPayload !== V1.SA) return initiator ? 3 : 4
  return isZero(header.responderSpi) ? 1 : 2
}
