/** Parts of the benchmark, in the order in which they run. */
export const SECTIONS = [
  'engines',
  'pipeline',
  'rig',
  'pps',
  'latency',
  'migration',
  'rekey',
  'ike',
  'soak',
] as const
export type Section = (typeof SECTIONS)[number]

/** What a figure is about. Two figures with the same identity are the same figure of two runs. */
export interface FigureId {
  readonly section: Section
  /** What was measured: an engine with its algorithm, a stage, a contender. */
  readonly subject: string
  /** What about it: "one TCP stream", "64 octets". */
  readonly metric: string
  /** Of the underlay; absent where there is none. */
  readonly mtu?: number | undefined
}

export interface Figure extends FigureId {
  readonly unit: string
  readonly better: 'higher' | 'lower'
  /** One of each round, in order. */
  readonly values: number[]
}

/** Something that changes with time within a run. */
export interface Series {
  readonly section: Section
  readonly subject: string
  readonly metric: string
  readonly unit: string
  /** Seconds since the start, and the value. */
  readonly points: (readonly [number, number])[]
}

/** Who did not take part, wholly or in a section, and why. */
export interface Absence {
  readonly subject: string
  readonly section: Section
  readonly why: string
  /** It was there and did not do what was asked of it; otherwise it is not installed. */
  readonly failed?: boolean | undefined
}

export type NewFigure = Omit<Figure, 'values'>

/** Collects what the sections measure; rounds of the same figure go together. */
export class Figures {
  readonly series: Series[] = []
  readonly absences: Absence[] = []
  private readonly byKey = new Map<string, Figure>()

  get all(): readonly Figure[] {
    return [...this.byKey.values()]
  }

  add(figure: NewFigure, value: number): void {
    const key = figureKey(figure)
    const known = this.byKey.get(key)
    if (known) known.values.push(value)
    else this.byKey.set(key, { ...figure, values: [value] })
  }

  /** Remembers it once, however many rounds it is missing from. */
  absent(absence: Absence): void {
    const known = this.absences.some((a) => a.subject === absence.subject && a.section === absence.section)
    if (!known) this.absences.push(absence)
  }
}

export const figureKey = (f: FigureId): string => [f.section, f.metric, f.mtu ?? '', f.subject].join(' | ')

/** Middle of the values, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  )
}

/** @param sorted ascending @param part 0 to 1; between two values it is interpolated */
export function quantile(sorted: ArrayLike<number>, part: number): number {
  if (sorted.length === 0) return Number.NaN
  const at = (sorted.length - 1) * part
  const below = Math.floor(at)
  const [low, high] = [sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!]
  return low + (high - low) * (at - below)
}
