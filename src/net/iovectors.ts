import type { Slab } from '../bytes/slab.js'
import { InternalError } from '../errors.js'
import { IOV_MAX, IOVEC_LEN } from '../ffi/layout/iovec.js'
import { NativeMemory, setWord64 } from '../ffi/native-memory.js'
import type { IoVectors } from './types.js'

/** A scatter/gather list over one slab, for `writev`. */
export class NativeIoVectors implements IoVectors {
  readonly capacity: number
  /** Address of the first entry. */
  readonly address: number
  private readonly base: number
  private readonly size: number
  private readonly memory: NativeMemory
  private readonly words: Uint32Array

  /** @param capacity entries, at most IOV_MAX (1024) */
  constructor(slab: Slab, capacity: number) {
    if (capacity < 1 || capacity > IOV_MAX) throw new InternalError(`${capacity} vectors`)
    this.capacity = capacity
    this.base = slab.address
    this.size = slab.bytes.length
    this.memory = new NativeMemory(capacity * IOVEC_LEN)
    this.words = this.memory.words
    this.address = this.memory.address
  }

  /** Entry i becomes slab[at, at + length). @throws InternalError when that, or i, is out of bounds */
  set(i: number, at: number, length: number): void {
    if (i < 0 || i >= this.capacity || at < 0 || length < 0 || at + length > this.size)
      throw new InternalError('a vector outside the list or the slab')
    const w = i << 2
    setWord64(this.words, w, this.base + at)
    this.words[w + 2] = length
  }
}
