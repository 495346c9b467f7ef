// A lane's counters, in memory that the main thread reads while the lane writes: doubles at fixed places, one writer,
// so an aligned store is all the synchronisation there is. Counts stay exact below 2^53.

/** What a lane counts besides drops. */
export const LANE_COUNTERS = [
  'tunReadPackets',
  'tunReadOctets',
  'tunWritePackets',
  'tunWriteOctets',
  /** Writes to the TUN: fewer than packets when segments were joined. */
  'tunWrites',
  'rxDatagrams',
  'txDatagrams',
  /** Of txDatagrams: sent by a direct way. */
  'txDirect',
  'rxCalls',
  'txCalls',
  'ikeForwarded',
  /** Dummy packets sent. */
  'dummies',
  'keepalives',
  'loops',
  'polls',
  /** Packets that this lane had no SA for and gave to another one. */
  'handedOver',
] as const
export type LaneCounter = (typeof LANE_COUNTERS)[number]

/** What is counted of each SA. */
export const SA_COUNTERS = [
  'packets',
  'octets',
  'lastUseMs',
  'sequenceLow',
  'sequenceHigh',
  'errors',
] as const
export type SaCounter = (typeof SA_COUNTERS)[number]

/** Drop codes are small positive numbers below this. */
export const DROP_SLOTS = 64
/** SAs a lane holds at most, both directions together. */
export const SA_SLOTS = 4096
const SA_FIELDS = 8

const LANE_BASE = 0
const DROP_BASE = 32
const SA_BASE = DROP_BASE + DROP_SLOTS
const LENGTH = SA_BASE + SA_SLOTS * SA_FIELDS

/** A view over one lane's counter block. */
export class Counters {
  readonly buffer: SharedArrayBuffer
  readonly cells: Float64Array

  /** @param buffer an existing block, or nothing for a new one */
  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(LENGTH * 8)) {
    this.buffer = buffer
    this.cells = new Float64Array(buffer)
  }

  add(counter: number, n: number): void {
    this.cells[LANE_BASE + counter] = this.cells[LANE_BASE + counter]! + n
  }

  get(counter: LaneCounter): number {
    return this.cells[LANE_BASE + LANE_COUNTERS.indexOf(counter)]!
  }

  /** @param code the positive drop code */
  drop(code: number, n = 1): void {
    this.cells[DROP_BASE + code] = this.cells[DROP_BASE + code]! + n
  }

  drops(code: number): number {
    return this.cells[DROP_BASE + code]!
  }

  /** Index of the first cell of an SA's slot; field i of SA_COUNTERS is at + i. */
  saBase(slot: number): number {
    return SA_BASE + slot * SA_FIELDS
  }

  getSa(slot: number, counter: SaCounter): number {
    return this.cells[this.saBase(slot) + SA_COUNTERS.indexOf(counter)]!
  }

  clearSa(slot: number): void {
    const base = this.saBase(slot)
    this.cells.fill(0, base, base + SA_FIELDS)
  }
}

/** Numbers of the lane counters, for the hot path. */
export const C = Object.fromEntries(LANE_COUNTERS.map((name, i) => [name, i])) as Record<LaneCounter, number>
