import { InternalError } from '../errors.js'
import { type Block, lowBlock } from './low-memory.js'

/** Blocks of a length that wait to be used again; more are left to the garbage collector. */
const SPARES_MAX = 256
/** Of this thread, by length. */
const spares = new Map<number, Block[]>()

/**
 * A fixed block of memory for structures that native calls read and write. It is zeroed, never moves and lives as long
 * as this object: whoever hands `address` to a call keeps the object. Memory of what comes and goes, such as keys, is given back by
 * hand: a thread that makes no garbage is never collected, and a block takes a page at least.
 */
export class NativeMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** The same memory as 32-bit words: a 64-bit field is two of them, low word first (see setWord64). */
  readonly words: Uint32Array
  readonly address: number
  private readonly block: Block
  private used = 0
  private given = false

  /** @param length octets; rounded up to a multiple of 8 */
  constructor(length: number) {
    const rounded = (length + 7) & ~7
    this.block = spares.get(rounded)?.pop() ?? lowBlock(rounded)
    const { buffer, address } = this.block
    this.bytes = new Uint8Array(buffer)
    this.view = new DataView(buffer)
    this.words = new Uint32Array(buffer)
    this.address = address
  }

  /** Wipes the block and leaves it to the next one of its length. Nobody may use it or its address any more. */
  giveBack(): void {
    if (this.given) return
    this.given = true
    this.bytes.fill(0)
    const { length } = this.bytes
    const waiting = spares.get(length)
    if (waiting === undefined) spares.set(length, [this.block])
    else if (waiting.length < SPARES_MAX) waiting.push(this.block)
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

/** One block for all who need it within a call only, made when the first of them comes. */
export function sharedMemory(length: number): () => NativeMemory {
  let memory: NativeMemory | undefined
  return () => {
    memory ??= new NativeMemory(length)
    return memory
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
