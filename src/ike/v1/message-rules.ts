import { WireError } from '../../errors.js'
import type { Payload } from '../../wire/ike/payloads.js'
import { PAYLOAD } from '../../wire/ike/v1/numbers.js'

// How often each payload may be in a message (RFC 2409 sections 5.4 and 5.5, RFC 3947). Types that a table does not name
// are of no concern: vendors add payloads of their own, and what matters is covered by a hash.

type Rule = readonly [type: number, min: number, max: number]
export type MessageRules = readonly Rule[]

const VENDORS: Rule = [PAYLOAD.VID, 0, 32]
const NOTIFIES: Rule = [PAYLOAD.NOTIFY, 0, 8]
const NAT_D: Rule = [PAYLOAD.NAT_D, 0, 16]
const NAT_OA: Rule = [PAYLOAD.NAT_OA, 0, 2]

export const RULES = {
  /** Messages 1 and 2. */
  sa: [[PAYLOAD.SA, 1, 1], VENDORS],
  /** Messages 3 and 4. */
  ke: [[PAYLOAD.KE, 1, 1], [PAYLOAD.NONCE, 1, 1], NAT_D, VENDORS],
  /** Messages 5 and 6. */
  auth: [[PAYLOAD.ID, 1, 1], [PAYLOAD.HASH, 1, 1], NOTIFIES],
  /** Quick Mode messages 1 and 2. */
  quick: [
    [PAYLOAD.HASH, 1, 1],
    [PAYLOAD.SA, 1, 1],
    [PAYLOAD.NONCE, 1, 1],
    [PAYLOAD.KE, 0, 1],
    [PAYLOAD.ID, 0, 2],
    NAT_OA,
    NOTIFIES,
  ],
  quickLast: [[PAYLOAD.HASH, 1, 1]],
  informational: [
    [PAYLOAD.HASH, 0, 1],
    [PAYLOAD.NOTIFY, 0, 16],
    [PAYLOAD.DELETE, 0, 16],
  ],
} as const satisfies Record<string, MessageRules>

/** The payloads of a message by type. */
export class PayloadSet {
  private readonly payloads: readonly Payload[]

  /** @throws WireError when a payload is missing or there too often */
  constructor(payloads: readonly Payload[], rules: MessageRules) {
    this.payloads = payloads
    for (const [type, min, max] of rules) {
      const n = this.all(type).length
      if (n < min || n > max)
        throw new WireError(`payload ${type}`, 0, `is there ${n} times, not ${min} to ${max}`)
    }
  }

  /** Bodies of a type, in order. */
  all(type: number): Uint8Array[] {
    return this.payloads.filter((p) => p.type === type).map((p) => p.body)
  }

  first(type: number): Uint8Array | undefined {
    return this.payloads.find((p) => p.type === type)?.body
  }

  /** The body of a type that the rules say is there. @throws WireError */
  need(type: number): Uint8Array {
    const body = this.first(type)
    if (body === undefined) throw new WireError(`payload ${type}`, 0, 'is missing')
    return body
  }
}

/** RFC 2409 section 5: nonces have 8 to 256 octets. @throws WireError */
export function checkNonce(body: Uint8Array): Uint8Array {
  if (body.length < 8 || body.length > 256)
    throw new WireError('NONCE', 0, `has ${body.length} octets, not 8 to 256`)
  return body
}
