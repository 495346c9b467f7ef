import { koffi } from '../../src/ffi/koffi.js'
import { sockaddr } from '../../src/ffi/layout/sockaddr.js'
import { libc } from '../../src/ffi/libc.js'
import { parseIp } from '../../src/wire/ip-address.js'

// Blocking sockets for the measuring programs. Node's own would put an event loop, a copy and a promise between the
// program and the kernel, and those would be measured too.

export const AF_INET = 2
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_RCVTIMEO = 20
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const IPPROTO_TCP = 6
const TCP_NODELAY = 1

/** A non-negative result. @throws Error with the call's name and errno */
export function must(call: string, result: number): number {
  if (result < 0) throw new Error(`${call}: errno ${-result}`)
  return result
}

/** @param text IPv4 address */
export function address(text: string, port: number): Uint8Array {
  const ip = parseIp(text)
  if (ip?.length !== 4) throw new Error(`not an IPv4 address: ${text}`)
  return sockaddr(ip, port)
}

export interface SocketOptions {
  /** Own address; port 0 lets the kernel choose. */
  readonly bind?: Uint8Array
  /** A receive that waits longer gives -EAGAIN. 0 waits for ever. */
  readonly receiveTimeoutMs?: number
  /** Octets of the send and receive buffers. */
  readonly buffers?: number
}

export function datagramSocket(o: SocketOptions): number {
  const c = libc()
  const fd = must('socket', c.socket(AF_INET, SOCK_DGRAM, 0))
  if (o.buffers !== undefined)
    for (const option of [SO_SNDBUFFORCE, SO_RCVBUFFORCE]) c.setsockopt(fd, SOL_SOCKET, option, o.buffers)
  if (o.receiveTimeoutMs !== undefined) receiveTimeout(fd, o.receiveTimeoutMs)
  if (o.bind) must('bind', c.bind(fd, o.bind))
  return fd
}

export function streamConnect(from: Uint8Array, to: Uint8Array): number {
  const c = libc()
  const fd = must('socket', c.socket(AF_INET, SOCK_STREAM, 0))
  must('bind', c.bind(fd, from))
  must('connect', c.connect(fd, to))
  noDelay(fd)
  return fd
}

/** Waits for one connection and returns it. @param ready is called when the port is open */
export function streamAccept(at: Uint8Array, ready: () => void): number {
  const c = libc()
  const library = koffi().load(null)
  const listen = library.func('listen', 'int', ['int', 'int'])
  const accept = library.func('accept', 'int', ['int', 'uintptr_t', 'uintptr_t'])
  const server = must('socket', c.socket(AF_INET, SOCK_STREAM, 0))
  c.setsockopt(server, SOL_SOCKET, SO_REUSEADDR, 1)
  must('bind', c.bind(server, at))
  must('listen', listen(server, 1))
  ready()
  const fd = must('accept', accept(server, 0, 0))
  c.close(server)
  noDelay(fd)
  return fd
}

function noDelay(fd: number): void {
  must('TCP_NODELAY', libc().setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1))
}

/** SO_RCVTIMEO takes a struct timeval of two 64-bit words. */
function receiveTimeout(fd: number, ms: number): void {
  const setsockopt = koffi().load(null).func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint'])
  const time = BigUint64Array.of(BigInt(Math.floor(ms / 1000)), BigInt((ms % 1000) * 1000))
  must('SO_RCVTIMEO', setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, time, 16))
}

/** Reads exactly `length` octets. @throws Error when the stream ends before */
export function readFully(fd: number, at: number, length: number): void {
  const c = libc()
  for (let got = 0; got < length; ) {
    const n = must('read', c.read(fd, at + got, length - got))
    if (n === 0) throw new Error('the stream ended too early')
    got += n
  }
}

export function writeFully(fd: number, at: number, length: number): void {
  const c = libc()
  for (let put = 0; put < length; ) put += must('write', c.write(fd, at + put, length - put))
}
