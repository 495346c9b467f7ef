import { closeSync, openSync } from 'node:fs'
import { libc } from '../../src/ffi/libc.js'

const CLONE_NEWNET = 0x40000000

/**
 * Runs `f` with the calling thread in the named network namespace. Sockets that it opens stay in that namespace. `f` must
 * not wait for anything: what runs later runs outside again.
 */
export function inside<T>(namespace: string, f: () => T): T {
  const outside = openSync('/proc/thread-self/ns/net', 'r')
  const target = openSync(`/run/netns/${namespace}`, 'r')
  try {
    const r = libc().setns(target, CLONE_NEWNET)
    if (r < 0) throw new Error(`setns ${namespace}: errno ${-r}`)
    try {
      return f()
    } finally {
      libc().setns(outside, CLONE_NEWNET)
    }
  } finally {
    closeSync(target)
    closeSync(outside)
  }
}
