import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { ControlError, SallyportError, SystemError } from '../../errors.js'
import { probeSocket } from './probe.js'
import type { ViciMessage } from './vici-message.js'
import { emitPacket, PACKET, PacketSplitter, parsePacket, type ViciPacket } from './vici-packet.js'

/** Clients at once. */
export const CLIENTS_MAX = 32
/** Requests that a client may send ahead of the answers. */
const QUEUED_MAX = 16
/** Octets that wait for a client that does not read; beyond it the client is dropped. */
const UNSENT_MAX = 8 * 1024 * 1024
/** A client that sends half a packet and no more, or does not read what it asked for, is dropped after this. */
const STALL_MS = 30_000

/**
 * Sends an event to the client that runs the command, if it has registered for it; for streamed answers. Resolves when
 * the client can take more. @throws ControlError when it is gone
 */
export type Emit = (event: string, message: ViciMessage) => Promise<void>
/** Answers a command. A SallyportError that it throws becomes `success: no` with its message. */
export type Command = (request: ViciMessage, emit: Emit) => ViciMessage | Promise<ViciMessage>

export interface ControlServerOptions {
  readonly path: string
  readonly commands: Readonly<Record<string, Command>>
  /** Events that clients may register for. */
  readonly events: readonly string[]
  readonly stallMs?: number
  log(level: 'debug' | 'warn', message: string, fields?: Record<string, unknown>): void
}

interface Client {
  readonly socket: Socket
  readonly splitter: PacketSplitter
  readonly events: Set<string>
  readonly queue: ViciPacket[]
  busy: boolean
  halfPacket: NodeJS.Timeout | undefined
}

/**
 * The control socket: vici on a unix stream socket that only its owner can open. What a client sends wrong costs it its
 * connection and nothing else.
 */
export class ControlServer {
  private readonly options: ControlServerOptions
  private readonly server: Server
  private readonly clients = new Set<Client>()
  private readonly known: ReadonlySet<string>
  private inode: number | undefined

  private constructor(options: ControlServerOptions) {
    this.options = options
    this.known = new Set(options.events)
    this.server = createServer((socket) => this.accept(socket))
  }

  /**
   * Opens the socket with mode 0600. A socket file that nobody listens on is taken away first.
   * @throws ControlError when another daemon answers on the path, SystemError when the socket cannot be made
   */
  static async open(options: ControlServerOptions): Promise<ControlServer> {
    await clearStale(options.path)
    const server = new ControlServer(options)
    await server.listen()
    return server
  }

