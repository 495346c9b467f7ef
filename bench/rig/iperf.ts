import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../../test/lab/lab.js'
import type { Connection } from '../contenders/contender.js'

export interface StreamReport {
  readonly gbits: number
  /** Octets that arrived. */
  readonly octets: number
  /** Segments that were sent again. */
  readonly retransmits: number
}

interface IperfReport {
  readonly error?: string
  readonly end: {
    readonly sum_received: { readonly bits_per_second: number; readonly bytes: number }
    readonly sum_sent: { readonly retransmits?: number }
  }
}

/** TCP streams from host a to host b with iperf3, for some whole or broken seconds. @throws Error with what iperf3 said */
export async function tcpStreams(
  lab: Lab,
  way: Connection,
  streams: number,
  seconds: number,
): Promise<StreamReport> {
  const server = lab.spawn('b', 'iperf3', ['-s', '-1', '-B', way.to], { stdio: 'ignore' })
  try {
    await sleep(400)
    const args = ['iperf3', '-B', way.from, '-c', way.to, '-P', String(streams), '-J']
    // iperf3 counts in whole seconds.
    args.push('-t', String(Math.max(1, Math.round(seconds))))
    const client = spawn('ip', ['netns', 'exec', lab.namespace('a'), ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: (seconds + 30) * 1000,
    })
    const report = JSON.parse(await outputOf(client)) as IperfReport
    if (report.error !== undefined) throw new Error(`iperf3: ${report.error}`)
    const { sum_received: received, sum_sent: sent } = report.end
    return {
      gbits: received.bits_per_second / 1e9,
      octets: received.bytes,
      retransmits: sent.retransmits ?? 0,
    }
  } finally {
    server.kill('SIGKILL')
  }
}

/** What a program prints until it ends. */
export function outputOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    child.on('error', reject)
    child.on('close', (status, signal) =>
      text === '' ? reject(new Error(`${child.spawnargs.at(4)} ended: ${signal ?? status}`)) : resolve(text),
    )
  })
}
