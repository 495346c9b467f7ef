import { InternalError } from '../errors.js'
import { lowBlock } from './low-memory.js'

/**
 * A fixed block of memory for structures that native calls read and write. It is zeroed, never moves and lives as long
 * as this object: whoever hands `address` to a call keeps the object.
 */
export class NativeMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** The same memory as 32-bit words: a 64-bit field is two of them, low word first (see setWord64). */
  readonly words: Uint32Array
  readonly address: number
  private used = 0

  /** @param length octets; rounded up to a multiple of 8 */
  constructor(length: number) {
    const { buffer, address } = lowBlock((length + 7) & ~7)
    this.bytes = new Uint8Array(buffer)
    this.view = new DataView(buffer)
    this.words = new Uint32Array(buffer)
    this.address = address
  }

  /** Takes `length` octets, aligned to 8, and returns their offset. There is no way to give them back. */
  take(length: number): number {
    const at = this.used
    const end = at + ((length + 7) & ~7)
    if (end > this.bytes.length)
      throw new InternalError(`native memory of ${this.bytes.length} octets is full`)
    this.used = end
    return at
  }
}

const WORD = 2 ** 32

/**
 * Writes an address, or any number below 2^53, as a 64-bit little-endian field.
 * @param index of the low word in `words`: octet offset / 4
 */
export function setWord64(words: Uint32Array, index: number, value: number): void {
  words[index] = value >>> 0
  words[index + 1] = (value / WORD) >>> 0
}
