import { writeSync } from 'node:fs'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'

// A thread that sees to it that an input which never ends is noticed and named: the thread that has it cannot say so.

/** Words of the shared memory that says which case is under way. */
export const PROGRESS_TARGET = 0
export const PROGRESS_CASE = 1

export interface WatchTask {
  /** Two words of 32 bits. */
  readonly progress: SharedArrayBuffer
  readonly targets: readonly string[]
  readonly seed: number
}

/** Nothing has moved for so long: the input hangs. */
const STUCK_MS = 20_000
const STDERR = 2

if (!isMainThread && parentPort !== null) {
  const { progress, targets, seed } = workerData as WatchTask
  const at = new Int32Array(progress)
  let seen = ''
  let movedAt = performance.now()
  setInterval(() => {
    const now = `${at[PROGRESS_TARGET]} ${at[PROGRESS_CASE]}`
    if (now !== seen) {
      seen = now
      movedAt = performance.now()
    } else if (performance.now() - movedAt > STUCK_MS) {
      const name = targets[at[PROGRESS_TARGET]!]
      writeSync(STDERR, `${name}, case ${at[PROGRESS_CASE]! >>> 0}, seed ${seed}: hangs\n`)
      process.kill(process.pid, 'SIGKILL')
    }
  }, 1_000)
}
