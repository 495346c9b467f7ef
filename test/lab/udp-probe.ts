import type { Lab, Side } from './lab.js'
import { other } from './lab.js'
import { compiled } from './root.js'
import { Lines } from './transfer.js'

export interface ProbeOptions {
  /** The host that sends. Default a. */
  readonly side?: Side
  readonly from: string
  readonly to: string
  /** Datagrams a second. */
  readonly rate: number
  readonly seconds: number
  /** Octets, which take turns. Default 200. */
  readonly sizes?: readonly number[]
}

export interface ProbeResult {
  readonly sent: number
  readonly received: number
  readonly duplicates: number
  readonly reordered: number
  /** Of another length or content than sent. */
  readonly damaged: number
  /** Longest time in which nothing came. */
  readonly longestGapMs: number
}

/** Sends numbered datagrams from one host to the other and counts what comes. */
export async function udpProbe(lab: Lab, options: ProbeOptions): Promise<ProbeResult> {
  const side = options.side ?? 'a'
  const program = compiled('test/lab/programs/udp-probe')
  const deadline = AbortSignal.timeout(options.seconds * 1000 + 20_000)
  const receiver = lab.spawn(other(side), process.execPath, [program, '--receive', options.to], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines = new Lines(receiver, 'probe receiver', deadline)
  try {
    await lines.next()
    const sender = lab.spawn(
      side,
      process.execPath,
      [
        program,
        ...['--send', options.to, '--from', options.from, '--rate', String(options.rate)],
        ...['--seconds', String(options.seconds), '--sizes', (options.sizes ?? [200]).join(',')],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const sent = JSON.parse(await new Lines(sender, 'probe sender', deadline).next()) as { sent: number }
    receiver.kill('SIGTERM')
    return { ...(JSON.parse(await lines.next()) as ProbeResult), sent: sent.sent }
  } finally {
    receiver.kill('SIGKILL')
  }
}
