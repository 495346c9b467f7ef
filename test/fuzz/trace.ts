import type { SallyportError } from '../../src/errors.js'

/** What a target finds wrong beyond an exception: an invariant that does not hold. */
export class Finding extends Error {}

/** @throws Finding unless the condition holds */
export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Finding(what)
}

/**
 * What one case does, as its target tells it: the inputs, for counting, timing and reports, and their outcomes, which a
 * second run of the case must repeat.
 */
export class Trace {
  inputs = 0
  /** Milliseconds that the slowest input took, and that input. */
  slowestMs = 0
  slowest: Uint8Array | string | undefined
  /** The input under way. */
  current: Uint8Array | string | undefined
  /** How often each outcome came, over all cases. */
  readonly tally = new Map<string, number>()
  /** Kept when a case is run to be shown. */
  readonly kept: (Uint8Array | string)[] | undefined
  private hash = 0
  private since = 0
  private resting = false

  constructor(keep = false) {
    if (keep) this.kept = []
  }

  begin(): void {
    this.hash = 0
    this.inputs = 0
    this.slowestMs = 0
    this.slowest = undefined
    this.current = undefined
    this.since = performance.now()
    this.resting = false
  }

  /** The next input begins here. It is not copied: a target changes its octets only after another call. */
  input(octets: Uint8Array | string): void {
    this.clock()
    this.current = octets
    this.inputs++
    this.kept?.push(typeof octets === 'string' ? octets : octets.slice())
  }

  /** What follows, up to the next input, is not the last one's doing: its time is not looked at. */
  rest(): void {
    this.clock()
    this.resting = true
  }

  /** What became of an input: a short word, from a set that is bounded. */
  outcome(word: string): void {
    this.note(word)
    for (let i = 0; i < word.length; i++) this.hash = (Math.imul(this.hash, 31) + word.charCodeAt(i)) | 0
  }

  /** As `outcome`, for what another run need not repeat: where keys are random, for instance. */
  note(word: string): void {
    this.tally.set(word, (this.tally.get(word) ?? 0) + 1)
  }

  /** A number that belongs to the outcome. */
  value(n: number): void {
    this.hash = (Math.imul(this.hash, 31) + (n | 0)) | 0
  }

  octets(b: Uint8Array): void {
    for (let i = 0; i < b.length; i++) this.hash = (Math.imul(this.hash, 31) + b[i]!) | 0
  }

  /** @returns what the case came to, as a number */
  end(): number {
    this.clock()
    return this.hash
  }

  private clock(): void {
    const now = performance.now()
    if (!this.resting && now - this.since > this.slowestMs) {
      this.slowestMs = now - this.since
      this.slowest = this.current
    }
    this.since = now
    this.resting = false
  }

  /**
   * Runs a parser.
   * @param expected the error class that it may throw
   * @returns its value, undefined when it threw
   */
  parse<T>(
    name: string,
    expected: abstract new (...args: never[]) => SallyportError,
    run: () => T,
  ): T | undefined {
    try {
      const value = run()
      this.outcome(name)
      return value
    } catch (error) {
      if (!(error instanceof expected)) throw error
      must(error.message.length < 10_000, `an error message of ${error.message.length} characters`)
      this.outcome(`${name}: ${error.name}`)
      return undefined
    }
  }
}
