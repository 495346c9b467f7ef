import { equalSecret } from '../../bytes/octets.js'
import { PRF } from '../../crypto/algorithms.js'
import { prf } from '../../crypto/prf.js'
import { EXCHANGE, type IkeHeader, VERSION_2 } from '../../wire/ike/header.js'
import { emitMessage, type PayloadInit } from '../../wire/ike/payloads.js'
import { FLAG, NOTIFY, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import { notify, type PayloadSet } from './payload-set.js'

// Quick crash detection, RFC 6290. Each end gives the other a token under the IKE SA, which it can make again after a crash
// although it has forgotten the SA: from the SPIs, and from a secret that outlives it. Whoever gets the token back, in an
// unprotected answer that says INVALID_IKE_SPI, knows that its peer has lost the SA.
//
// A token must not come out while its SA lives: whoever makes one for an unprotected answer has looked for that before.

/** RFC 6290 section 4.1. */
const TOKEN_MIN = 16
const TOKEN_MAX = 128

/** HMAC-SHA-256(secret, SPIi | SPIr). */
export const crashToken = (secret: Uint8Array, spiI: Uint8Array, spiR: Uint8Array): Uint8Array =>
  prf(PRF.HMAC_SHA2_256, secret, spiI, spiR)

/** Our token as a payload; none without a secret. */
export const tellToken = (
  secret: Uint8Array | undefined,
  { spiI, spiR }: { readonly spiI: Uint8Array; readonly spiR: Uint8Array },
): PayloadInit[] => (secret === undefined ? [] : [notify('QCD_TOKEN', crashToken(secret, spiI, spiR))])

/** The peer's token in a protected message, a copy; undefined when there is none of use. */
export function tokenOf(set: PayloadSet): Uint8Array | undefined {
  const token = set.notify(NOTIFY.QCD_TOKEN)?.data
  if (token === undefined || token.length < TOKEN_MIN || token.length > TOKEN_MAX) return undefined
  return new Uint8Array(token)
}

/** Whether an unprotected message proves that its sender once gave us this token. */
export const proves = (set: PayloadSet, token: Uint8Array | undefined): boolean =>
  token !== undefined && set.notifies.some((n) => n.type === NOTIFY.QCD_TOKEN && equalSecret(n.data, token))

/** A request under an IKE SA that has been there: what an answer without protection is for (RFC 7296 section 1.5). */
export const asksUnderSa = (h: IkeHeader): boolean =>
  (h.exchange === EXCHANGE.IKE_INTERMEDIATE ||
    h.exchange === EXCHANGE.IKE_AUTH ||
    h.exchange === EXCHANGE.CREATE_CHILD_SA ||
    h.exchange === EXCHANGE.IKE_FOLLOWUP_KE ||
    h.exchange === EXCHANGE.INFORMATIONAL) &&
  (h.flags & FLAG.RESPONSE) === 0 &&
  (h.nextPayload === PAYLOAD.SK || h.nextPayload === PAYLOAD.SKF)

/** The answer to a request under SPIs that we do not know, with the token that we would have given under them. */
export function unknownSpi(request: IkeHeader, secret: Uint8Array | undefined): Uint8Array {
  const { initiatorSpi: spiI, responderSpi: spiR, exchange, messageId } = request
  const flags = FLAG.RESPONSE | (request.flags & FLAG.INITIATOR ? 0 : FLAG.INITIATOR)
  const header = { initiatorSpi: spiI, responderSpi: spiR, version: VERSION_2, exchange, flags, messageId }
  return emitMessage(header, [notify('INVALID_IKE_SPI'), ...tellToken(secret, { spiI, spiR })])
}
