import { Sealer } from '../../src/ike/v2/protection.js'
import type { IkeHeader } from '../../src/wire/ike/header.js'
import type { PayloadInit } from '../../src/wire/ike/payloads.js'
import { parseNotify } from '../../src/wire/ike/v2/notify.js'
import { FLAG, notifyName, PAYLOAD } from '../../src/wire/ike/v2/numbers.js'

type Head = Omit<IkeHeader, 'nextPayload' | 'length'>

/** An encrypted message of either end, as it was before encryption. */
export interface Sealed {
  readonly exchange: number
  readonly isRequest: boolean
  readonly fromInitiator: boolean
  readonly payloads: readonly PayloadInit[]
}

/**
 * Reads and changes what two ends of IKEv2 in this process seal, so that it is authentic and does not keep to the rules. While the
 * object is in place it concerns every IKE SA: call `end`.
 */
export class Insider {
  /** In order. */
  readonly sealed: Sealed[] = []
  /** What goes out instead. */
  change: (message: Sealed) => readonly PayloadInit[] = (m) => m.payloads
  /** The exchange type that it goes out with. */
  exchange: (message: Sealed) => number = (m) => m.exchange
  private readonly original = Sealer.prototype.seal

  constructor() {
    const { original } = this
    const changed = (header: Head, payloads: readonly PayloadInit[]): [Head, readonly PayloadInit[]] => {
      const message = {
        exchange: header.exchange,
        isRequest: (header.flags & FLAG.RESPONSE) === 0,
        fromInitiator: (header.flags & FLAG.INITIATOR) !== 0,
        payloads,
      }
      const out = this.change(message)
      this.sealed.push({ ...message, payloads: out })
      return [{ ...header, exchange: this.exchange(message) }, out]
    }
    Sealer.prototype.seal = function (this: Sealer, header, payloads) {
      return original.call(this, ...changed(header, payloads))
    }
  }

  end(): void {
    Sealer.prototype.seal = this.original
  }

  /** Names of the notifies in all responses of an exchange, with the octets of their data. */
  said(exchange: number): [name: string, data: number[]][] {
    return this.sealed
      .filter((m) => !m.isRequest && m.exchange === exchange)
      .flatMap((m) => notifiesIn(m.payloads))
  }
}

export const notifiesIn = (payloads: readonly PayloadInit[]): [name: string, data: number[]][] =>
  payloads
    .filter((p) => p.type === PAYLOAD.NOTIFY)
    .map((p) => parseNotify(p.body))
    .map((n) => [notifyName(n.type), [...n.data]])
