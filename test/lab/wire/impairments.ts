import type { Frame, Kind } from './frame.js'

export type Direction = 'a-to-b' | 'b-to-a'

/** What the wire does to some of the frames. Chances are 0 to 1; each frame is judged on its own. */
export interface Impairment {
  /** Default: both. */
  readonly direction?: Direction
  /** Default: all kinds but ARP and neighbour discovery. */
  readonly kinds?: readonly Kind[]
  /** Only frames with at least this many octets. */
  readonly minimumLength?: number
  readonly loss?: number
  readonly duplicate?: number
  /** Chance that a frame is held back until some later ones have passed. */
  readonly reorder?: number
  readonly delayMs?: number
  /** Flips a bit in one frame of every `every`, `limit` times altogether. */
  readonly tamper?: { readonly every: number; readonly limit: number }
  /** Takes nothing through. */
  readonly cut?: boolean
}

export const VERDICT = { PASS: 0, DROP: 1, DUPLICATE: 2, HOLD: 4, DELAY: 8, TAMPER: 16 } as const

/** Judges frames by the first impairment that fits them. The same frames in the same order get the same verdicts. */
export class Judge {
  delayMs = 0
  private readonly impairments: readonly Impairment[]
  private readonly tampered: number[]
  private readonly passed: number[]
  private state: number

  constructor(impairments: readonly Impairment[], seed = 1) {
    this.impairments = impairments
    this.tampered = impairments.map(() => 0)
    this.passed = impairments.map(() => 0)
    this.state = seed | 1
  }

  /** A number in [0, 1): xorshift32. */
  random(): number {
    let x = this.state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state = x
    return (x >>> 0) / 2 ** 32
  }

  /** Flags of VERDICT; `delayMs` is set with DELAY. */
  judge(frame: Frame, length: number, direction: Direction): number {
    for (let i = 0; i < this.impairments.length; i++) {
      const rule = this.impairments[i]!
      if (rule.direction !== undefined && rule.direction !== direction) continue
      if (rule.kinds ? !rule.kinds.includes(frame.kind) : frame.kind === 'arp' || frame.kind === 'neighbour')
        continue
      if (length < (rule.minimumLength ?? 0)) continue
      return this.apply(rule, i)
    }
    return VERDICT.PASS
  }

  private apply(rule: Impairment, i: number): number {
    if (rule.cut === true || this.chance(rule.loss)) return VERDICT.DROP
    let verdict: number = VERDICT.PASS
    if (this.chance(rule.duplicate)) verdict |= VERDICT.DUPLICATE
    if (this.chance(rule.reorder)) verdict |= VERDICT.HOLD
    if (rule.delayMs !== undefined) {
      verdict |= VERDICT.DELAY
      this.delayMs = rule.delayMs
    }
    if (rule.tamper && this.tampered[i]! < rule.tamper.limit && ++this.passed[i]! % rule.tamper.every === 0) {
      this.tampered[i]!++
      verdict |= VERDICT.TAMPER
    }
    return verdict
  }

  private chance(p: number | undefined): boolean {
    return p !== undefined && p > 0 && this.random() < p
  }
}
