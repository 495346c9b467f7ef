import { createSocket, type Socket } from 'node:dgram'
import type { Endpoint } from '../ike/environment.js'
import { openUdpSocket } from '../net/open-socket.js'
import { formatIp, type IpAddress, parseIp } from '../wire/ip-address.js'

export const IKE_PORT = 500
/** IKE messages are some KiB; a flood shall not sit in megabytes of kernel memory. */
const BUFFER = 512 * 1024
/** Sends that the kernel has not taken yet, over all sockets; beyond it messages are dropped, and IKE repeats them. */
const PENDING_MAX = 1024

export interface IkeSocketsOptions {
  /** Underlay addresses of this host, without repetition. */
  readonly locals: readonly IpAddress[]
  /** SO_MARK of what is sent: IKE must not be routed into the tunnel that it negotiates. */
  readonly fwmark: number
  receive(local: Endpoint, remote: Endpoint, message: Uint8Array): void
  /** A datagram could not be sent, or the kernel reported a fault. */
  trouble(local: string, error: Error): void
}

/** The UDP sockets of IKE's own port, one an underlay address. */
export class IkeSockets {
  private readonly options: IkeSocketsOptions
  private readonly sockets = new Map<string, Socket>()
  private pending = 0
  private drained: (() => void) | undefined

  private constructor(options: IkeSocketsOptions) {
    this.options = options
  }

  /** @throws SystemError when a port cannot be bound, naming it; nothing stays open then */
  static async open(options: IkeSocketsOptions): Promise<IkeSockets> {
    const sockets = new IkeSockets(options)
    try {
      for (const local of options.locals) await sockets.add(local)
      return sockets
    } catch (error) {
      await sockets.close()
      throw error
    }
  }

  private async add(local: IpAddress): Promise<void> {
    const { fd } = openUdpSocket({
      local,
      port: IKE_PORT,
      mark: this.options.fwmark,
      receiveBuffer: BUFFER,
      sendBuffer: BUFFER,
    })
    const name = formatIp(local)
    const socket = createSocket(local.length === 4 ? 'udp4' : 'udp6')
    this.sockets.set(name, socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind({ fd }, () => {
        socket.off('error', reject)
        resolve()
      })
    })
    socket.on('error', (error) => this.options.trouble(name, error))
    socket.on('message', (message, from) => {
      const address = parseIp(from.address)
      if (address)
        this.options.receive({ address: local, port: IKE_PORT }, { address, port: from.port }, message)
    })
  }

  /** Sends one IKE message from port 500 of `local`. Best effort: what is lost is sent again by IKE. */
  send(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    const name = formatIp(local.address)
    const socket = this.sockets.get(name)
    if (!socket || this.pending >= PENDING_MAX) return
    this.pending++
    socket.send(message, remote.port, formatIp(remote.address), (error) => {
      this.pending--
      if (this.pending === 0) this.drained?.()
      if (error) this.options.trouble(name, error)
    })
  }

  /** Resolves when everything has been handed to the kernel, or after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void> {
    if (this.pending === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const deadline = setTimeout(resolve, timeoutMs)
      this.drained = () => {
        clearTimeout(deadline)
        resolve()
      }
    })
  }

  async close(): Promise<void> {
    const closing = [...this.sockets.values()].map(
      (socket) =>
        new Promise<void>((resolve) => {
          try {
            socket.close(() => resolve())
          } catch {
            resolve() // it was never bound
          }
        }),
    )
    this.sockets.clear()
    await Promise.all(closing)
  }
}
