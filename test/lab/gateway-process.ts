import { type ChildProcess, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Host, TwoHosts } from './two-hosts.js'

/** The compiled command line, whether this file runs compiled (dist/test/lab) or from source. */
export const CLI = fileURLToPath(
  import.meta.url.includes('/dist/')
    ? new URL('../../src/cli/main.js', import.meta.url)
    : new URL('../../dist/src/cli/main.js', import.meta.url),
)

/** Runs `sallyport` with the arguments, outside any namespace. */
export function cli(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', timeout: 30_000 })
}

/** What `sallyport status --json` says, as far as tests and benchmarks look at it. */
export type StatusJson = Record<string, unknown>

/** A real `sallyport up` on one of two hosts. */
export class GatewayProcess {
  readonly control: string
  readonly log: string
  private readonly process: ChildProcess

  private constructor(process: ChildProcess, control: string, log: string) {
    this.process = process
    this.control = control
    this.log = log
  }

  /**
   * Starts the daemon with a configuration whose `host` section is added here; resolves when it is ready.
   * @param yaml sections besides host and log
   * @throws Error with its log when it ends or is not ready in time
   */
  static async start(
    hosts: TwoHosts,
    host: Host,
    yaml: string,
    id = `${host}.example`,
  ): Promise<GatewayProcess> {
    const control = join(hosts.directory, `${host}.vici`)
    const file = join(hosts.directory, `${host}.yaml`)
    const state = join(hosts.directory, `state-${host}`)
    writeFileSync(
      file,
      `host: { id: ${id}, state: ${state}, control: ${control} }\nlog: { level: debug, format: json }\n${yaml}`,
    )
    const name = `gateway-${host}.log`
    const log = join(hosts.directory, name)
    const before = textOf(log).length
    const process = hosts.start(host, name, globalThis.process.execPath, CLI, 'up', '-c', file)
    const gateway = new GatewayProcess(process, control, log)
    for (let i = 0; i < 150; i++) {
      if (textOf(log).slice(before).includes('"msg":"ready"')) return gateway
      if (process.exitCode !== null) break
      await sleep(100)
    }
    throw new Error(`sallyport up on ${host} is not ready:\n${textOf(log).slice(before)}`)
  }

  get pid(): number {
    return this.process.pid!
  }

  /** All that it has logged. */
  text(): string {
    return textOf(this.log)
  }

  status(): StatusJson {
    const { status, stdout, stderr } = cli('status', '--json', '--socket', this.control)
    if (status !== 0) throw new Error(stderr)
    return JSON.parse(stdout) as StatusJson
  }

  /** As a crash: nothing is cleaned up. */
  async kill9(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.ended()
  }

  /** Stops it and returns its exit status. */
  async stop(): Promise<number | null> {
    this.process.kill('SIGTERM')
    await this.ended()
    return this.process.exitCode
  }

  private async ended(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    await new Promise((resolve) => this.process.once('exit', resolve))
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
