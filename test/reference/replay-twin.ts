/** The replay window as a set of 64-bit numbers: RFC 4303 appendix A2 in its own words, with BigInt. */
export class ReplayTwin {
  private readonly seen = new Set<bigint>([0n])
  private top = 0n
  private readonly size: bigint
  private readonly esn: boolean
  private checked = 0n

  constructor(size: number, esn: boolean, top = 0n) {
    this.size = BigInt(size)
    this.esn = esn
    this.top = top
    if (top > 0n) this.seen.add(top)
  }

  get highest(): bigint {
    return this.top
  }

  get high(): number {
    return Number(this.checked >> 32n)
  }

  check(low: number): 'new' | 'replayed' | 'too old' {
    this.checked = this.infer(BigInt(low))
    if (this.checked < 0n || this.checked >= 1n << 64n) return 'too old'
    if (this.checked > this.top) return 'new'
    if (this.checked + this.size <= this.top) return 'too old'
    return this.seen.has(this.checked) ? 'replayed' : 'new'
  }

  commit(): void {
    this.seen.add(this.checked)
    if (this.checked > this.top) this.top = this.checked
  }

  /** The one number with these low 32 bits in the 2^32 numbers that begin at the window's left edge. */
  private infer(low: bigint): bigint {
    if (!this.esn) return low
    const left = this.top - this.size + 1n
    const wrap = 1n << 32n
    const offset = (((low - left) % wrap) + wrap) % wrap
    return left + offset
  }
}
