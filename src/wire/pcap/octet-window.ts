import { WireError } from '../../errors.js'

/** Where octets come from, in order: a file, as a rule. */
export interface OctetSource {
  /** Puts up to `length` octets at `into[at]`; gives how many, 0 at the end. */
  read(into: Uint8Array, at: number, length: number): number
}

/** A window of fixed size that slides over a source of any length: memory stays the same however long the source is. */
export class OctetWindow {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** The next octet not used yet, in `bytes`. */
  at = 0
  private end = 0
  private base = 0
  private readonly source: OctetSource

  /** @param size octets that `need` can make available at once */
  constructor(source: OctetSource, size: number) {
    this.source = source
    this.bytes = new Uint8Array(size)
    this.view = new DataView(this.bytes.buffer)
  }

  /** Offset of `at` in the source. */
  get offset(): number {
    return this.base + this.at
  }

  /** True when nothing is left. */
  get empty(): boolean {
    return !this.fill(1)
  }

  /**
   * Makes `n` octets available from `at` on.
   * @param n at most the window's size
   * @throws WireError when the source ends before; `what` names what it broke off in
   */
  need(n: number, what: string): void {
    if (this.fill(n)) return
    const left = this.end - this.at
    throw new WireError(what, this.offset, `the file ends here: ${n} octets expected, ${left} left`)
  }

  /** Passes over `n` octets, whatever their number. @throws WireError when the source ends before */
  skip(n: number, what: string): void {
    let left = n
    while (left > 0) {
      if (this.at === this.end && !this.fill(1))
        throw new WireError(what, this.offset, `the file ends here: ${left} more octets expected`)
      const step = Math.min(left, this.end - this.at)
      this.at += step
      left -= step
    }
  }

  private fill(n: number): boolean {
    if (this.end - this.at >= n) return true
    if (this.at > 0) {
      this.bytes.copyWithin(0, this.at, this.end)
      this.base += this.at
      this.end -= this.at
      this.at = 0
    }
    while (this.end < n) {
      const got = this.source.read(this.bytes, this.end, this.bytes.length - this.end)
      if (got <= 0) return false
      this.end += got
    }
    return true
  }
}
