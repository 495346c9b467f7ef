import type { ChildProcess } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Lab } from '../../test/lab/lab.js'
import { compiled } from '../../test/lab/root.js'
import { type Figures, median } from '../figures.js'
import type { RigOptions } from '../rig/session.js'
import { growthOverLastHalf } from '../rig/soak.js'
import { IkeDaemon } from './daemon.js'
import { addAddresses } from './setup.js'
import { type IkeSubject, missing } from './subjects.js'

// Handshakes: one after another between two daemons, and many peers at once against one.

export interface IkeBenchOptions extends RigOptions {
  readonly handshakes: number
  readonly peers: number
}

/** Samples of memory in one run of handshakes. */
const SAMPLES = 40
/** How long SAs may take to go after the last Delete. */
const SETTLE_MS = 60_000
/** Times that all peers come and go: the first one fills caches and pools. */
const CYCLES = 3
const MILLI = 1_000

type Add = (metric: string, unit: string, value: number, better?: 'higher' | 'lower') => void

export async function benchIke(
  subjects: readonly IkeSubject[],
  figures: Figures,
  o: IkeBenchOptions,
): Promise<void> {
  for (let round = 0; round < o.rounds; round++)
    for (const subject of round % 2 === 0 ? subjects : [...subjects].reverse()) {
      const absent = (why: string, failed = false): void => {
        figures.absent({ subject: subject.name, section: 'ike', why, failed })
        o.told(`  ${subject.name}: ${why.split('\n')[0]}`)
      }
      const why = missing(subject)
      if (why !== undefined) {
        absent(why)
        continue
      }
      o.told(`ike, round ${round + 1} of ${o.rounds}: ${subject.name}`)
      const add: Add = (metric, unit, value, better = 'lower') => {
        figures.add({ section: 'ike', subject: subject.name, metric, unit, better }, value)
        o.told(`  ${metric}: ${value.toPrecision(4)} ${unit}`)
      }
      for (const part of [oneAfterAnother, allAtOnce]) {
        const lab = await Lab.create({ wire: 'cable', mtu: o.mtu })
        try {
          await part(lab, subject, o, add)
        } catch (error) {
          absent((error as Error).message, true)
        } finally {
          lab.close()
        }
      }
    }
}

/** Octets in use; undefined where nobody can tell. */
type Live = number | undefined

const liveOf = (daemons: readonly IkeDaemon[]): Promise<Live[]> =>
  Promise.all(daemons.map((d) => d.liveOctets()))

/** How much more is in use after so many handshakes, for each of them: of the daemon that has grown more. */
function addGrowth(add: Add, what: string, before: readonly Live[], after: readonly Live[], n: number): void {
  const grown = after.flatMap((octets, k) => {
    const was = before[k]
    return octets === undefined || was === undefined ? [] : [octets - was]
  })
  if (grown.length > 0) add(`${what}, growth a handshake`, 'octets', Math.max(...grown) / n)
}

/** What processors and memory two daemons need for one handshake after another, each followed by its Delete. */
async function oneAfterAnother(lab: Lab, subject: IkeSubject, o: IkeBenchOptions, add: Add): Promise<void> {
  const n = o.handshakes
  addAddresses(lab, 1)
  const responder = await IkeDaemon.start(lab, 'b', subject, 1)
  const initiator = await IkeDaemon.start(lab, 'a', subject, 1)
  const both = [initiator, responder]
  const handshake = async (): Promise<number> => {
    const began = performance.now()
    await initiator.initiate(1)
    const up = performance.now() - began
    await initiator.terminate(1)
    return up
  }
  try {
    for (let i = 0; i < Math.ceil(n / 10); i++) await handshake()
    const descriptors = both.map((d) => d.descriptors())
    const half: Live[] = []
    const cpu = both.map((d) => d.cpuSeconds())
    let began = performance.now()
    /** What is done to look, and not by the handshakes. */
    const uncounted = async (look: () => Promise<unknown>): Promise<void> => {
      const [at, used] = [performance.now(), both.map((d) => d.cpuSeconds())]
      await look()
      began += performance.now() - at
      for (const [k, d] of both.entries()) cpu[k]! += d.cpuSeconds() - used[k]!
    }
    const times: number[] = []
    const memory: number[][] = [[], []]
    for (let i = 0; i < n; i++) {
      if (i === n >> 1) await uncounted(async () => half.push(...(await liveOf(both))))
      times.push(await handshake())
      if (i % Math.ceil(n / SAMPLES) === 0)
        for (const [k, d] of both.entries()) memory[k]!.push(d.residentMiB())
    }
    const seconds = (performance.now() - began) / 1000
    const used = both.map((d, k) => d.cpuSeconds() - cpu[k]!)
    const title = 'one after another'
    add(`${title}: all ${n} with their Deletes`, 's', seconds)
    add(`${title}: until the SA is up`, 'ms', median(times))
    add(`${title}: CPU of the initiator`, 'ms each', (used[0]! / n) * MILLI)
    add(`${title}: CPU of the responder`, 'ms each', (used[1]! / n) * MILLI)
    add(`${title}: RSS of the responder`, 'MiB', Math.max(...memory[1]!))
    add(
      `${title}: RSS growth over the last half, the larger`,
      'MiB',
      Math.max(...memory.map(growthOverLastHalf)),
    )
    addGrowth(add, `${title}: live heap`, half, await liveOf(both), n - (n >> 1))
    const left = await Promise.all(both.map((d) => d.emptied(SETTLE_MS)))
    add(`${title}: SAs left`, 'SAs', Math.max(...left))
    const opened = both.map((d, k) => d.descriptors() - descriptors[k]!)
    add(`${title}: descriptors more`, 'fds', Math.max(...opened))
  } finally {
    for (const d of both) d.close()
  }
}

