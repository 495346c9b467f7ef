import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { ControlClient } from '../../src/daemon/control/client.js'
import { controlSocket, Gateway } from '../../test/lab/gateway.js'
import type { Lab, Side } from '../../test/lab/lab.js'
import { cpuSeconds, residentMiB } from '../rig/usage.js'
import { charonFiles, childName, connectionName, sallyportConfig } from './setup.js'
import type { IkeSubject } from './subjects.js'

/** Milliseconds that a handshake or a Delete may take, and the daemon to start. */
const STEP_MS = 30_000
const START_MS = 30_000

/** A running daemon of either kind. Both speak vici, so that both are asked for the same in the same words. */
export class IkeDaemon {
  private readonly control: ControlClient
  private readonly pid: number

  private constructor(control: ControlClient, pid: number) {
    this.control = control
    this.pid = pid
  }

  /** @param peers how many the configuration has @throws Error when it does not come up */
  static async start(lab: Lab, side: Side, subject: IkeSubject, peers: number): Promise<IkeDaemon> {
    const pid =
      subject.daemon === 'sallyport'
        ? (await Gateway.start(lab, side, sallyportConfig(lab, side, subject, peers))).pid
        : await startCharon(lab, side, subject, peers)
    return new IkeDaemon(await ControlClient.connect(controlSocket(lab, side)), pid)
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

  /** IKE SAs of any state. */
  async ikeSas(): Promise<number> {
    const { ikesas } = await this.control.request('stats')
    return Number((ikesas as Readonly<Record<string, string>>).total)
  }

  /** Waits until it has so many IKE SAs. @returns how many it has when that is so, or never becomes so */
  async settled(wanted: number, timeoutMs: number): Promise<number> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const n = await this.ikeSas()
      if (n === wanted || performance.now() > deadline) return n
      await sleep(100)
    }
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
