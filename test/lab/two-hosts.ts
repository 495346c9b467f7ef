import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type Host = 'a' | 'b'

export interface TwoHostsOptions {
  /** MTU of the wire; default 1500. */
  readonly mtu?: number
}

/** Addresses of the two ends of the wire. */
export const UNDERLAY = {
  4: { a: '10.77.0.1', b: '10.77.0.2' },
  6: { a: 'fd77::1', b: 'fd77::2' },
} as const

/**
 * Two namespaces joined by one veth pair with its offloads off, as two hosts on a wire: for tests and measurements that
 * need no one in between. Names are unique a run; everything is gone after `close`, at exit and on signals.
 */
export class TwoHosts {
  readonly directory: string
  private readonly prefix: string
  private readonly children = new Set<ChildProcess>()
  private readonly atExit = (): void => this.removeNow()
  private closed = false

  /** @throws Error when namespaces cannot be made here */
  constructor(options: TwoHostsOptions = {}) {
    this.prefix = `sp${process.pid.toString(36)}${randomBytes(2).toString('hex')}`
    this.directory = mkdtempSync(join(tmpdir(), 'sallyport-'))
    process.on('exit', this.atExit)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, this.onSignal)
    try {
      const [a, b] = [this.namespace('a'), this.namespace('b')]
      for (const ns of [a, b]) {
        ip('netns', 'add', ns)
        ip('-n', ns, 'link', 'set', 'lo', 'up')
      }
      ip('link', 'add', 'underlay', 'netns', a, 'type', 'veth', 'peer', 'name', 'underlay', 'netns', b)
      for (const host of ['a', 'b'] as const) {
        const ns = this.namespace(host)
        // Without duplicate address detection an IPv6 address can be bound to at once.
        spawnSync('ip', ['netns', 'exec', ns, 'sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=0'])
        ip('-n', ns, 'link', 'set', 'underlay', 'mtu', String(options.mtu ?? 1500), 'up')
        const offloads = ['tso', 'gso', 'gro', 'tx'].flatMap((o) => [o, 'off'])
        spawnSync('ip', ['netns', 'exec', ns, 'ethtool', '-K', 'underlay', ...offloads])
        ip('-n', ns, 'addr', 'add', `${UNDERLAY[4][host]}/24`, 'dev', 'underlay')
        ip('-n', ns, '-6', 'addr', 'add', `${UNDERLAY[6][host]}/64`, 'dev', 'underlay', 'nodad')
      }
    } catch (error) {
      this.removeNow()
      throw error
    }
  }

  namespace(host: Host): string {
    return `${this.prefix}-${host}`
  }

  /** Runs a command on a host to its end and returns what it printed. @throws Error with its output when it fails */
  run(host: Host, ...argv: string[]): string {
    const { status, stdout, stderr } = this.attempt(host, ...argv)
    if (status !== 0) throw new Error(`on ${host}: ${argv.join(' ')}: ${stdout}${stderr}`)
    return stdout
  }

  /** The same, without judging its status. */
  attempt(host: Host, ...argv: string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync('ip', ['netns', 'exec', this.namespace(host), ...argv], {
      encoding: 'utf8',
      timeout: 120_000,
    })
  }

  /** Starts a command on a host; its output goes to a file. */
  start(host: Host, log: string, ...argv: string[]): ChildProcess {
    const output = openSync(join(this.directory, log), 'a')
    const child = spawn('ip', ['netns', 'exec', this.namespace(host), ...argv], {
      stdio: ['ignore', output, output],
    })
    this.children.add(child)
    child.once('exit', () => this.children.delete(child))
    return child
  }

  /** Stops what runs and removes everything. Safe to call again. */
  async close(): Promise<void> {
    const ends = [...this.children].map((child) => new Promise((resolve) => child.once('exit', resolve)))
    for (const child of this.children) child.kill('SIGTERM')
    await Promise.race([Promise.all(ends), new Promise((resolve) => setTimeout(resolve, 5_000))])
    this.removeNow()
  }

  private readonly onSignal = (signal: NodeJS.Signals): void => {
    this.removeNow()
    process.kill(process.pid, signal)
  }

  private removeNow(): void {
    if (this.closed) return
    this.closed = true
    process.off('exit', this.atExit)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, this.onSignal)
    for (const host of ['a', 'b'] as const) {
      const ns = this.namespace(host)
      const pids = spawnSync('ip', ['netns', 'pids', ns], { encoding: 'utf8' }).stdout.trim()
      for (const pid of pids === '' ? [] : pids.split('\n')) {
        try {
          process.kill(Number(pid), 'SIGKILL')
        } catch {
          // It has ended by itself.
        }
      }
      spawnSync('ip', ['netns', 'del', ns])
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}

function ip(...argv: string[]): void {
  execFileSync('ip', argv, { stdio: ['ignore', 'ignore', 'pipe'] })
}
