import type { Lab } from '../../test/lab/lab.js'
import { compiled } from '../../test/lab/root.js'
import { Lines } from '../../test/lab/transfer.js'
import type { Connection } from '../contenders/contender.js'

const PORT = '7010'

export interface FloodOptions {
  /** Of a datagram's payload. */
  readonly octets: number
  readonly seconds: number
  /** Datagrams a second; as fast as the kernel takes them when neither this nor a window is given. */
  readonly rate?: number
  /** Most datagrams on their way. */
  readonly window?: number
  readonly flows?: number
}

export interface FloodReport {
  readonly sent: number
  /** Different ones. */
  readonly received: number
  readonly duplicates: number
  /** Came after a later one of their flow. */
  readonly reordered: number
  /** From the first one's arrival to the last one's. */
  readonly seconds: number
}

/** Sends numbered datagrams from host a to host b and counts them there. */
export async function flood(lab: Lab, way: Connection, o: FloodOptions): Promise<FloodReport> {
  const deadline = AbortSignal.timeout(o.seconds * 1000 + 30_000)
  const stdio = ['ignore', 'pipe', 'pipe'] as const
  const listen = ['--listen', way.to, '--port', PORT, ...(o.window === undefined ? [] : ['--acknowledge'])]
  const sink = lab.spawn('b', process.execPath, [compiled('bench/programs/udp-sink'), ...listen], {
    stdio: [...stdio],
  })
  const sunk = new Lines(sink, 'udp-sink', deadline)
  try {
    await sunk.next()
    const args = [
      ...['--from', way.from, '--to', way.to, '--port', PORT, '--octets', String(o.octets)],
      ...['--seconds', String(o.seconds), '--flows', String(o.flows ?? 1)],
      ...['--rate', String(o.rate ?? 0), '--window', String(o.window ?? 0)],
    ]
    const sender = lab.spawn('a', process.execPath, [compiled('bench/programs/udp-flood'), ...args], {
      stdio: [...stdio],
    })
    try {
      const { sent } = JSON.parse(await new Lines(sender, 'udp-flood', deadline).next()) as { sent: number }
      return { ...(JSON.parse(await sunk.next()) as FloodReport), sent }
    } finally {
      sender.kill('SIGKILL')
    }
  } finally {
    sink.kill('SIGKILL')
  }
}
