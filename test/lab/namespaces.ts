import { randomBytes } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { run } from './run.js'

const NAME = /^sally-(\d+)-[0-9a-f]{6}-/

/** A prefix for the names of one lab: the process that owns it can be told from it. */
export const labPrefix = (): string => `sally-${process.pid}-${randomBytes(3).toString('hex')}-`

export function addNamespace(name: string): void {
  run('ip', ['netns', 'add', name])
}

/** Kills every process in the namespaces and deletes them, with the devices and routes in them. */
export function deleteNamespaces(names: readonly string[]): void {
  const pids = (): string[] =>
    names.flatMap((name) =>
      (spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).stdout ?? '').split('\n').filter((p) => p !== ''),
    )
  for (let tries = 0; tries < 50; tries++) {
    const left = pids()
    if (left.length === 0) break
    for (const pid of left) {
      try {
        process.kill(Number(pid), 'SIGKILL')
      } catch {
        // It has ended by itself.
      }
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
  }
  for (const name of names) spawnSync('ip', ['netns', 'delete', name])
}

/** Deletes what labs have left whose process was killed before it could clean up. Returns the names. */
export function deleteStaleNamespaces(): string[] {
  const stale = namespacesOf('sally-').filter((name) => {
    const pid = NAME.exec(name)?.[1]
    return pid !== undefined && !isAlive(Number(pid))
  })
  if (stale.length > 0) deleteNamespaces(stale)
  return stale
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Namespaces whose names begin so. */
export function namespacesOf(prefix: string): string[] {
  try {
    return readdirSync('/run/netns').filter((name) => name.startsWith(prefix))
  } catch {
    return []
  }
}
