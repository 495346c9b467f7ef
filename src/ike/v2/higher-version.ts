import { type IkeHeader, VERSION_2 } from '../../wire/ike/header.js'
import { emitMessage } from '../../wire/ike/payloads.js'
import { FLAG } from '../../wire/ike/v2/numbers.js'
import { notify } from './payload-set.js'

/**
 * The answer to a request of a later major version than IKEv2, in the clear: the version that we speak is in its header (RFC 7296
 * sections 1.5 and 2.5). Undefined for a response and for the versions that are known.
 */
export function higherVersion(h: IkeHeader): Uint8Array | undefined {
  if (h.version >>> 4 <= VERSION_2 >>> 4 || (h.flags & FLAG.RESPONSE) !== 0) return undefined
  const { initiatorSpi, responderSpi, exchange, messageId } = h
  const flags = FLAG.RESPONSE | (h.flags & FLAG.INITIATOR ? 0 : FLAG.INITIATOR)
  const header = { initiatorSpi, responderSpi, version: VERSION_2, exchange, flags, messageId }
  return emitMessage(header, [notify('INVALID_MAJOR_VERSION')])
}
