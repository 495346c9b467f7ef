import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { libc } from '../../src/ffi/libc.js'

const CLONE_NEWNET = 0x40000000
const OWN_NAMESPACE = '/proc/thread-self/ns/net'

/**
 * A network namespace without a name, for the calling thread alone: unshare(2) moves this thread and what it starts from
 * then on (processes, worker threads), nothing else of the process. It begins with a loopback interface that is down
 * and ends with its last socket, device and process, so nothing can be left behind. Needs root.
 */
export class PrivateNetns {
  private readonly outside: number
  private readonly inside: number

  private constructor(outside: number) {
    this.outside = outside
    this.inside = openSync(OWN_NAMESPACE, 'r')
  }

  /** Moves the calling thread into a new namespace. @throws Error without CAP_SYS_ADMIN */
  static enter(): PrivateNetns {
    const outside = openSync(OWN_NAMESPACE, 'r')
    const r = libc().unshare(CLONE_NEWNET)
    if (r < 0) {
      closeSync(outside)
      throw new Error(`unshare(CLONE_NEWNET): errno ${-r}`)
    }
    return new PrivateNetns(outside)
  }

  /** Runs `ip ARGUMENTS` in the namespace that the thread is in; the arguments are separated by single spaces. */
  ip(args: string): string {
    return execFileSync('ip', args.split(' '), { encoding: 'utf8' })
  }

  /** Runs a command in the namespace that the thread is in. */
  run(command: string, ...args: string[]): string {
    return execFileSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20 })
  }

  /** Goes back in, after `away`. */
  again(): void {
    libc().setns(this.inside, CLONE_NEWNET)
  }

  /** Moves the thread back to where it was; the namespace stays as long as this object is not closed. */
  away(): void {
    libc().setns(this.outside, CLONE_NEWNET)
  }

  /** Moves the thread back and lets go of the namespace. */
  leave(): void {
    this.away()
    closeSync(this.inside)
    closeSync(this.outside)
  }
}

/** Why a test that needs a namespace of its own (and, when asked, TUN devices) cannot run; undefined when it can. */
export function missingForNetns(needs: { readonly tun?: boolean } = {}): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux'
  if (process.getuid?.() !== 0) return 'not root'
  try {
    PrivateNetns.enter().leave()
    execFileSync('ip', ['-V'], { stdio: 'ignore' })
    if (needs.tun === true) closeSync(openSync('/dev/net/tun', 'r+'))
  } catch (error) {
    return (error as Error).message
  }
  return undefined
}
