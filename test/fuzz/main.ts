import { Worker } from 'node:worker_threads'
import { Command, InvalidArgumentError } from 'commander'
import { countsTable, memoryLine } from './report.js'
import { type Failure, replayCase } from './runner.js'
import type { Target } from './target.js'
import { TARGETS } from './targets/index.js'
import { PROGRESS_CASE, PROGRESS_TARGET, type WorkerDone, type WorkerTask } from './worker.js'

// `npm run fuzz`: the targets in turn, on one core, until time or inputs are up. The work is done by a thread, so that
// an input that never ends is noticed and named.

/** Nothing has moved for so long: the input hangs. */
const STUCK_MS = 20_000

const number = (text: string): number => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 0 || n > 0xffff_ffff)
    throw new InvalidArgumentError('expected a whole number')
  return n
}
const positive = (text: string): number => {
  const n = number(text)
  if (n < 1) throw new InvalidArgumentError('expected a whole number above zero')
  return n
}

const options = new Command('fuzz')
  .description('Feeds parsers and whole exchanges with changed, cut, doubled and misordered inputs')
  .option('--seconds <n>', 'end after so many seconds (60, when --inputs is not given either)', positive)
  .option('--inputs <n>', 'end after so many inputs', positive)
  .option('--seed <n>', 'the same seed gives the same cases (default: by the clock)', number)
  .option('--only <target...>', 'these targets alone; a part of the name will do')
  .option('--case <n>', 'run this case of the one target, and print its inputs', number)
  .option('--outcomes', 'tell what became of the inputs')
  .option('--list', 'name the targets')
  .parse()
  .opts<{
    seconds?: number
    inputs?: number
    seed?: number
    only?: string[]
    case?: number
    outcomes?: boolean
    list?: boolean
  }>()

const chosen = TARGETS.filter((t) => options.only?.some((part) => t.name.includes(part)) ?? true)
if (chosen.length === 0) {
  console.error(
    `no target is called ${options.only?.join(', ')}; there are ${TARGETS.map((t) => t.name).join(', ')}`,
  )
  process.exit(2)
}
const seed = options.seed ?? Date.now() % 2 ** 32

if (options.list) for (const t of chosen) console.log(`${t.name.padEnd(24)} ${t.about}`)
else if (options.case !== undefined) await showCase(chosen, options.case)
else run()

async function showCase(targets: readonly Target[], index: number): Promise<void> {
  const exact = targets.find((t) => options.only?.includes(t.name)) ?? targets[0]!
  for (const input of await replayCase(exact, seed, index)) console.log(input)
}

function run(): void {
  const seconds = options.seconds ?? (options.inputs === undefined ? 60 : undefined)
  console.log(`seed ${seed}; a case alone: npm run fuzz -- --seed ${seed} --only TARGET --case N`)
  const progress = new SharedArrayBuffer(8)
  const task: WorkerTask = {
    seed,
    targets: chosen.map((t) => t.name),
    progress,
    ...(seconds !== undefined && { seconds }),
    ...(options.inputs !== undefined && { inputs: options.inputs }),
  }
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: task })
  const at = new Int32Array(progress)
  let seen = ''
  let movedAt = performance.now()
  const watch = setInterval(() => {
    const now = `${at[PROGRESS_TARGET]} ${at[PROGRESS_CASE]}`
    if (now !== seen) {
      seen = now
      movedAt = performance.now()
    } else if (performance.now() - movedAt > STUCK_MS) {
      console.error(`${chosen[at[PROGRESS_TARGET]!]!.name}, case ${at[PROGRESS_CASE]! >>> 0}: hangs`)
      process.exit(1)
    }
  }, 1_000)
  worker.on('message', (message: { failure: Failure } | WorkerDone) => {
    if ('failure' in message) return tell(message.failure)
    clearInterval(watch)
    console.log(countsTable(message, options.outcomes === true))
    console.log(memoryLine(message))
    if (message.leak !== undefined) console.error(message.leak)
    process.exitCode = message.failed > 0 || message.leak !== undefined ? 1 : 0
  })
  worker.on('error', (error) => {
    console.error(error)
    process.exit(1)
  })
}

function tell(f: Failure): void {
  console.error(`\n${f.target}, case ${f.index}: ${f.what}\ninput: ${f.input.slice(0, 4_000)}\n`)
}
