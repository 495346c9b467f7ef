import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Random } from './random.js'
import type { Fuzz, Target } from './target.js'
import { Trace } from './trace.js'

/** An input that takes longer, three times in a row, hangs. */
export const HANG_MS = 200
/** Every so many cases are run twice and must come to the same. */
const REPEAT_EVERY = 16
const SLICE_MS = 400
/** Failures that are kept for one target; more are counted. */
const FAILURES_KEPT = 5
/** Growth of the live heap over the second half of a run that is taken for a leak, in octets. */
export const GROWTH_MAX = 16 * 1024 * 1024
/** The same of the process, where the memory of native calls is: what allocators keep makes it rough. */
export const RSS_GROWTH_MAX = 128 * 1024 * 1024

export interface Failure {
  readonly target: string
  readonly index: number
  readonly what: string
  readonly input: string
}

export interface Tested {
  readonly target: Target
  cases: number
  inputs: number
  ms: number
  slowestMs: number
  failures: number
  turns: number
  /** Octets by which the live heap grew in its turns but the first. */
  growth: number
  readonly tally: ReadonlyMap<string, number>
}

export interface RunOptions {
  readonly seed: number
  readonly targets: readonly Target[]
  /** Ends when so much time has passed, or when so many inputs are through. */
  readonly seconds?: number
  readonly inputs?: number
  /** Length of a target's turn; short ones for short runs. */
  readonly sliceMs?: number
  /** Told before each case, for whoever watches over hangs. */
  onCase?(target: number, index: number): void
  onFailure?(failure: Failure): void
  onRound?(tested: readonly Tested[], seconds: number): void
}

export interface RunResult {
  readonly seconds: number
  readonly inputs: number
  readonly tested: readonly Tested[]
  readonly failures: readonly Failure[]
  /** Live heap and buffers, and RSS, in octets: at half time and at the end. */
  readonly memory: { readonly half: Memory; readonly end: Memory }
  /** Growth above GROWTH_MAX or RSS_GROWTH_MAX; undefined when there was none. */
  readonly leak: string | undefined
}

export interface Memory {
  readonly live: number
  readonly rss: number
}

interface Entry extends Tested {
  readonly trace: Trace
  fuzz: Fuzz | undefined
}

/** Runs the targets in turn until time or inputs are up. */
export async function fuzz(o: RunOptions): Promise<RunResult> {
  const began = performance.now()
  const entries = o.targets.map((target): Entry => {
    const trace = new Trace()
    const zero = { cases: 0, inputs: 0, ms: 0, slowestMs: 0, failures: 0, turns: 0, growth: 0 }
    return { target, ...zero, tally: trace.tally, trace, fuzz: undefined }
  })
  const failures: Failure[] = []
  const seconds = (): number => (performance.now() - began) / 1000
  const total = (): number => entries.reduce((sum, e) => sum + e.inputs, 0)
  const over = (): boolean =>
    (o.seconds !== undefined && seconds() >= o.seconds) || (o.inputs !== undefined && total() >= o.inputs)
  const part = (): number =>
    Math.max(o.seconds ? seconds() / o.seconds : 0, o.inputs ? total() / o.inputs : 0)
  let half: Memory | undefined
  let live = memory().live
  try {
    do {
      for (const [i, e] of entries.entries()) {
        if (o.seconds !== undefined && e.cases > 0 && over()) break
        e.fuzz ??= await e.target.prepare()
        await slice(e, i, o, failures)
        // Native memory is given back by finalizers, which run between turns of the event loop.
        await new Promise((done) => setImmediate(done))
        const before = live
        live = memory().live
        // What a target's first turn leaves is its corpus.
        if (e.turns++ > 0) e.growth += live - before
      }
      if (half === undefined && part() >= 0.5) half = memory()
      o.onRound?.(entries, seconds())
    } while (!over())
  } finally {
    for (const e of entries) await e.fuzz?.close?.()
  }
  const end = memory()
  half ??= end
  const grown = end.live - half.live
  const rss = end.rss - half.rss
  const leak =
    grown > GROWTH_MAX
      ? `the live heap grew by ${grown} octets in the second half`
      : rss > RSS_GROWTH_MAX
        ? `the process grew by ${rss} octets in the second half`
        : undefined
  return { seconds: seconds(), inputs: total(), tested: entries, failures, memory: { half, end }, leak }
}

async function slice(e: Entry, which: number, o: RunOptions, failures: Failure[]): Promise<void> {
  const began = performance.now()
  const until = began + (o.sliceMs ?? SLICE_MS) * (e.target.weight ?? 1)
  do {
    const index = e.cases++
    o.onCase?.(which, index)
    const failure = await tryCase(e, o.seed, index)
    e.inputs += e.trace.inputs
    e.slowestMs = Math.max(e.slowestMs, e.trace.slowestMs)
    if (failure === undefined) continue
    e.failures++
    if (e.failures > FAILURES_KEPT) continue
    failures.push(failure)
    o.onFailure?.(failure)
  } while (performance.now() < until)
  e.ms += performance.now() - began
}

/** Runs a case, twice now and then. */
async function tryCase(e: Entry, seed: number, index: number): Promise<Failure | undefined> {
  const { trace } = e
  const { name } = e.target
  const fail = (what: string, input = trace.current): Failure => ({
    target: name,
    index,
    what,
    input: inputText(input),
  })
  try {
    const outcome = await once(e, seed, index)
    const { inputs, slowestMs, slowest } = trace
    let fastest = slowestMs
    for (let again = 0; fastest > HANG_MS && again < 2; again++) {
      // A busy machine is no hang: the processor has to have been at work as well.
      const before = process.cpuUsage()
      await once(e, seed, index)
      const { user, system } = process.cpuUsage(before)
      fastest = Math.min(fastest, trace.slowestMs, (user + system) / 1000)
    }
    if (fastest > HANG_MS) return fail(`hangs: ${fastest.toFixed(0)} ms`, slowest)
    if (index % REPEAT_EVERY === 0 && (await once(e, seed, index)) !== outcome)
      return fail('comes to something else when it is run again')
    trace.inputs = inputs
    trace.slowestMs = fastest
    return undefined
  } catch (error) {
    return fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
}

async function once(e: Entry, seed: number, index: number): Promise<number> {
  e.trace.begin()
  // Most targets do not wait for anything.
  const running = e.fuzz!.run(Random.of(seed, e.target.name, index), e.trace)
  if (running !== undefined) await running
  return e.trace.end()
}

export const inputText = (input: Uint8Array | string | undefined): string =>
  input === undefined
    ? '(none yet)'
    : typeof input === 'string'
      ? JSON.stringify(input)
      : Buffer.from(input).toString('hex')

/** Runs one case and gives its inputs. @throws whatever the case throws, with the inputs so far on stderr */
export async function replayCase(target: Target, seed: number, index: number): Promise<readonly string[]> {
  const trace = new Trace(true)
  const made = await target.prepare()
  trace.begin()
  try {
    await made.run(Random.of(seed, target.name, index), trace)
  } catch (error) {
    for (const input of trace.kept!) console.error(inputText(input))
    throw error
  } finally {
    await made.close?.()
  }
  trace.end()
  return trace.kept!.map(inputText)
}

let collect: (() => void) | undefined

/** What is in use after a full collection. */
function memory(): Memory {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  collect()
  const m = process.memoryUsage()
  return { live: m.heapUsed + m.external, rss: m.rss }
}
