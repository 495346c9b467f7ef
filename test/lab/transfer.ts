import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Lab } from './lab.js'
import { compiled } from './root.js'

/** TCP port that the image goes to. */
export const TRANSFER_PORT = 8002
const PAGE_DIGEST = 20

export interface TransferOptions {
  readonly from: string
  readonly to: string
  readonly octets: number
  readonly secretTag?: string
  readonly secrets?: number
  readonly deadlineMs?: number
}

export interface Transfer {
  readonly octets: number
  readonly sha256Sent: string
  readonly sha256Received: string
  /** Pages of 4 KiB that arrived other than they were sent. */
  readonly changedPages: number
  /** From the first octet's arrival to the last one's. */
  readonly seconds: number
  /** When the sender asked for its connection, milliseconds since 1970, and how long it took. */
  readonly startedMs: number
  readonly connectMs: number
}

/** Moves a memory image from dom0-a to dom0-b with a plain TCP program. @throws Error when it does not arrive in time */
export async function transferImage(lab: Lab, options: TransferOptions): Promise<Transfer> {
  const deadline = AbortSignal.timeout(options.deadlineMs ?? 120_000)
  const [sentPages, receivedPages] = [lab.path('pages.sent'), lab.path('pages.received')]
  const receiver = lab.spawn(
    'b',
    process.execPath,
    [
      compiled('test/lab/programs/receive-image'),
      ...['--listen', options.to, '--port', String(TRANSFER_PORT)],
      ...['--size', String(options.octets), '--pages', receivedPages],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let sender: ChildProcess | undefined
  try {
    const received = new Lines(receiver, 'receiver', deadline)
    if ((await received.next()) !== 'listening') throw new Error('the receiver does not listen')
    sender = lab.spawn(
      'a',
      process.execPath,
      [
        compiled('test/lab/programs/send-image'),
        ...['--from', options.from, '--to', options.to, '--port', String(TRANSFER_PORT)],
        ...[
          '--size',
          String(options.octets),
          '--seed',
          randomBytes(32).toString('hex'),
          '--pages',
          sentPages,
        ],
        ...['--tag', options.secretTag ?? '', '--secrets', String(options.secrets ?? 0)],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const sent = new Lines(sender, 'sender', deadline)
    const there = JSON.parse(await received.next()) as { octets: number; seconds: number; sha256: string }
    const here = JSON.parse(await sent.next()) as { sha256: string; startedMs: number; connectMs: number }
    return {
      octets: there.octets,
      sha256Sent: here.sha256,
      sha256Received: there.sha256,
      changedPages: differences(readFileSync(sentPages), readFileSync(receivedPages)),
      seconds: there.seconds,
      startedMs: here.startedMs,
      connectMs: here.connectMs,
    }
  } finally {
    receiver.kill('SIGKILL')
    sender?.kill('SIGKILL')
  }
}

function differences(a: Buffer, b: Buffer): number {
  let n = 0
  for (let at = 0; at < a.length; at += PAGE_DIGEST)
    if (a.compare(b, at, at + PAGE_DIGEST, at, at + PAGE_DIGEST) !== 0) n++
  return n
}

/** What a program prints, line by line. */
export class Lines {
  private readonly name: string
  private readonly lines: string[] = []
  private waiter: { resolve(line: string): void; reject(error: Error): void } | undefined
  private ended: Error | undefined
  private rest = ''
  private errors = ''

  constructor(child: ChildProcess, name: string, deadline: AbortSignal) {
    this.name = name
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.push(text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errors = (this.errors + text).slice(-2000)
    })
    child.on('close', (status, signal) => this.end(`ended: ${signal ?? status}`))
    child.on('error', (error) => this.end(error.message))
    deadline.addEventListener('abort', () => this.end('too late'))
  }

  next(): Promise<string> {
    const line = this.lines.shift()
    if (line !== undefined) return Promise.resolve(line)
    if (this.ended) return Promise.reject(this.ended)
    return new Promise((resolve, reject) => {
      this.waiter = { resolve, reject }
    })
  }

  private push(text: string): void {
    const parts = (this.rest + text).split('\n')
    this.rest = parts.pop() ?? ''
    for (const line of parts) {
      if (this.waiter) this.waiter.resolve(line)
      else this.lines.push(line)
      this.waiter = undefined
    }
  }

  private end(why: string): void {
    this.ended ??= new Error(`${this.name}: ${why}. ${this.errors.trim()}`.trim())
    this.waiter?.reject(this.ended)
    this.waiter = undefined
  }
}
