import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { statusOf } from '../../src/cli/commands/status.js'
import { ControlClient } from '../../src/daemon/control/client.js'
import type { ViciMessage } from '../../src/daemon/control/vici-message.js'
import { controlSocket, Gateway } from '../../test/lab/gateway.js'
import type { Lab, Side } from '../../test/lab/lab.js'
import { compiled } from '../../test/lab/root.js'
import { cpuSeconds, openDescriptors, residentMiB } from '../rig/usage.js'
import { charonFiles, childName, connectionName, sallyportConfig } from './setup.js'
import type { IkeSubject } from './subjects.js'

/** Milliseconds that a handshake or a Delete may take, and the daemon to start. */
const STEP_MS = 30_000
const START_MS = 30_000

/** A running daemon of either kind. Both speak vici, so that both are asked for the same in the same words. */
export class IkeDaemon {
  private readonly control: ControlClient
  private readonly pid: number
  /** Where the daemon writes how much memory is in use; undefined for one that cannot tell. */
  private readonly memoryFile: string | undefined

  private constructor(control: ControlClient, pid: number, memoryFile: string | undefined) {
    this.control = control
    this.pid = pid
    this.memoryFile = memoryFile
  }

  /** @param peers how many the configuration has @throws Error when it does not come up */
  static async start(lab: Lab, side: Side, subject: IkeSubject, peers: number): Promise<IkeDaemon> {
    const memory = lab.path(`${side}.memory`)
    const around = ['--expose-gc', compiled('test/lab/programs/observed'), memory]
    const ours = subject.daemon === 'sallyport'
    const pid = ours
      ? (await Gateway.start(lab, side, sallyportConfig(lab, side, subject, peers), around)).pid
      : await startCharon(lab, side, subject, peers)
    const control = await ControlClient.connect(controlSocket(lab, side))
    return new IkeDaemon(control, pid, ours ? memory : undefined)
  }

  /** Resolves when the child of the connection is up. */
  async initiate(i: number): Promise<void> {
    await this.control.request(
      'initiate',
      { ike: connectionName(i), child: childName(i), timeout: String(STEP_MS) },
      STEP_MS + 5_000,
    )
  }

  async terminate(i: number): Promise<void> {
    await this.control.request(
      'terminate',
      { ike: connectionName(i), timeout: String(STEP_MS) },
      STEP_MS + 5_000,
    )
  }

  /** IKE SAs of any state, CHILD_SAs (a pair each), and with sallyport the SAs of the data path. */
  async sas(): Promise<number> {
    if (this.memoryFile === undefined) {
      const { ikesas } = await this.control.request('stats')
      const listed = await this.control.stream('list-sas', 'list-sa')
      const children = listed.flatMap((m) =>
        Object.values(m).flatMap((sa) => Object.keys((sa as ViciMessage)['child-sas'] ?? {})),
      )
      return Number((ikesas as ViciMessage).total) + children.length
    }
    const { peers } = await statusOf(this.control)
    return peers.reduce((sum, { ike, children }) => {
      const inLanes = children.reduce((n, child) => n + child.sas.length, 0)
      return sum + (ike?.sas.length ?? 0) + (ike?.children.length ?? 0) + inLanes
    }, 0)
  }

  /** Waits until nothing is left. @returns how many SAs it has when that is so, or never becomes so */
  async emptied(timeoutMs: number): Promise<number> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const n = await this.sas()
      if (n === 0 || performance.now() > deadline) return n
      await sleep(100)
    }
  }

  /** Octets in use on the main thread's heap and outside of it, after a full collection; undefined where nobody can tell. */
  async liveOctets(): Promise<number | undefined> {
    const file = this.memoryFile
    if (file === undefined) return undefined
    rmSync(file, { force: true })
    process.kill(this.pid, 'SIGUSR2')
    const deadline = performance.now() + STEP_MS
    while (!existsSync(file)) {
      if (performance.now() > deadline) throw new Error('the daemon does not tell of its memory')
      await sleep(20)
    }
    return Number(readFileSync(file, 'utf8'))
  }

  descriptors(): number {
    return openDescriptors(this.pid)
  }

  cpuSeconds(): number {
    return cpuSeconds([this.pid])
  }

  residentMiB(): number {
    return residentMiB([this.pid])
  }

  close(): void {
    this.control.close()
  }
}

async function startCharon(lab: Lab, side: Side, subject: IkeSubject, peers: number): Promise<number> {
  const { command, env, connections } = charonFiles(lab, side, subject, peers)
  const child = lab.spawn(side, 'bash', ['-c', command], { stdio: 'ignore', env: { ...process.env, ...env } })
  const swanctl = ['--load-all', '--uri', `unix://${controlSocket(lab, side)}`, '--file', connections]
  const deadline = performance.now() + START_MS
  for (;;) {
    const { status, stderr } = spawnSync('swanctl', swanctl, {
      encoding: 'utf8',
      timeout: START_MS,
      env: { ...process.env, ...env },
    })
    if (status === 0) return child.pid ?? 0
    if (performance.now() > deadline) throw new Error(`charon did not start: ${stderr}`)
    await sleep(100)
  }
}
