import { Worker } from 'node:worker_threads'
import { Command, InvalidArgumentError } from 'commander'
import { countsTable, memoryLine } from './report.js'
import { type Failure, fuzz, replayCase } from './runner.js'
import type { Target } from './target.js'
import { TARGETS } from './targets/index.js'
import { PROGRESS_CASE, PROGRESS_TARGET, type WatchTask } from './watch.js'

// `npm run fuzz`: the targets in turn, on one core, until time or inputs are up.

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
else await run()

async function showCase(targets: readonly Target[], index: number): Promise<void> {
  const exact = targets.find((t) => options.only?.includes(t.name)) ?? targets[0]!
  for (const input of await replayCase(exact, seed, index)) console.log(input)
}

async function run(): Promise<void> {
  const seconds = options.seconds ?? (options.inputs === undefined ? 60 : undefined)
  console.log(`seed ${seed}; a case alone: npm run fuzz -- --seed ${seed} --only TARGET --case N`)
  const progress = new SharedArrayBuffer(8)
  const task: WatchTask = { progress, targets: chosen.map((t) => t.name), seed }
  const watch = new Worker(new URL('./watch.js', import.meta.url), { workerData: task })
  const at = new Int32Array(progress)
  const result = await fuzz({
    seed,
    targets: chosen,
    ...(seconds !== undefined && { seconds }),
    ...(options.inputs !== undefined && { inputs: options.inputs }),
    onCase(target, index) {
      at[PROGRESS_TARGET] = target
      at[PROGRESS_CASE] = index
    },
    onFailure: tell,
  })
  await watch.terminate()
  console.log(countsTable(result, options.outcomes === true))
  console.log(memoryLine(result))
  if (result.leak !== undefined) console.error(result.leak)
  process.exitCode = result.failures.length > 0 || result.leak !== undefined ? 1 : 0
}

function tell(f: Failure): void {
  console.error(`\n${f.target}, case ${f.index}: ${f.what}\ninput: ${f.input.slice(0, 4_000)}\n`)
}
