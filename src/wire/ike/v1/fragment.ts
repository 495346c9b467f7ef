import { WireError } from '../../../errors.js'
import { EXCHANGE, emitIkeHeader, IKE_HEADER_LEN, type IkeHeader, parseIkeHeader } from '../header.js'
import { PAYLOAD_HEADER_LEN, parsePayloads } from '../payloads.js'
import { PAYLOAD } from './numbers.js'

// IKEv1 fragmentation as Cisco, Microsoft ([MS-IKEE]) and strongSwan do it: a message is cut as it is, encrypted or not, and
// each piece travels as the only payload of a message in the clear, under the same cookies.
//
//  | fragment ID (2) | fragment number (1), from 1 | flags (1): 1 = the last one | octets of the message |

const FIELDS_LEN = 4
const FLAG_LAST = 1
/** What stands before a fragment's data. */
export const FRAGMENT_OVERHEAD = IKE_HEADER_LEN + PAYLOAD_HEADER_LEN + FIELDS_LEN
export const FRAGMENTS_MAX = 255

export interface Fragment {
  readonly id: number
  /** 1 to 255. */
  readonly number: number
  readonly last: boolean
  /** At least one octet; aliases the message. */
  readonly data: Uint8Array
}

/**
 * @param message whole, with its header
 * @throws WireError when there is anything but one fragment in it
 */
export function parseFragment(header: IkeHeader, message: Uint8Array): Fragment {
  const payloads = parsePayloads(message.subarray(IKE_HEADER_LEN), header.nextPayload)
  const body = payloads[0]?.body
  if (payloads.length !== 1 || payloads[0]!.type !== PAYLOAD.FRAGMENT || body === undefined)
    throw new WireError('fragment', IKE_HEADER_LEN, 'is not alone in its message')
  if (body.length <= FIELDS_LEN) throw new WireError('fragment', IKE_HEADER_LEN, 'has no data')
  const number = body[2]!
  if (number === 0) throw new WireError('fragment.number', IKE_HEADER_LEN + 6, 'is zero')
  return {
    id: (body[0]! << 8) | body[1]!,
    number,
    last: (body[3]! & FLAG_LAST) !== 0,
    data: body.subarray(FIELDS_LEN),
  }
}

/**
 * Cuts a message into fragment messages of at most `size` octets each.
 * @param size above FRAGMENT_OVERHEAD
 * @returns undefined when it would take more than FRAGMENTS_MAX
 */
export function emitFragments(message: Uint8Array, id: number, size: number): Uint8Array[] | undefined {
  const room = size - FRAGMENT_OVERHEAD
  const count = Math.ceil(message.length / room)
  if (room < 1 || count > FRAGMENTS_MAX) return undefined
  const header = parseIkeHeader(message)
  return Array.from({ length: count }, (_, i) => {
    const data = message.subarray(i * room, (i + 1) * room)
    const out = new Uint8Array(FRAGMENT_OVERHEAD + data.length)
    // Nothing of it is encrypted once more, and others use message ID 0 here as well. As Quick Mode has none of that number, and
    // libreswan looks before it puts together, every piece is called Main Mode's, as strongSwan does it.
    emitIkeHeader(
      {
        ...header,
        nextPayload: PAYLOAD.FRAGMENT,
        ...{ exchange: EXCHANGE.MAIN_MODE, flags: 0, messageId: 0, length: out.length },
      },
      out,
      0,
    )
    const body = PAYLOAD_HEADER_LEN + FIELDS_LEN + data.length
    const last = i === count - 1 ? FLAG_LAST : 0
    out.set([0, 0, body >>> 8, body & 0xff, id >>> 8, id & 0xff, i + 1, last], IKE_HEADER_LEN)
    out.set(data, FRAGMENT_OVERHEAD)
    return out
  })
}
