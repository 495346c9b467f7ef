import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import { SystemError } from '../../errors.js'

// The part of the npm package `raw-socket` that sallyport uses, as its index.js has it: it brings no types.

/** Sends and receives whole IP packets of one protocol on the main thread's event loop. */
export interface RawSocket {
  on(event: 'message', listener: (octets: Buffer, source: string) => void): this
  on(event: 'error', listener: (error: Error) => void): this
  on(event: 'close', listener: () => void): this
  /**
   * Queues one packet, without a bound. `before` is called in front of its sendto, `after` behind it. The octets are
   * read when it is sent, not now.
   */
  send(
    octets: Buffer,
    offset: number,
    length: number,
    address: string,
    before: () => void,
    after: (error: Error | null, sent: number) => void,
  ): this
  setOption(level: number, option: number, value: number): void
  close(): this
}

export interface RawSocketModule {
  createSocket(options: {
    readonly protocol: number
    readonly addressFamily: number
    readonly bufferSize: number
  }): RawSocket
  readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number }
}

/**
 * Loads the package. It is an optional dependency with a native part that a compiler makes, so each of its absences has
 * its own message.
 * @param from where to look for it from, as createRequire takes it
 * @throws SystemError saying what is missing and what to do
 */
export function loadRawSocket(from: string | URL = import.meta.url): RawSocketModule {
  if (!isMainThread)
    throw new SystemError(
      'raw-socket',
      0,
      'raw-socket works on the main thread only: it knows no other event loop',
    )
  const require = createRequire(from)
  try {
    return require('raw-socket') as RawSocketModule
  } catch (cause) {
    throw new SystemError('raw-socket', 0, explain(cause), { cause })
  }
}

function explain(cause: unknown): string {
  const { code, message = '' } = cause as { code?: string; message?: string }
  if (code === 'MODULE_NOT_FOUND' && message.includes('raw.node'))
    return (
      'the npm package raw-socket is installed without its native part: run "npm rebuild raw-socket", which needs a ' +
      'C++ compiler, make and Python'
    )
  if (code === 'MODULE_NOT_FOUND')
    return 'the npm package raw-socket, which the portable path needs, is not installed: run "npm install raw-socket"'
  if (code === 'ERR_DLOPEN_FAILED')
    return `the native part of raw-socket does not fit this Node.js: run "npm rebuild raw-socket" (${message})`
  return `the npm package raw-socket cannot be loaded: ${message}`
}
