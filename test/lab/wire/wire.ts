import { type ChildProcess, spawn } from 'node:child_process'
import { compiled } from '../root.js'
import type { Kind } from './frame.js'
import type { Direction, Impairment } from './impairments.js'
import type { Answers, Reply, Request, WatchOptions, WireOptions, WireReport } from './messages.js'

const START_MS = 10_000

interface Waiter {
  resolve(value: unknown): void
  reject(error: Error): void
}

/** The wire between the hosts, seen from the lab: what passed, and what shall happen to what passes. */
export class Wire {
  private readonly child: ChildProcess
  private readonly waiters = new Map<number, Waiter>()
  private next = 1
  private ended: Error | undefined

  private constructor(child: ChildProcess) {
    this.child = child
    child.on('message', (reply: Reply) => {
      const waiter = this.waiters.get(reply.id)
      this.waiters.delete(reply.id)
      if ('error' in reply) waiter?.reject(new Error(`wire: ${reply.error}`))
      else waiter?.resolve(reply.value)
    })
    child.on('exit', (status, signal) => this.end(new Error(`the wire's process ended: ${signal ?? status}`)))
    child.on('error', (error) => this.end(error))
  }

  static async start(namespace: string, options: WireOptions): Promise<Wire> {
    const argv = ['netns', 'exec', namespace, process.execPath, compiled('test/lab/wire/wire-process')]
    const wire = new Wire(
      spawn('ip', [...argv, JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
    )
    await wire.wait(0, START_MS)
    return wire
  }

  /** Forgets what has passed and begins anew. */
  watch(options: WatchOptions = {}): Promise<null> {
    return this.ask({ op: 'watch', options })
  }

  report(): Promise<WireReport> {
    return this.ask({ op: 'report' })
  }

  /** Replaces all impairments; none takes everything through. */
  impair(impairments: readonly Impairment[] = [], seed = 1): Promise<null> {
    return this.ask({ op: 'impair', impairments, seed })
  }

  /** The first frames of a kind since `watch`, as many as it was told to keep. */
  async frames(kind: Kind, direction: Direction): Promise<Buffer[]> {
    const frames = await this.ask({ op: 'frames', kind, direction })
    return frames.map((text) => Buffer.from(text, 'base64'))
  }

  /** Sends whole Ethernet frames to the host at the end of `direction`; returns how many its device took. */
  inject(direction: Direction, frames: readonly Uint8Array[]): Promise<number> {
    return this.ask({ op: 'inject', direction, frames: frames.map((f) => Buffer.from(f).toString('base64')) })
  }

  stop(): void {
    this.child.kill('SIGKILL')
  }

  private ask<R extends Request>(request: R): Promise<Answers[R['op']]> {
    const id = this.next++
    this.child.send({ id, request })
    return this.wait(id, 60_000) as Promise<Answers[R['op']]>
  }

  private wait(id: number, deadlineMs: number): Promise<unknown> {
    if (this.ended) return Promise.reject(this.ended)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiters.delete(id)
        reject(new Error('the wire does not answer'))
      }, deadlineMs)
      const done =
        <A extends unknown[]>(f: (...a: A) => void) =>
        (...a: A) => {
          clearTimeout(timer)
          f(...a)
        }
      this.waiters.set(id, { resolve: done(resolve), reject: done(reject) })
    })
  }

  private end(error: Error): void {
    this.ended = error
    for (const waiter of this.waiters.values()) waiter.reject(error)
    this.waiters.clear()
  }
}
