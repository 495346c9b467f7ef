import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { EngineReport } from '../crypto/select.js'
import type { EngineName } from '../crypto/types.js'
import { InternalError } from '../errors.js'
import { Wakeup } from '../net/wakeup.js'
import { Counters } from './counters.js'
import { type FromLane, type LaneOptions, MAIL, type SocketSpec, type ToLane } from './messages.js'

/** How long a lane has to say that it is ready, or that it has stopped. */
const LANE_DEADLINE_MS = 10_000

export interface LaneThreadOptions {
  readonly lane: number
  readonly tun: LaneOptions['tun']
  readonly sockets: readonly SocketSpec[]
  readonly inboxFd: number
  readonly outboxFds: readonly number[]
  readonly engine: EngineName | 'auto'
  /** What the lane says, once it is ready. */
  said(message: Exclude<FromLane, { op: 'ready' | 'stopped' }>): void
  /** It has ended by itself. */
  fault(error: Error): void
}

/** The main thread's end of one lane: its worker thread, the way to it, and its counters. */
export class LaneThread {
  readonly counters = new Counters()
  engines: readonly EngineReport[] = []
  private readonly options: LaneThreadOptions
  private readonly worker: Worker
  private readonly port: MessagePort
  private readonly wakeup: Wakeup
  private readonly mail: Int32Array
  private stopping: (() => void) | undefined
  private stopped = false
  /** The worker thread is gone: nobody answers any more. */
  private ended = false

  /** @throws SystemError without a descriptor left */
  constructor(options: LaneThreadOptions) {
    this.options = options
    this.wakeup = Wakeup.open()
    const mail = new SharedArrayBuffer(4)
    this.mail = new Int32Array(mail)
    const { port1, port2 } = new MessageChannel()
    this.port = port1
    const { lane, tun, sockets, inboxFd, outboxFds, engine } = options
    const laneOptions: LaneOptions = {
      lane,
      tun,
      sockets,
      inboxFd,
      outboxFds,
      wakeFd: this.wakeup.fd,
      engine,
      counters: this.counters.buffer,
      mail,
    }
    this.worker = new Worker(new URL('./lane-worker.js', import.meta.url), {
      name: `sallyport lane ${lane}`,
      workerData: { options: laneOptions, port: port2 },
      transferList: [port2],
    })
  }

  /** @throws CryptoError when no engine passes its self-test, InternalError when it does not start in time */
  ready(): Promise<void> {
    const name = `lane ${this.options.lane}`
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new InternalError(`${name} did not start`)), LANE_DEADLINE_MS)
      let started = false
      this.worker.on('error', (error: unknown) => {
        clearTimeout(deadline)
        const fault = error instanceof Error ? error : new InternalError(String(error))
        if (started) this.options.fault(fault)
        else reject(fault)
      })
      this.worker.on('exit', (status) => {
        this.ended = true
        this.stopping?.()
        if (started && !this.stopped)
          this.options.fault(new InternalError(`${name} ended by itself with status ${status}`))
      })
      this.port.on('message', (message: FromLane) => {
        if (message.op === 'ready') {
          clearTimeout(deadline)
          started = true
          this.engines = message.engines
          resolve()
        } else if (message.op === 'stopped') this.stopping?.()
        else this.options.said(message)
      })
    })
  }

  post(message: ToLane): void {
    if (this.stopped) return
    this.port.postMessage(message)
    Atomics.store(this.mail, MAIL, 1)
    this.wakeup.wake()
  }

  /** Ends the thread; its descriptors are the caller's to close afterwards. Safe to call again. */
  async stop(): Promise<void> {
    this.post({ op: 'stop' })
    this.stopped = true
    await new Promise<void>((resolve) => {
      if (this.ended) return resolve()
      const deadline = setTimeout(resolve, LANE_DEADLINE_MS)
      this.stopping = () => {
        clearTimeout(deadline)
        resolve()
      }
    })
    await this.worker.terminate()
    this.port.close()
    this.wakeup.close()
  }
}
