import { ProtocolError, WireError } from '../../errors.js'
import type { Payload, PayloadInit } from '../../wire/ike/payloads.js'
import { PAYLOADS_MAX } from '../../wire/ike/v2/chain.js'
import { emitNotify, type NotifyPayload, parseNotify } from '../../wire/ike/v2/notify.js'
import { isErrorNotify, isKnownPayload, NOTIFY, PAYLOAD, payloadName } from '../../wire/ike/v2/numbers.js'

// How often each payload may be in a message (RFC 7296 sections 1.2 to 1.4 and appendix C). Types that a table does not name
// may be there and are of no concern.

type Rule = readonly [type: number, min: number, max: number]
export type MessageRules = readonly Rule[]

/** As many as a message may have payloads: RFC 7296 sets no bound. */
const NOTIFIES: Rule = [PAYLOAD.NOTIFY, 0, PAYLOADS_MAX]
const VENDORS: Rule = [PAYLOAD.VENDOR, 0, PAYLOADS_MAX]

export const RULES = {
  /** IKE_SA_INIT, both ways. */
  init: [[PAYLOAD.SA, 1, 1], [PAYLOAD.KE, 1, 1], [PAYLOAD.NONCE, 1, 1], NOTIFIES, VENDORS],
  /** A response that says what is to be done otherwise. */
  notifies: [NOTIFIES, VENDORS],
  intermediate: [[PAYLOAD.KE, 0, 1], NOTIFIES, VENDORS],
  authRequest: [
    [PAYLOAD.ID_I, 1, 1],
    [PAYLOAD.ID_R, 0, 1],
    [PAYLOAD.AUTH, 0, 1],
    [PAYLOAD.SA, 0, 1],
    [PAYLOAD.TS_I, 0, 1],
    [PAYLOAD.TS_R, 0, 1],
    NOTIFIES,
    VENDORS,
  ],
  authResponse: [
    [PAYLOAD.ID_R, 0, 1],
    [PAYLOAD.AUTH, 0, 1],
    [PAYLOAD.SA, 0, 1],
    [PAYLOAD.TS_I, 0, 1],
    [PAYLOAD.TS_R, 0, 1],
    NOTIFIES,
    VENDORS,
  ],
  createChild: [
    [PAYLOAD.SA, 0, 1],
    [PAYLOAD.NONCE, 0, 1],
    [PAYLOAD.KE, 0, 1],
    [PAYLOAD.TS_I, 0, 1],
    [PAYLOAD.TS_R, 0, 1],
    NOTIFIES,
    VENDORS,
  ],
  followUp: [[PAYLOAD.KE, 0, 1], NOTIFIES, VENDORS],
  informational: [NOTIFIES, [PAYLOAD.DELETE, 0, PAYLOADS_MAX], VENDORS],
} as const satisfies Record<string, MessageRules>

/** RFC 7296 section 2.5: a payload that its sender wants us to understand. */
export class UnknownCritical extends ProtocolError {
  readonly payload: number
  constructor(payload: number) {
    super('UNSUPPORTED_CRITICAL_PAYLOAD', `payload ${payload} is critical and unknown`)
    this.payload = payload
  }
}

/** The payloads of a message by type. */
export class PayloadSet {
  private readonly payloads: readonly Payload[]
  /** All Notify payloads, in order. */
  readonly notifies: readonly NotifyPayload[]

  /**
   * @throws WireError when a payload is missing or there too often, or a Notify does not parse
   * @throws UnknownCritical
   */
  constructor(payloads: readonly Payload[], rules: MessageRules) {
    this.payloads = payloads
    const critical = payloads.find((p) => p.critical && !isKnownPayload(p.type))
    if (critical !== undefined) throw new UnknownCritical(critical.type)
    for (const [type, min, max] of rules) {
      const n = this.all(type).length
      if (n < min || n > max)
        throw new WireError(`payload ${payloadName(type)}`, 0, `is there ${n} times, not ${min} to ${max}`)
    }
    this.notifies = this.all(PAYLOAD.NOTIFY).map(parseNotify)
  }

  /** Bodies of a type, in order. */
  all(type: number): Uint8Array[] {
    return this.payloads.filter((p) => p.type === type).map((p) => p.body)
  }

  first(type: number): Uint8Array | undefined {
    return this.payloads.find((p) => p.type === type)?.body
  }

  /** The body of a type that has to be there. @throws WireError */
  need(type: number): Uint8Array {
    const body = this.first(type)
    if (body === undefined) throw new WireError(`payload ${payloadName(type)}`, 0, 'is missing')
    return body
  }

  notify(type: number): NotifyPayload | undefined {
    return this.notifies.find((n) => n.type === type)
  }

  says(type: number): boolean {
    return this.notify(type) !== undefined
  }

  /** The first Notify that reports an error. */
  error(): NotifyPayload | undefined {
    return this.notifies.find((n) => isErrorNotify(n.type))
  }
}

const NO_OCTETS = new Uint8Array(0)

/** A Notify payload without SPI. */
export const notify = (name: keyof typeof NOTIFY, data: Uint8Array = NO_OCTETS): PayloadInit => ({
  type: PAYLOAD.NOTIFY,
  body: emitNotify({ protocol: 0, spi: NO_OCTETS, type: NOTIFY[name], data }),
})
