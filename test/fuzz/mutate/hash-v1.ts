import { PAYLOAD_HEADER_LEN, type Payload, parsePayloads } from '../../../src/wire/ike/payloads.js'
import { PAYLOAD } from '../../../src/wire/ike/v1/numbers.js'

/**
 * Makes a chain that begins with a HASH payload authentic, as the receiver will look at it: the hash covers what follows
 * the first payload, to the end of the last one. Any other chain stays as it is.
 */
export function authenticated(
  chain: Uint8Array<ArrayBuffer>,
  first: number,
  make: (rest: Uint8Array) => Uint8Array,
): Uint8Array<ArrayBuffer> {
  if (first !== PAYLOAD.HASH) return chain
  let payloads: Payload[]
  try {
    payloads = parsePayloads(chain, first)
  } catch {
    return chain
  }
  const end = payloads.reduce((n, p) => n + PAYLOAD_HEADER_LEN + p.body.length, 0)
  const from = PAYLOAD_HEADER_LEN + payloads[0]!.body.length
  const hash = make(chain.subarray(from, end))
  const out = new Uint8Array(PAYLOAD_HEADER_LEN + hash.length + chain.length - from)
  out.set(chain.subarray(0, 2))
  out[2] = 0
  out[3] = PAYLOAD_HEADER_LEN + hash.length
  out.set(hash, PAYLOAD_HEADER_LEN)
  out.set(chain.subarray(from), PAYLOAD_HEADER_LEN + hash.length)
  return out
}
