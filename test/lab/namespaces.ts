import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './run.js'

const NAME = /^sally-(\d+)-\w{6}/

/** A prefix for the names of one lab: the process that owns it can be told from it. */
export const labPrefix = (): string => `sally-${process.pid}-${randomBytes(3).toString('hex')}-`

/** The same for its folder, which gets six characters behind it. */
export const folderPrefix = (): string => `sally-${process.pid}-`

export function addNamespace(name: string): void {
  run('ip', ['netns', 'add', name])
}

/** Kills every process in the namespaces and deletes them, with the devices and routes in them. */
export function deleteNamespaces(names: readonly string[]): void {
  const pids = (): string[] =>
    names.flatMap((name) =>
      (spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).stdout ?? '')
        .split('\n')
        .filter((p) => p !== ''),
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

/** Deletes the namespaces and folders of labs whose process was killed before it could clean up. */
export function deleteStale(): void {
  const isStale = (name: string): boolean => {
    const pid = NAME.exec(name)?.[1]
    return pid !== undefined && !isAlive(Number(pid))
  }
  const names = namespacesOf('sally-').filter(isStale)
  if (names.length > 0) deleteNamespaces(names)
  for (const name of readdirSync(tmpdir()).filter(isStale))
    rmSync(join(tmpdir(), name), { recursive: true, force: true })
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
