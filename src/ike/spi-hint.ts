import { WireError } from '../errors.js'
import type { SaProtocol } from '../sadb/sa-spec.js'
import { EXCHANGE, IKE_HEADER_LEN, type IkeHeader, VERSION_1, VERSION_2 } from '../wire/ike/header.js'
import { emitMessage, parsePayloads } from '../wire/ike/payloads.js'
import * as v1 from '../wire/ike/v1/notify.js'
import {
  DOI_IPSEC,
  FLAG as FLAG_V1,
  NOTIFY as NOTIFY_V1,
  PAYLOAD as PAYLOAD_V1,
  PROTOCOL as PROTOCOL_V1,
} from '../wire/ike/v1/numbers.js'
import * as v2 from '../wire/ike/v2/notify.js'
import { FLAG as FLAG_V2, NOTIFY as NOTIFY_V2, PAYLOAD as PAYLOAD_V2 } from '../wire/ike/v2/numbers.js'

// INVALID_SPI outside of an IKE SA: "what you send me belongs to an SA that I do not know" (RFC 7296 sections 1.5 and 2.21.4,
// RFC 2408 section 3.14.1). Anybody can say so: it is a hint, after which the receiver asks its peer whether it is alive.

const NO_OCTETS = new Uint8Array(0)
const NO_SPI = new Uint8Array(8)

/** @param spiI 8 random octets: no IKE SA is meant @param spi of the packet that came */
export function spiHint(version: 1 | 2, spiI: Uint8Array, protocol: SaProtocol, spi: number): Uint8Array {
  const head = { initiatorSpi: spiI, responderSpi: NO_SPI, messageId: 0 }
  const octets = v1.spiOctets(spi)
  if (version === 1) {
    const number = protocol === 'ah' ? PROTOCOL_V1.AH : PROTOCOL_V1.ESP
    const n = { doi: DOI_IPSEC, protocol: number, spi: octets, type: NOTIFY_V1.INVALID_SPI, data: NO_OCTETS }
    return emitMessage({ ...head, version: VERSION_1, flags: 0, exchange: EXCHANGE.INFORMATIONAL_V1 }, [
      { type: PAYLOAD_V1.NOTIFY, body: v1.emitNotify(n) },
    ])
  }
  const body = v2.emitNotify({ protocol: 0, spi: NO_OCTETS, type: NOTIFY_V2.INVALID_SPI, data: octets })
  const { INITIATOR: flags } = FLAG_V2
  return emitMessage({ ...head, version: VERSION_2, flags, exchange: EXCHANGE.INFORMATIONAL }, [
    { type: PAYLOAD_V2.NOTIFY, body },
  ])
}

/** Whether a message under unknown SPIs may be such a hint. */
export const isSpiHint = (h: IkeHeader): boolean =>
  h.version >>> 4 === 1
    ? h.exchange === EXCHANGE.INFORMATIONAL_V1 &&
      h.nextPayload === PAYLOAD_V1.NOTIFY &&
      (h.flags & FLAG_V1.ENCRYPTION) === 0
    : h.exchange === EXCHANGE.INFORMATIONAL &&
      h.nextPayload === PAYLOAD_V2.NOTIFY &&
      (h.flags & FLAG_V2.RESPONSE) === 0

/**
 * The SPI that a message with `isSpiHint` names, which is inbound at its sender.
 * @returns undefined when it says something else
 * @throws WireError
 */
export function hintedSpi(h: IkeHeader, message: Uint8Array): number | undefined {
  const payloads = parsePayloads(message.subarray(IKE_HEADER_LEN), h.nextPayload)
  const body = payloads[0]?.body
  if (body === undefined || payloads.length !== 1)
    throw new WireError('payloads', IKE_HEADER_LEN, 'expected one Notify')
  if (h.version >>> 4 === 1) {
    const { type, spi } = v1.parseNotify(body)
    return type === NOTIFY_V1.INVALID_SPI && spi.length === 4 ? v1.spiNumber(spi) : undefined
  }
  const { type, spi, data } = v2.parseNotify(body)
  // Where the SPI belongs is said twice in different words (section 3.10.1): it is found in either place.
  const named = data.length === 4 ? data : spi
  return type === NOTIFY_V2.INVALID_SPI && named.length === 4 ? v1.spiNumber(named) : undefined
}
