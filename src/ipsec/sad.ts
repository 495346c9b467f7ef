import { InternalError } from '../errors.js'
import type { SaKey, SaProtocol } from '../sadb/sa-spec.js'
import type { InboundSa, OutboundSa } from './sa.js'

/** SAs of one lane in each direction. */
export const SAS_MAX = 4096

/**
 * The security association database of one lane (RFC 4301 section 4.4.2): inbound SAs by protocol and SPI, outbound SAs by the
 * policy they serve. It owns the SAs: who is deleted or replaced is destroyed.
 */
export class Sad {
  /** Grows with every change; caches of look-ups compare it. */
  generation = 0
  private readonly inboundEsp = new Map<number, InboundSa>()
  private readonly inboundAh = new Map<number, InboundSa>()
  private readonly outboundSas = new Map<number, OutboundSa>()
  // The SA found last, by protocol and SPI: packets come in trains.
  private lastSpi = 0
  private lastProtocol: SaProtocol = 'esp'
  private last: InboundSa | undefined

  /**
   * The SA of a received packet.
   * @param spi host order, unsigned or signed
   */
  inbound(protocol: SaProtocol, spi: number): InboundSa | undefined {
    // A signed 32-bit key is a small integer, for which no number object is made.
    const key = spi | 0
    if (key === this.lastSpi && protocol === this.lastProtocol) return this.last
    this.last = this.table(protocol).get(key)
    this.lastSpi = key
    this.lastProtocol = protocol
    return this.last
  }

  /** The newest SA of a policy. */
  outbound(policy: number): OutboundSa | undefined {
    return this.outboundSas.get(policy)
  }

  /** The first outbound SA with the SPI, which a peer chose, that the test holds for. */
  outboundWith(spi: number, test: (sa: OutboundSa) => boolean): OutboundSa | undefined {
    for (const sa of this.outboundSas.values()) if (sa.spi === spi && test(sa)) return sa
    return undefined
  }

  outbounds(): IterableIterator<OutboundSa> {
    return this.outboundSas.values()
  }

  inbounds(): IterableIterator<InboundSa> {
    return [this.inboundEsp, this.inboundAh].flatMap((table) => [...table.values()]).values()
  }

  /** Adds an SA, or replaces the one with the same SPI. @throws InternalError when the table is full */
  addInbound(sa: InboundSa): void {
    const table = this.table(sa.info.protocol)
    const key = sa.spi | 0
    const old = table.get(key)
    if (!old && this.inboundEsp.size + this.inboundAh.size >= SAS_MAX) throw full('inbound')
    table.set(key, sa)
    if (old !== sa) old?.destroy()
    this.changed()
  }

  /** Adds an SA, which takes over its policy's traffic at once; the policy's older one is dropped. @throws InternalError when full */
  addOutbound(sa: OutboundSa): void {
    const old = this.outboundSas.get(sa.policy)
    if (!old && this.outboundSas.size >= SAS_MAX) throw full('outbound')
    this.outboundSas.set(sa.policy, sa)
    if (old !== sa) old?.destroy()
    this.changed()
  }

  /** Deletes and destroys an SA. Outbound, without `policy` in the key: every one with this SPI. Unknown keys are no error. */
  delete(key: SaKey): void {
    if (key.direction === 'inbound') {
      const table = this.table(key.protocol)
      const sa = table.get(key.spi | 0)
      table.delete(key.spi | 0)
      sa?.destroy()
    } else {
      for (const [policy, sa] of this.outboundSas) {
        if (sa.spi !== key.spi || sa.info.protocol !== key.protocol) continue
        if (key.policy !== undefined && key.policy !== policy) continue
        this.outboundSas.delete(policy)
        sa.destroy()
      }
    }
    this.changed()
  }

  /** Every SA, for lifetimes and status. */
  *[Symbol.iterator](): IterableIterator<InboundSa | OutboundSa> {
    yield* this.inboundEsp.values()
    yield* this.inboundAh.values()
    yield* this.outboundSas.values()
  }

  /** Destroys everything. */
  clear(): void {
    for (const sa of this) sa.destroy()
    this.inboundEsp.clear()
    this.inboundAh.clear()
    this.outboundSas.clear()
    this.changed()
  }

  private table(protocol: SaProtocol): Map<number, InboundSa> {
    return protocol === 'esp' ? this.inboundEsp : this.inboundAh
  }

  private changed(): void {
    this.generation++
    this.last = undefined
    this.lastSpi = 0
  }
}

const full = (direction: string): InternalError => new InternalError(`more than ${SAS_MAX} ${direction} SAs`)
