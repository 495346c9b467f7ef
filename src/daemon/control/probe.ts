import { lstatSync } from 'node:fs'
import { connect } from 'node:net'

/** What a path of a control socket is: nothing, a socket with or without somebody behind it, or something else. */
export type SocketState = 'absent' | 'alive' | 'stale' | 'foreign'

/** How long a listening socket may take to accept. */
const PROBE_MS = 2_000

/** Looks whether somebody listens on a unix socket. One that takes no connection in time counts as alive. */
export function probeSocket(path: string): Promise<SocketState> {
  try {
    if (!lstatSync(path).isSocket()) return Promise.resolve('foreign')
  } catch {
    return Promise.resolve('absent')
  }
  return new Promise((resolve) => {
    const socket = connect(path)
    const done = (state: SocketState): void => {
      clearTimeout(deadline)
      socket.destroy()
      resolve(state)
    }
    const deadline = setTimeout(() => done('alive'), PROBE_MS)
    socket.once('connect', () => done('alive'))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      done(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? 'stale' : 'alive'),
    )
  })
}
