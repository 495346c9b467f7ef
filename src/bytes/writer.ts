/** Growing big-endian writer for control messages. The data path writes into its slab instead. */
export class Writer {
  private buf: Uint8Array
  private used = 0

  constructor(capacity = 512) {
    this.buf = new Uint8Array(capacity)
  }

  /** Octets written so far. */
  get length(): number {
    return this.used
  }

  private room(n: number): number {
    const at = this.used
    if (at + n > this.buf.length) {
      const bigger = new Uint8Array(Math.max(this.buf.length * 2, at + n))
      bigger.set(this.buf)
      this.buf.fill(0) // may hold plaintext of an encrypted message
      this.buf = bigger
    }
    this.used = at + n
    return at
  }

  u8(v: number): this {
    const at = this.room(1) // before `this.buf` is read: it may be replaced
    this.buf[at] = v
    return this
  }

  u16(v: number): this {
    const at = this.room(2)
    this.buf[at] = v >>> 8
    this.buf[at + 1] = v
    return this
  }

  u32(v: number): this {
    const at = this.room(4)
    this.buf[at] = v >>> 24
    this.buf[at + 1] = v >>> 16
    this.buf[at + 2] = v >>> 8
    this.buf[at + 3] = v
    return this
  }

  bytes(b: Uint8Array): this {
    const at = this.room(b.length)
    this.buf.set(b, at)
    return this
  }

  zeros(n: number): this {
    const at = this.room(n)
    this.buf.fill(0, at, at + n)
    return this
  }

  /** Overwrites the u16 at `at`, for lengths known only afterwards. */
  patchU16(at: number, v: number): this {
    this.buf[at] = v >>> 8
    this.buf[at + 1] = v
    return this
  }

  /** Overwrites the u32 at `at`. */
  patchU32(at: number, v: number): this {
    this.buf[at] = v >>> 24
    this.buf[at + 1] = v >>> 16
    this.buf[at + 2] = v >>> 8
    this.buf[at + 3] = v
    return this
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.buf.slice(0, this.used)
  }
}
