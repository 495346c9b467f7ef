import { connect, type Socket } from 'node:net'
import { ControlError, WireError } from '../../errors.js'
import { textOf, type ViciMessage } from './vici-message.js'
import { emitPacket, PACKET, PacketSplitter, parsePacket, type ViciPacket } from './vici-packet.js'

/** How long an answer may take where the caller says nothing else. */
const ANSWER_MS = 10_000

interface Waiter {
  readonly resolve: (packet: ViciPacket) => void
  readonly reject: (error: ControlError) => void
  readonly deadline: NodeJS.Timeout
}

/** The other end of the control socket, for the command line. One request at a time. */
export class ControlClient {
  private readonly socket: Socket
  private readonly splitter = new PacketSplitter()
  private waiter: Waiter | undefined
  private listener: ((message: ViciMessage) => void) | undefined
  private ended: ControlError | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => this.receive(chunk))
    socket.on('error', (error) => this.end(new ControlError(`control socket: ${error.message}`)))
    socket.on('close', () => this.end(new ControlError('the daemon closed the control connection')))
  }

  /** @throws ControlError when no daemon answers, or the caller may not ask it */
  static connect(path: string): Promise<ControlClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path)
      socket.once('connect', () => {
        socket.off('error', failed)
        resolve(new ControlClient(socket))
      })
      const failed = (error: NodeJS.ErrnoException): void => {
        const denied = error.code === 'EACCES' || error.code === 'EPERM'
        const none = error.code === 'ENOENT' || error.code === 'ECONNREFUSED'
        const why = denied
          ? 'not permitted; run as root'
          : none
            ? 'no daemon answers there; start one with: sallyport up -c FILE, or name its socket with --socket'
            : (error.code ?? error.message)
        reject(new ControlError(`control socket ${path}: ${why}`))
      }
      socket.once('error', failed)
    })
  }

  /** Runs a command and gives its answer. @throws ControlError when the daemon refuses it or does not answer in time */
  async request(command: string, message: ViciMessage = {}, timeoutMs = ANSWER_MS): Promise<ViciMessage> {
    const answer = await this.exchange(emitPacket(PACKET.CMD_REQUEST, command, message), timeoutMs)
    if (answer.type === PACKET.CMD_UNKNOWN)
      throw new ControlError(`the daemon does not know the command ${command}`)
    if (answer.type !== PACKET.CMD_RESPONSE)
      throw new ControlError(`the daemon answered with packet type ${answer.type}`)
    if (textOf(answer.message, 'success') === 'no')
      throw new ControlError(textOf(answer.message, 'errmsg') ?? `the daemon refused ${command}`)
    return answer.message
  }

  /** Runs a command whose answer comes as events. */
  async stream(command: string, event: string, message: ViciMessage = {}): Promise<ViciMessage[]> {
    const events: ViciMessage[] = []
    this.listener = (m) => events.push(m)
    try {
      const confirm = await this.exchange(emitPacket(PACKET.EVENT_REGISTER, event), ANSWER_MS)
      if (confirm.type !== PACKET.EVENT_CONFIRM)
        throw new ControlError(`the daemon does not know the event ${event}`)
      await this.request(command, message)
      await this.exchange(emitPacket(PACKET.EVENT_UNREGISTER, event), ANSWER_MS)
    } finally {
      this.listener = undefined
    }
    return events
  }

  /** Resolves when the daemon has closed the connection. @throws ControlError after `timeoutMs` */
  closed(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.ended) return resolve()
      const deadline = setTimeout(
        () => reject(new ControlError(`the daemon has not stopped within ${timeoutMs / 1000} s`)),
        timeoutMs,
      )
      this.socket.once('close', () => {
        clearTimeout(deadline)
        resolve()
      })
    })
  }

  close(): void {
    this.socket.destroy()
  }

  private exchange(packet: Uint8Array, timeoutMs: number): Promise<ViciPacket> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(this.ended)
      const deadline = setTimeout(() => {
        this.waiter = undefined
        reject(new ControlError(`the daemon did not answer within ${timeoutMs / 1000} s`))
      }, timeoutMs)
      this.waiter = { resolve, reject, deadline }
      this.socket.write(packet)
    })
  }

  private receive(chunk: Uint8Array): void {
    try {
      for (const octets of this.splitter.push(chunk)) {
        const packet = parsePacket(octets)
        if (packet.type === PACKET.EVENT) this.listener?.(packet.message)
        else this.answer(packet)
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.end(new ControlError(`the daemon sent what is no vici: ${error.message}`))
      this.socket.destroy()
    }
  }

  private answer(packet: ViciPacket): void {
    const waiter = this.waiter
    if (!waiter) return
    this.waiter = undefined
    clearTimeout(waiter.deadline)
    waiter.resolve(packet)
  }

  private end(error: ControlError): void {
    this.ended ??= error
    const waiter = this.waiter
    if (!waiter) return
    this.waiter = undefined
    clearTimeout(waiter.deadline)
    waiter.reject(error)
  }
}
