// The fuzzer's only source of chance. Every case has its own, made from (seed, target, case), so that any one of them can
// be run again without those before it.

/** Numbers at which parsers break: around powers of two, signs, and the lengths that formats begin with. */
const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 20, 27, 28, 31, 32, 40, 63, 64, 127, 128, 255, 256, 511, 512, 1024, 1500, 4095,
  0x7fff, 0x8000, 0xfff8, 0xffff, 0x1_0000, 0x00ff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
] as const

export class Random {
  // sfc32: three words of state and a counter.
  private a: number
  private b: number
  private c: number
  private d = 1

  private constructor(a: number, b: number, c: number) {
    this.a = a | 0
    this.b = b | 0
    this.c = c | 0
    for (let i = 0; i < 12; i++) this.u32()
  }

  /** The random numbers of one case. */
  static of(seed: number, target: string, index: number): Random {
    let name = 0x811c_9dc5
    for (let i = 0; i < target.length; i++) name = Math.imul(name ^ target.charCodeAt(i), 0x0100_0193)
    return new Random(seed, name, index)
  }

  u32(): number {
    const t = (this.a + this.b + this.d) | 0
    this.d = (this.d + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = ((this.c << 21) | (this.c >>> 11)) + t
    return t >>> 0
  }

  /** 0 to n - 1; 0 for n below 2. */
  below(n: number): number {
    return n < 2 ? 0 : Math.floor((this.u32() / 2 ** 32) * n)
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  octets(length: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(length)
    for (let i = 0; i < length; i++) out[i] = this.u32() >>> 24
    return out
  }

  /** A small number as a rule; now and then a large one, up to `max`. */
  length(max: number): number {
    const scale = this.pick([4, 16, 64, max])
    return this.below(Math.min(scale, max) + 1)
  }

  /** A number of `bits` bits: an edge, one next to `near`, or any. */
  edge(bits: number, near = 0): number {
    const v = this.oneIn(3)
      ? near + this.below(9) - 4
      : this.oneIn(4)
        ? this.u32()
        : this.pick(EDGES) + (this.oneIn(4) ? this.below(3) - 1 : 0)
    return bits === 32 ? v >>> 0 : v & (2 ** bits - 1)
  }
}
