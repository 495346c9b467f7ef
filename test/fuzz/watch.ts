import { parentPort, workerData } from 'node:worker_threads'
import { fuzz, type RunResult } from './runner.js'
import { TARGETS } from './targets/index.js'

/** Words of the shared memory that says which case is under way. */
export const PROGRESS_TARGET = 0
export const PROGRESS_CASE = 1

export interface WorkerTask {
  readonly seed: number
  readonly targets: readonly string[]
  readonly progress: SharedArrayBuffer
  readonly seconds?: number
  readonly inputs?: number
}

export interface CountedTarget {
  readonly name: string
  readonly cases: number
  readonly inputs: number
  readonly ms: number
  readonly slowestMs: number
  readonly failures: number
  readonly growth: number
  readonly tally: ReadonlyMap<string, number>
}

export interface WorkerDone extends Pick<RunResult, 'seconds' | 'inputs' | 'memory' | 'leak'> {
  readonly failed: number
  readonly counted: readonly CountedTarget[]
}

if (parentPort !== null) {
  const port = parentPort
  const { seed, targets, progress, seconds, inputs } = workerData as WorkerTask
  const at = new Int32Array(progress)
  const result = await fuzz({
    seed,
    targets: targets.map((name) => TARGETS.find((t) => t.name === name)!),
    ...(seconds !== undefined && { seconds }),
    ...(inputs !== undefined && { inputs }),
    onCase(target, index) {
      at[PROGRESS_TARGET] = target
      at[PROGRESS_CASE] = index
    },
    onFailure: (failure) => port.postMessage({ failure }),
  })
  const done: WorkerDone = {
    seconds: result.seconds,
    inputs: result.inputs,
    memory: result.memory,
    leak: result.leak,
    failed: result.tested.reduce((n, t) => n + t.failures, 0),
    counted: result.tested.map((t) => ({
      name: t.target.name,
      cases: t.cases,
      inputs: t.inputs,
      ms: t.ms,
      slowestMs: t.slowestMs,
      failures: t.failures,
      growth: t.growth,
      tally: t.tally,
    })),
  }
  port.postMessage(done)
}
