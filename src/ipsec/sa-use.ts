import type { SaExpiry, SaLifetime } from '../sadb/sa-spec.js'

/** Places of an SA's counters in its cells: doubles, exact below 2^53. */
export const SA_CELL = {
  PACKETS: 0,
  OCTETS: 1,
  LAST_USE_MS: 2,
  SEQUENCE_LOW: 3,
  SEQUENCE_HIGH: 4,
  ERRORS: 5,
} as const
export const SA_CELLS = 6

type Limit = SaExpiry['limit']
type Cause = SaExpiry['cause']

/** What an SA has carried, and how far it may still go (RFC 4301 section 4.4.2.1: soft and hard lifetimes). */
export class SaUse {
  /** Indexed by SA_CELL. May lie in memory that another thread reads. */
  readonly cells: Float64Array
  private readonly softOctets: number
  private readonly hardOctets: number
  private readonly softPackets: number
  private readonly hardPackets: number
  private readonly softAtMs: number
  private readonly hardAtMs: number
  private spent = false
  private softSequence = false
  private hardSequence = false
  private softReported = false
  private hardReported = false

  constructor(lifetime: SaLifetime, nowMs: number, cells: Float64Array) {
    this.cells = cells
    cells.fill(0, 0, SA_CELLS)
    this.softOctets = lifetime.softOctets ?? Number.POSITIVE_INFINITY
    this.hardOctets = lifetime.hardOctets ?? Number.POSITIVE_INFINITY
    this.softPackets = lifetime.softPackets ?? Number.POSITIVE_INFINITY
    this.hardPackets = lifetime.hardPackets ?? Number.POSITIVE_INFINITY
    this.softAtMs = nowMs + (lifetime.softSeconds ?? Number.POSITIVE_INFINITY) * 1000
    this.hardAtMs = nowMs + (lifetime.hardSeconds ?? Number.POSITIVE_INFINITY) * 1000
  }

  /** False when a packet of this many octets would cross a hard limit; from then on the SA carries nothing. */
  admits(octets: number, nowMs: number): boolean {
    if (this.spent) return false
    const c = this.cells
    if (
      c[SA_CELL.OCTETS]! + octets <= this.hardOctets &&
      c[SA_CELL.PACKETS]! < this.hardPackets &&
      nowMs < this.hardAtMs
    )
      return true
    this.spent = true
    return false
  }

  /** Counts one protected packet. @param octets of the inner packet */
  count(octets: number, nowMs: number): void {
    const c = this.cells
    c[SA_CELL.PACKETS] = c[SA_CELL.PACKETS]! + 1
    c[SA_CELL.OCTETS] = c[SA_CELL.OCTETS]! + octets
    c[SA_CELL.LAST_USE_MS] = nowMs
  }

  /** Counts one packet that the SA refused. */
  countError(): void {
    this.cells[SA_CELL.ERRORS] = this.cells[SA_CELL.ERRORS]! + 1
  }

  /** Few sequence numbers are left ('soft') or none ('hard'). */
  sequenceRunsOut(limit: Limit): void {
    if (limit === 'soft') this.softSequence = true
    else {
      this.hardSequence = true
      this.spent = true
    }
  }

  /** The limit that was reached, each told once; a hard limit silences the soft one. Not for the hot path: it allocates. */
  due(nowMs: number): Pick<SaExpiry, 'limit' | 'cause'> | undefined {
    if (this.hardReported) return undefined
    const hard = this.hardCause(nowMs)
    if (hard) {
      this.spent = true
      this.hardReported = true
      return { limit: 'hard', cause: hard }
    }
    const soft = this.softReported ? undefined : this.softCause(nowMs)
    if (!soft) return undefined
    this.softReported = true
    return { limit: 'soft', cause: soft }
  }

  private hardCause(nowMs: number): Cause | undefined {
    if (this.hardSequence) return 'sequence'
    if (nowMs >= this.hardAtMs) return 'time'
    if (this.cells[SA_CELL.PACKETS]! >= this.hardPackets) return 'packets'
    // A packet that would have crossed the limit was refused, although octets are left.
    if (this.spent || this.cells[SA_CELL.OCTETS]! >= this.hardOctets) return 'octets'
    return undefined
  }

  private softCause(nowMs: number): Cause | undefined {
    if (this.softSequence) return 'sequence'
    if (nowMs >= this.softAtMs) return 'time'
    if (this.cells[SA_CELL.PACKETS]! >= this.softPackets) return 'packets'
    if (this.cells[SA_CELL.OCTETS]! >= this.softOctets) return 'octets'
    return undefined
  }
}
