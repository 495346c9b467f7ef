// A guest whose memory is migrated while it runs, as a model: it writes a fixed number of pages a second, each time to any
// page of its working set. Time is passed in; nothing here waits or sends.

export const PAGE = 4096

export interface GuestOptions {
  /** Pages of memory. */
  readonly pages: number
  /** Page writes a second. */
  readonly dirtyRate: number
  /** Pages, from the first one on, that are written to. */
  readonly workingSet: number
}

/** Which pages have been written to since they were last taken. */
export class Guest {
  private readonly o: GuestOptions
  private readonly dirty: Uint32Array
  private written = 0
  /** xorshift32; any start but 0. */
  private random = 0x9e37_79b9
  /** Different pages that are dirty. */
  dirtyCount = 0

  constructor(o: GuestOptions) {
    this.o = o
    this.dirty = new Uint32Array((o.pages + 31) >>> 5)
  }

  /**
   * Lets the guest run until `seconds` after its start.
   * @param write is called for every page that it writes to
   */
  runUntil(seconds: number, write?: (page: number) => void): void {
    const due = Math.floor(seconds * this.o.dirtyRate)
    for (; this.written < due; this.written++) {
      const page = this.next() % this.o.workingSet
      const bit = 1 << (page & 31)
      const word = page >>> 5
      if ((this.dirty[word]! & bit) === 0) this.dirtyCount++
      this.dirty[word]! |= bit
      write?.(page)
    }
  }

  /**
   * Takes the dirty pages as clean, as reading the hypervisor's log of them does.
   * @param into gets their numbers, in order
   * @returns how many
   */
  takeDirty(into: Uint32Array): number {
    let n = 0
    for (let word = 0; word < this.dirty.length; word++) {
      let bits = this.dirty[word]!
      if (bits === 0) continue
      this.dirty[word] = 0
      for (; bits !== 0; bits &= bits - 1) into[n++] = word * 32 + (31 - Math.clz32(bits & -bits))
    }
    this.dirtyCount = 0
    return n
  }

  private next(): number {
    let x = this.random
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.random = x
    return x >>> 0
  }
}

/** When libxl stops the guest and sends the rest (tools/libs/light/libxl_dom_save.c). */
export const ROUNDS_MAX = 5
export const FEW_DIRTY = 50

/** Whether the guest shall be stopped now. @param rounds that were sent while it ran @param dirty pages left to send */
export const isTimeToStop = (rounds: number, dirty: number): boolean =>
  rounds >= ROUNDS_MAX || dirty < FEW_DIRTY

// The stream: records of a header and what belongs to it. Little-endian.
//
//   | type (u32) | count (u32) | count page numbers (u32) | count pages |      type PAGES
//   | type (u32) | count (u32) |                                             the others
//
// The receiver answers every record but PAGES: START and END with one octet, DIGEST with 32.

export const RECORD_HEADER = 8
export const RECORD = {
  /** Memory of `count` pages is to come. */
  START: 1,
  PAGES: 2,
  /** That was all: the guest can go on at the receiver. */
  END: 3,
  /** Asks for SHA-256 over the memory. */
  DIGEST: 4,
} as const
/** Pages in a record; also what one writev takes. */
export const BATCH = 1024
