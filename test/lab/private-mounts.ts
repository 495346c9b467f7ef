import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { libc } from '../../src/ffi/libc.js'

const CLONE_NEWNS = 0x20000

/**
 * Runs `f` while an empty file system lies over `path`, for the calling thread alone: it gets a mount namespace of its
 * own for the time. Needs root.
 */
export function withHidden<T>(path: string, f: () => T): T {
  const outside = openSync('/proc/thread-self/ns/mnt', 'r')
  const where = process.cwd()
  try {
    const r = libc().unshare(CLONE_NEWNS)
    if (r < 0) throw new Error(`unshare(CLONE_NEWNS): errno ${-r}`)
    try {
      execFileSync('mount', ['--make-rprivate', '/'])
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', path])
      return f()
    } finally {
      libc().setns(outside, CLONE_NEWNS)
      // setns moves the thread to the root directory.
      process.chdir(where)
    }
  } finally {
    closeSync(outside)
  }
}