/** Many hosts begin at the same moment, again and again; all of them are one process, which is the same for every daemon. */
async function allAtOnce(lab: Lab, subject: IkeSubject, o: IkeBenchOptions, add: Add): Promise<void> {
  const n = o.peers
  addAddresses(lab, n)
  const hub = await IkeDaemon.start(lab, 'b', subject, n)
  const hosts = await Hosts.start(lab, subject, n)
  try {
    const title = `${n} peers at once`
    const before = hub.residentMiB()
    const seconds: number[] = []
    const cpu: number[] = []
    const full: number[] = []
    const empty: number[] = []
    const live: Live[] = []
    const descriptors: number[] = []
    let left = 0
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const used = hub.cpuSeconds()
      const { seconds: took, up } = await hosts.step('up')
      if (up < n) throw new Error(`${up} of ${n} peers came up`)
      seconds.push(took)
      cpu.push(hub.cpuSeconds() - used)
      full.push(hub.residentMiB())
      if (cycle === CYCLES - 1) {
        const idle = hub.cpuSeconds()
        await sleep(o.seconds * MILLI)
        add(
          `${title}: CPU while they are idle`,
          'ms a second',
          ((hub.cpuSeconds() - idle) / o.seconds) * MILLI,
        )
      }
      await hosts.step('down')
      left = Math.max(left, await hub.emptied(SETTLE_MS))
      empty.push(hub.residentMiB())
      live.push(await hub.liveOctets())
      descriptors.push(hub.descriptors())
    }
    add(`${title}: until all are up`, 's', median(seconds))
    add(`${title}: CPU of the hub`, 'ms each', (median(cpu) / n) * MILLI)
    add(`${title}: RSS of the hub before`, 'MiB', before)
    add(`${title}: RSS with all of them`, 'MiB', Math.max(...full))
    add(`${title}: RSS growth in the last cycle`, 'MiB', empty[CYCLES - 1]! - empty[CYCLES - 2]!)
    addGrowth(add, `${title}: live heap`, live.slice(-2, -1), live.slice(-1), n)
    add(`${title}: SAs left`, 'SAs', left)
    add(`${title}: descriptors more`, 'fds', descriptors.at(-1)! - descriptors[0]!)
  } finally {
    hosts.close()
    hub.close()
  }
}

interface Step {
  readonly seconds: number
  readonly up: number
}

/** The process that plays all hosts. */
class Hosts {
  private readonly process: ChildProcess
  private readonly lines: AsyncIterator<string>
  private readonly reader: Interface

  private constructor(child: ChildProcess) {
    this.process = child
    this.reader = createInterface(child.stdout!)
    this.lines = this.reader[Symbol.asyncIterator]()
  }

  static async start(lab: Lab, subject: IkeSubject, n: number): Promise<Hosts> {
    const options = [
      ...['--peers', String(n), '--version', String(subject.version)],
      ...['--dynamic-psk', subject.dynamicPsk, '--proposals', subject.proposals.join()],
    ]
    const argv = [compiled('bench/programs/ike-hosts'), ...options]
    const hosts = new Hosts(lab.spawn('a', process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] }))
    await hosts.line()
    return hosts
  }

  private async line(): Promise<string> {
    const { value, done } = await this.lines.next()
    if (done) throw new Error('the hosts have ended')
    return value
  }

  async step(command: 'up' | 'down'): Promise<Step> {
    this.process.stdin!.write(`${command}\n`)
    return JSON.parse(await this.line()) as Step
  }

  close(): void {
    this.reader.close()
    this.process.kill()
  }
}
