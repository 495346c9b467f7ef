import { sendUnixDatagram } from '../ffi/unix-datagram.js'

/**
 * Tells the service manager how far the daemon is (sd_notify(3)): a datagram of assignments to the socket that
 * NOTIFY_SOCKET names. Without one, or where it cannot be sent, nothing happens: readiness is a courtesy.
 */
export class ServiceManager {
  private readonly socket: string | undefined

  /** Takes NOTIFY_SOCKET out of the environment, so that no child process answers in our name. */
  constructor(environment: NodeJS.ProcessEnv = process.env) {
    this.socket = environment.NOTIFY_SOCKET
    delete environment.NOTIFY_SOCKET
  }

  ready(status: string): void {
    this.send(`READY=1\nSTATUS=${oneLine(status)}\nMAINPID=${process.pid}`)
  }

  status(status: string): void {
    this.send(`STATUS=${oneLine(status)}`)
  }

  stopping(): void {
    this.send('STOPPING=1\nSTATUS=Stopping')
  }

  private send(text: string): void {
    if (this.socket === undefined || !/^[/@]/.test(this.socket)) return
    try {
      sendUnixDatagram(this.socket, new TextEncoder().encode(text))
    } catch {
      // No native calls here: the service manager sees a process that says nothing.
    }
  }
}

const oneLine = (text: string): string => text.replaceAll('\n', ' ')