  private listen(): Promise<void> {
    const { path } = this.options
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) =>
        reject(
          new SystemError(
            'bind',
            Math.abs(error.errno ?? 0),
            `control socket ${path}: ${reasonOf(path, error)}`,
            { cause: error },
          ),
        )
      // Nobody may connect between bind and chmod: the file is made with these permissions from the start.
      const mask = process.umask(0o177)
      try {
        this.server.once('error', failed)
        this.server.listen(path, () => {
          this.server.off('error', failed)
          this.server.on('error', (error) =>
            this.options.log('warn', 'control socket error', { error: error.message }),
          )
          chmodSync(path, 0o600)
          this.inode = lstatSync(path).ino
          resolve()
        })
      } finally {
        process.umask(mask)
      }
    })
  }

  /** Sends an event to every client that has registered for it. */
  broadcast(event: string, message: ViciMessage): void {
    for (const client of this.clients)
      if (client.events.has(event)) this.send(client, emitPacket(PACKET.EVENT, event, message))
  }

  /** Answers what is under way, ends every connection and removes the socket file. */
  async close(): Promise<void> {
    // A file that another daemon has put in the place of ours is not ours to remove.
    const ours = inodeOf(this.options.path) === this.inode
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    for (const client of this.clients) {
      clearTimeout(client.halfPacket)
      client.socket.end()
      client.socket.unref()
      setTimeout(() => client.socket.destroy(), 200).unref()
    }
    await closed
    if (ours) removeIfThere(this.options.path)
  }

  private accept(socket: Socket): void {
    if (this.clients.size >= CLIENTS_MAX) {
      this.options.log('warn', 'control client refused: too many', { max: CLIENTS_MAX })
      socket.destroy()
      return
    }
    const client: Client = {
      socket,
      splitter: new PacketSplitter(),
      events: new Set(),
      queue: [],
      busy: false,
      halfPacket: undefined,
    }
    this.clients.add(client)
    socket.on('data', (chunk) => this.receive(client, chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      clearTimeout(client.halfPacket)
      this.clients.delete(client)
    })
  }

  private receive(client: Client, chunk: Uint8Array): void {
    clearTimeout(client.halfPacket)
    try {
      for (const octets of client.splitter.push(chunk)) client.queue.push(parsePacket(octets))
    } catch (error) {
      this.options.log('warn', 'control client dropped: malformed packet', {
        error: error instanceof Error ? error.message : String(error),
      })
      client.socket.destroy()
      return
    }
    if (client.splitter.waiting)
      client.halfPacket = setTimeout(() => client.socket.destroy(), this.options.stallMs ?? STALL_MS).unref()
    if (client.queue.length > QUEUED_MAX) client.socket.pause()
    this.work(client).catch((error: unknown) => {
      this.options.log('warn', 'control client dropped', { error: String(error) })
      client.socket.destroy()
    })
  }

  /** Works the client's queue off, one packet after another. */
  private async work(client: Client): Promise<void> {
    if (client.busy) return
    client.busy = true
    try {
      for (let packet = client.queue.shift(); packet; packet = client.queue.shift()) {
        await this.handle(client, packet)
        if (client.queue.length <= QUEUED_MAX) client.socket.resume()
      }
    } finally {
      client.busy = false
    }
  }

  private async handle(client: Client, packet: ViciPacket): Promise<void> {
    switch (packet.type) {
      case PACKET.CMD_REQUEST:
        return this.run(client, packet)
      case PACKET.EVENT_REGISTER:
        if (!this.known.has(packet.name)) return this.send(client, emitPacket(PACKET.EVENT_UNKNOWN, ''))
        client.events.add(packet.name)
        return this.send(client, emitPacket(PACKET.EVENT_CONFIRM, ''))
      case PACKET.EVENT_UNREGISTER:
        if (!client.events.delete(packet.name)) return this.send(client, emitPacket(PACKET.EVENT_UNKNOWN, ''))
        return this.send(client, emitPacket(PACKET.EVENT_CONFIRM, ''))
      default:
        this.options.log('warn', 'control client dropped: packet type of a server', { type: packet.type })
        client.socket.destroy()
    }
  }

  private async run(client: Client, packet: ViciPacket): Promise<void> {
    const command = Object.hasOwn(this.options.commands, packet.name)
      ? this.options.commands[packet.name]
      : undefined
    if (!command) return this.send(client, emitPacket(PACKET.CMD_UNKNOWN, ''))
    let answer: ViciMessage
    try {
      answer = await command(packet.message, (event, message) => this.emit(client, event, message))
    } catch (error) {
      const known = error instanceof SallyportError
      if (!known)
        this.options.log('warn', 'control command failed', { command: packet.name, error: String(error) })
      answer = { success: 'no', errmsg: known ? error.message.slice(0, 4096) : 'internal error; see the log' }
    }
    this.send(client, emitPacket(PACKET.CMD_RESPONSE, '', answer))
  }

  private async emit(client: Client, event: string, message: ViciMessage): Promise<void> {
    if (!client.events.has(event)) return
    this.send(client, emitPacket(PACKET.EVENT, event, message))
    const { socket } = client
    if (
      socket.writableNeedDrain &&
      !(await drained(socket, this.options.stallMs ?? STALL_MS)) &&
      !socket.destroyed
    ) {
      this.options.log('warn', 'control client dropped: it does not read')
      socket.destroy()
    }
    if (socket.destroyed) throw new ControlError('the control client is gone')
  }

  private send(client: Client, octets: Uint8Array): void {
    if (client.socket.destroyed) return
    client.socket.write(octets)
    if (client.socket.writableLength > UNSENT_MAX) {
      this.options.log('warn', 'control client dropped: it does not read')
      client.socket.destroy()
    }
  }
}

/** True when the socket can take more, false when it is closed or takes nothing for `timeoutMs`. */
function drained(socket: Socket, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (good: boolean): void => {
      clearTimeout(stalled)
      socket.off('drain', yes)
      socket.off('close', no)
      resolve(good)
    }
    const yes = (): void => end(true)
    const no = (): void => end(false)
    const stalled = setTimeout(no, timeoutMs)
    socket.on('drain', yes)
    socket.on('close', no)
  })
}

async function clearStale(path: string): Promise<void> {
  switch (await probeSocket(path)) {
    case 'absent':
      return
    case 'alive':
      throw new ControlError(
        `another daemon answers on the control socket ${path}; stop it with: sallyport down, or set host.control`,
      )
    case 'stale':
      removeIfThere(path)
      return
    case 'foreign':
      throw new ControlError(`${path} exists and is no socket; remove it or set host.control`)
  }
}

function reasonOf(path: string, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EACCES':
    case 'EPERM':
      // libuv says EACCES for a missing directory too.
      if (!existsSync(dirname(path))) return 'its directory does not exist; make it or set host.control'
      return 'not permitted; run as root or set host.control to a path of your own'
    default:
      return error.code ?? error.message
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function inodeOf(path: string): number | undefined {
  try {
    return lstatSync(path).ino
  } catch {
    return undefined
  }
}
