import type { Random } from './random.js'
import type { Trace } from './trace.js'

/** Something to fuzz. A new one is a file in targets/ and a line in targets/index.ts. */
export interface Target {
  readonly name: string
  readonly about: string
  /** Part of the time that it gets, 1 unless told. */
  readonly weight?: number
  /** Makes its corpus and fixtures; called once, when the target's turn comes for the first time. */
  prepare(): Fuzz | Promise<Fuzz>
}

export interface Fuzz {
  /**
   * One case: one input or many. All chance comes from `random`, and nothing is left behind that could change the next
   * case. Whatever it throws is a crasher.
   */
  run(random: Random, trace: Trace): void | Promise<void>
  /** Ends what `prepare` began. */
  close?(): void | Promise<void>
}
