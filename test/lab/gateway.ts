import { type ChildProcess, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { fetchStatus } from '../../src/cli/commands/status.js'
import { ControlClient } from '../../src/daemon/control/client.js'
import type { ChildView, GatewayStatus } from '../../src/daemon/status.js'
import type { Rule } from './impair/rules.js'
import { ADDRESSES, type HostAddresses, type Lab, other, type Side } from './lab.js'
import { compiled, SALLYPORT } from './root.js'

const START_MS = 20_000

type Settings = Readonly<Record<string, unknown>>

export interface GatewaySettings {
  /** Family of the underlay and of the migration network. Default 4. */
  readonly outer?: 4 | 6
  readonly inner?: 4 | 6
  /** Protect the underlay addresses themselves. */
  readonly transparent?: boolean
  /** What differs from the default configuration, section by section. */
  readonly peer?: Settings
  readonly ike?: Settings
  readonly child?: Settings
  /** Further children of the peer, by name. */
  readonly children?: (mine: HostAddresses, theirs: HostAddresses) => Readonly<Record<string, Settings>>
  readonly dataplane?: Settings
  readonly tun?: Settings
  readonly log?: Settings
  /** Each host has a key pair of its own instead of a K_ab with the other. */
  readonly identities?: boolean
  /** Folder of a key log, by its name in the lab's folder. */
  readonly keyLog?: string
  /** What dom0-a's IKE does wrong. */
  readonly impair?: readonly Rule[]
}

/** Makes a K_ab with the product's own command. Returns its path. */
export function makeKey(lab: Lab, name = 'ab.key'): string {
  const path = lab.path(name)
  if (!existsSync(path)) lab.exec('a', process.execPath, SALLYPORT, 'genkey', '-o', path)
  return path
}

/** Makes a key pair for each host and the file of both public keys, with the product's own commands. */
export function makeIdentities(lab: Lab): void {
  if (existsSync(lab.path('public_keys'))) return
  const lines = (['a', 'b'] as const).map((side) => {
    const file = lab.path(`${side}.identity`)
    lab.exec(side, process.execPath, SALLYPORT, 'identity', 'make', '-o', file)
    return lab.exec(side, process.execPath, SALLYPORT, 'identity', 'show', file, '--id', hostName(side))
  })
  lab.file('public_keys', lines.join(''))
}

/** The configuration of one side, as YAML. Both sides get the same settings. */
export function gatewayConfig(lab: Lab, side: Side, settings: GatewaySettings = {}): string {
  const [mine, theirs] = [ADDRESSES[side], ADDRESSES[other(side)]]
  const outer = settings.outer === 6 ? 'v6' : 'v4'
  const inner = settings.transparent === true ? outer : settings.inner === 6 ? 'inner6' : 'inner4'
  const tunAddresses = settings.transparent === true ? [] : [`${mine.inner4}/32`, `${mine.inner6}/128`]
  const manual = settings.child?.manual !== undefined
  const own = settings.identities
    ? { identity: lab.path(`${side}.identity`), public_keys: lab.path('public_keys') }
    : {}
  const key = settings.identities ? {} : { key_file: lab.path('ab.key') }
  const identities = manual ? {} : { id: hostName(other(side)), ...key }
  const ike = { proposals: ['aes128-sha256-ecp256'], ...settings.ike }
  const child = {
    protocol: 'esp',
    mode: 'tunnel',
    local: [mine[inner]],
    remote: [theirs[inner]],
    ...settings.child,
  }
  return stringify({
    host: { ...own, id: hostName(side), state: lab.path(`${side}.state`), control: controlSocket(lab, side) },
    tun: { name: 'sally0', addresses: tunAddresses, ...settings.tun },
    log: { level: 'debug', format: 'json', ...settings.log },
    // The same on every machine, whatever its processors are.
    dataplane: { engine: 'auto', lanes: 1, ...settings.dataplane },
    ...(settings.keyLog !== undefined && { key_log: { directory: keyLogOf(lab, settings.keyLog, side) } }),
    peers: {
      [`dom0-${other(side)}`]: {
        local: mine[outer],
        remote: theirs[outer],
        ...identities,
        ...(manual ? {} : { ike }),
        ...settings.peer,
        children: { migration: child, ...settings.children?.(mine, theirs) },
      },
    },
  })
}

/** The folder that a side's keys are logged in; made when it is not there. */
export function keyLogOf(lab: Lab, name: string, side: Side): string {
  const path = lab.path(`${name}-${side}`)
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return path
}

export const hostName = (side: Side): string => `dom0-${side}.example`
export const controlSocket = (lab: Lab, side: Side): string => lab.path(`${side}.vici`)

/** A daemon, `sallyport up`, on a host of the lab. */
export class Gateway {
  readonly process: ChildProcess
  readonly side: Side
  private readonly lab: Lab
  private readonly logFile: string

  private constructor(
    lab: Lab,
    side: Side,
    configFile: string,
    impair: readonly Rule[] = [],
    around: readonly string[] | undefined = undefined,
  ) {
    this.lab = lab
    this.side = side
    this.logFile = lab.path(`${side}.log`)
    const log = openSync(this.logFile, 'a', 0o600)
    const rules = impair.length > 0 ? lab.file(`${side}.impair`, JSON.stringify(impair)) : undefined
    const program =
      rules === undefined ? (around ?? [SALLYPORT]) : [compiled('test/lab/programs/impaired'), rules]
    this.process = lab.spawn(side, process.execPath, [...program, 'up', '-c', configFile], {
      stdio: ['ignore', log, log],
    })
  }

  /**
   * Writes the configuration, starts the daemon and waits until it serves.
   * @param around arguments of node before `up`, for a program that the daemon runs in
   * @throws Error with its log when it does not serve
   */
  static async start(
    lab: Lab,
    side: Side,
    settings: GatewaySettings | string = {},
    around?: readonly string[],
  ): Promise<Gateway> {
    if (typeof settings !== 'string' && settings.identities) makeIdentities(lab)
    else makeKey(lab)
    const text = typeof settings === 'string' ? settings : gatewayConfig(lab, side, settings)
    const impair = side === 'a' && typeof settings !== 'string' ? settings.impair : undefined
    const gateway = new Gateway(lab, side, lab.file(`${side}.yaml`, text), impair, around)
    const deadline = performance.now() + START_MS
    for (;;) {
      try {
        await gateway.status()
        return gateway
      } catch (error) {
        if (gateway.ended || performance.now() > deadline) {
          gateway.kill9()
          throw new Error(`dom0-${side} did not start: ${(error as Error).message}\n${gateway.log()}`)
        }
        await sleep(50)
      }
    }
  }

  /** Both daemons of a lab, with the same settings. */
  static async pair(lab: Lab, settings: GatewaySettings = {}): Promise<readonly [Gateway, Gateway]> {
    if (settings.identities) makeIdentities(lab)
    else makeKey(lab)
    return Promise.all([Gateway.start(lab, 'a', settings), Gateway.start(lab, 'b', settings)])
  }

  get pid(): number {
    return this.process.pid ?? 0
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null
  }

  status(): Promise<GatewayStatus> {
    return fetchStatus(controlSocket(this.lab, this.side))
  }

  /** Has the CHILD_SAs negotiated anew, as `swanctl --rekey --child migration` does. */
  async rekey(child = 'migration'): Promise<void> {
    await this.ask({ child })
  }

  /** Has the IKE SA negotiated anew, as `swanctl --rekey --ike NAME` does. */
  async rekeyIke(peer = `dom0-${other(this.side)}`): Promise<void> {
    await this.ask({ ike: peer })
  }

  /** Ends a child's SAs, as `swanctl --terminate --child NAME` does. */
  async terminate(child: string): Promise<void> {
    await this.ask({ child }, 'terminate')
  }

  /** Ends everything with a peer, as `swanctl --terminate --ike NAME` does. */
  async terminateIke(peer: string): Promise<void> {
    await this.ask({ ike: peer }, 'terminate')
  }

  private async ask(what: Readonly<Record<string, string>>, command = 'rekey'): Promise<void> {
    const client = await ControlClient.connect(controlSocket(this.lab, this.side))
    try {
      await client.request(command, what)
    } finally {
      client.close()
    }
  }

  /** The only child of the only peer. */
  async child(): Promise<ChildView> {
    const child = (await this.status()).peers[0]?.children[0]
    if (!child) throw new Error('no child')
    return child
  }

  /** Runs `sallyport COMMAND` against this daemon, as a user would. */
  cli(command: string, ...args: string[]): { status: number; output: string } {
    const argv = ['netns', 'exec', this.lab.namespace(this.side), process.execPath, SALLYPORT, command]
    const r = spawnSync('ip', [...argv, '--socket', controlSocket(this.lab, this.side), ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    return { status: r.status ?? -1, output: `${r.stdout}${r.stderr}` }
  }

  /** Waits until `holds` says so of the status. @throws Error with the status and the log when it never does */
  async until(
    what: string,
    holds: (status: GatewayStatus) => boolean,
    timeoutMs = 15_000,
  ): Promise<GatewayStatus> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const status = await this.status()
      if (holds(status)) return status
      if (performance.now() > deadline)
        throw new Error(
          `dom0-${this.side}: not ${what} within ${timeoutMs} ms\n${JSON.stringify(status)}\n${this.log()}`,
        )
      await sleep(50)
    }
  }

  /** Waits until the log has `text`. @throws Error with the log when it never has */
  async untilLogged(text: string, timeoutMs = 5_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!this.log().includes(text)) {
      if (performance.now() > deadline)
        throw new Error(`dom0-${this.side} did not log "${text}" within ${timeoutMs} ms\n${this.log()}`)
      await sleep(50)
    }
  }

  /** Resident memory, octets. */
  rss(): number {
    const pages = readFileSync(`/proc/${this.pid}/statm`, 'latin1').split(' ')[1]
    return Number(pages) * 4096
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8').slice(-20_000)
  }

  kill9(): void {
    this.process.kill('SIGKILL')
  }

  /** Ends the daemon cleanly; returns its exit status. */
  async stop(): Promise<number | null> {
    if (!this.ended) {
      const ended = new Promise((resolve) => this.process.once('exit', resolve))
      this.process.kill('SIGTERM')
      await Promise.race([ended, sleep(10_000)])
      if (!this.ended) this.kill9()
    }
    rmSync(controlSocket(this.lab, this.side), { force: true })
    return this.process.exitCode
  }
}
