import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const START_MS = 10_000

export interface DaemonStart {
  readonly namespace: string
  /** Shell commands before the daemon: its mounts. They are the daemon's own, as its folder /run is. */
  readonly prepare?: string
  /** Program and arguments. */
  readonly command: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Where what it prints goes. */
  readonly output: string
}

/**
 * A daemon of others in a network namespace, with a mount namespace of its own and an empty /run in it, so that several can
 * run beside each other.
 */
export abstract class PeerDaemon {
  private readonly process: ChildProcess
  private readonly environment: NodeJS.ProcessEnv
  private readonly output: string

  protected constructor(options: DaemonStart) {
    const { namespace, prepare = 'true', command } = options
    const output = openSync(options.output, 'w')
    const script = `mount -t tmpfs tmpfs /run && ${prepare} && exec "$0" "$@"`
    this.output = options.output
    this.environment = { ...globalThis.process.env, ...options.environment }
    this.process = spawn('ip', ['netns', 'exec', namespace, 'bash', '-c', script, ...command], {
      env: this.environment,
      stdio: ['ignore', output, output],
    })
  }

  /** Waits until `serves` says so. @throws Error with the log when it does not; the daemon is stopped then */
  protected async ready(serves: () => boolean): Promise<void> {
    const deadline = performance.now() + START_MS
    while (performance.now() < deadline && !this.ended) {
      if (serves()) return
      await sleep(100)
    }
    await this.stop()
    throw new Error(`the daemon did not start:\n${this.log()}`)
  }

  /** Runs a program beside the daemon, in its namespaces. */
  protected attempt(...argv: string[]): SpawnSyncReturns<string> {
    const environment = { ...this.environment }
    delete environment.LD_PRELOAD
    const nsenter = ['-t', String(this.process.pid), '-m', '-n', ...argv]
    return spawnSync('nsenter', nsenter, { encoding: 'utf8', timeout: 30_000, env: environment })
  }

  /** The same. @throws Error with what it printed and the daemon's log when it fails */
  protected run(...argv: string[]): string {
    const { status, stdout, stderr } = this.attempt(...argv)
    if (status !== 0) throw new Error(`${argv.join(' ')}: ${stdout}${stderr}\n${this.log()}`)
    return stdout
  }

  log(): string {
    return readFileSync(this.output, 'utf8')
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null
  }

  kill9(): void {
    this.process.kill('SIGKILL')
  }

  async stop(): Promise<void> {
    if (this.ended) return
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGTERM')
    await Promise.race([ended, sleep(5_000)])
    this.process.kill('SIGKILL')
  }
}
