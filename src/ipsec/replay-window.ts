import { InternalError } from '../errors.js'
import { DROP } from './drop.js'

/** A new number is never late or early by more than this many packets; 2^20 packets are 128 KiB of window. */
export const REPLAY_WINDOW_MAX = 1 << 20

const TOP_LOW = 0
const TOP_HIGH = 1
const CHECKED_LOW = 2
const CHECKED_HIGH = 3

/**
 * Which sequence numbers an inbound SA has seen: RFC 4303 section 3.4.3, with extended numbers by appendix A2. The bitmap is a
 * ring of words that is never shifted (RFC 6479), with one word more than the window so that the window is exact.
 * Numbers are two u32 halves; nothing is allocated after construction.
 */
export class ReplayWindow {
  /** Packets; 0 = every number is new. */
  readonly size: number
  readonly esn: boolean
  private readonly words: Uint32Array
  /** Words - 1, a power of two minus 1: a word's place stays right when the low half wraps. */
  private readonly mask: number
  private readonly state = new Uint32Array(4)

  /** @param size a multiple of 32 up to REPLAY_WINDOW_MAX, or 0 */
  constructor(size: number, esn: boolean) {
    if (!Number.isInteger(size) || size < 0 || size % 32 !== 0 || size > REPLAY_WINDOW_MAX)
      throw new InternalError(
        `a replay window of ${size} packets: it must be a multiple of 32 up to ${REPLAY_WINDOW_MAX}`,
      )
    this.size = size
    this.esn = esn
    let words = 1
    while (words < size / 32 + 1) words *= 2
    this.words = new Uint32Array(words)
    this.mask = words - 1
    // Number 0 is never sent (RFC 4303 section 3.3.3); to the window it is one that has been seen.
    this.words[0] = 1
  }

  /** Highest number received so far, both halves zero before the first. */
  get topLow(): number {
    return this.state[TOP_LOW]!
  }

  get topHigh(): number {
    return this.state[TOP_HIGH]!
  }

  /** High half of the number that `check` saw last: 0 without ESN. */
  get high(): number {
    return this.state[CHECKED_HIGH]!
  }

  /**
   * Judges a number before the ICV is looked at. Changes nothing that a forged packet could harm.
   * @param low the low half, as it came with the packet
   * @returns 0 when it is new (`high` is the inferred high half), DROP.REPLAYED, or DROP.TOO_OLD
   */
  check(low: number): 0 | typeof DROP.REPLAYED | typeof DROP.TOO_OLD {
    const s = this.state
    const topLow = s[TOP_LOW]!
    const topHigh = s[TOP_HIGH]!
    s[CHECKED_LOW] = low
    s[CHECKED_HIGH] = 0
    if (this.size === 0) return 0
    let high = 0
    if (this.esn) {
      // Appendix A2.1: the window's left edge tells which half-space the low half belongs to.
      if (topLow >= this.size - 1) {
        if (low >= topLow - this.size + 1) high = topHigh
        else if (topHigh === 0xffff_ffff) return DROP.TOO_OLD
        else high = topHigh + 1
      } else if (low >= topLow - this.size + 1 + 0x1_0000_0000) {
        // The window straddles a wrap of the low half, and the number lies before the wrap.
        if (topHigh === 0) return DROP.TOO_OLD
        high = topHigh - 1
      } else high = topHigh
      s[CHECKED_HIGH] = high
      if (high > topHigh || (high === topHigh && low > topLow)) return 0
    } else {
      if (low > topLow) return 0
      if (topLow - low >= this.size) return DROP.TOO_OLD
    }
    const word = this.words[(low >>> 5) & this.mask]!
    return (word & (1 << (low & 31))) === 0 ? 0 : DROP.REPLAYED
  }

  /**
   * Starts as if (high, low) had been the last of many packets received, none of the others in the window: for a capture that
   * begins in the middle of an SA.
   */
  startAt(high: number, low: number): void {
    this.state[TOP_LOW] = low
    this.state[TOP_HIGH] = high
    this.words.fill(0)
    if (high === 0 && low < this.size) this.words[0] = 1
    const at = (low >>> 5) & this.mask
    this.words[at] = this.words[at]! | (1 << (low & 31))
  }

  /** Records the number that `check` found new, once its ICV has been found right. */
  commit(): void {
    if (this.size === 0) return
    const s = this.state
    const low = s[CHECKED_LOW]!
    const high = s[CHECKED_HIGH]!
    if (high > s[TOP_HIGH]! || (high === s[TOP_HIGH]! && low > s[TOP_LOW]!)) {
      const from = s[TOP_LOW]! >>> 5
      // `check` infers at most one wrap: a block number of 27 bits and the carry are all there is.
      const blocks = (low >>> 5) - from + (high > s[TOP_HIGH]! ? 0x800_0000 : 0)
      const clear = blocks > this.mask ? this.mask + 1 : blocks
      for (let i = 1; i <= clear; i++) this.words[(from + i) & this.mask] = 0
      s[TOP_LOW] = low
      s[TOP_HIGH] = high
    }
    const at = (low >>> 5) & this.mask
    this.words[at] = this.words[at]! | (1 << (low & 31))
  }
}
