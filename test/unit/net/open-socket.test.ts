import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { SystemError } from '../../../src/errors.js'
import { SO_MARK, SO_RCVBUF, SOL_SOCKET } from '../../../src/ffi/constants.js'
import { EADDRINUSE, EADDRNOTAVAIL, EBADF } from '../../../src/ffi/errno.js'
import { libc } from '../../../src/ffi/libc.js'
import { closeFd } from '../../../src/net/fd.js'
import { groIsSound, openRawSocket, openUdpSocket, sendDatagram } from '../../../src/net/open-socket.js'
import { parseIp } from '../../../src/wire/ip-address.js'

const LOOPBACK = parseIp('127.0.0.1')!
const isRoot = process.getuid?.() === 0
const opened: number[] = []
afterEach(() => {
  for (const fd of opened.splice(0)) closeFd(fd)
})

function caught(f: () => unknown): SystemError {
  try {
    f()
  } catch (error) {
    if (error instanceof SystemError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

test('a port in use is named with its address and with what to do', () => {
  const first = openUdpSocket({ local: LOOPBACK, port: 0 })
  opened.push(first.fd)
  const error = caught(() => openUdpSocket({ local: LOOPBACK, port: first.port }))
  expect(error.errno).toBe(EADDRINUSE)
  expect(error.call).toBe('bind')
  expect(error.message).toContain(`UDP port ${first.port} of 127.0.0.1: EADDRINUSE`)
  expect(error.message).toContain('ss -lunp')
})

test('SO_REUSEPORT lets several sockets share a port', () => {
  const first = openUdpSocket({ local: LOOPBACK, port: 0, reusePort: true })
  const second = openUdpSocket({ local: LOOPBACK, port: first.port, reusePort: true })
  opened.push(first.fd, second.fd)
  expect(second.port).toBe(first.port)
})

test('an address that no interface has is named', () => {
  const error = caught(() => openUdpSocket({ local: parseIp('192.0.2.77')!, port: 4500 }))
  expect(error.errno).toBe(EADDRNOTAVAIL)
  expect(error.message).toContain('192.0.2.77')
  expect(error.message).toContain('"local"')
  const v6 = caught(() => openUdpSocket({ local: parseIp('2001:db8::77')!, port: 4500 }))
  expect(v6.errno).toBe(EADDRNOTAVAIL)
  expect(v6.message).toContain('2001:db8::77')
})

test('no descriptor stays open after a failure', () => {
  const before = openUdpSocket({ local: LOOPBACK, port: 0 })
  closeFd(before.fd)
  for (let i = 0; i < 5; i++) caught(() => openUdpSocket({ local: parseIp('192.0.2.77')!, port: 1 }))
  const after = openUdpSocket({ local: LOOPBACK, port: 0 })
  opened.push(after.fd)
  expect(after.fd).toBe(before.fd)
})

test.runIf(isRoot)('mark and buffer sizes reach the socket', () => {
  const socket = openUdpSocket({ local: LOOPBACK, port: 0, mark: 0x5a11, receiveBuffer: 8 * 1024 * 1024 })
  opened.push(socket.fd)
  expect(libc().getsockopt(socket.fd, SOL_SOCKET, SO_MARK)).toBe(0x5a11)
  // The kernel doubles it, for its own book-keeping.
  expect(libc().getsockopt(socket.fd, SOL_SOCKET, SO_RCVBUF)).toBe(16 * 1024 * 1024)
})

test.runIf(isRoot)('a mark above 2^31 is taken as it is', () => {
  const socket = openUdpSocket({ local: LOOPBACK, port: 0, mark: 0xfffffffe })
  opened.push(socket.fd)
  expect(libc().getsockopt(socket.fd, SOL_SOCKET, SO_MARK) >>> 0).toBe(0xfffffffe)
})

test('node:dgram can take a socket over', async () => {
  const { fd, port } = openUdpSocket({ local: LOOPBACK, port: 0 })
  const dgram = createSocket('udp4')
  // A socket that is bound already is listening when bind returns.
  dgram.bind({ fd })
  expect(dgram.address()).toMatchObject({ address: '127.0.0.1', port })
  const sender = openUdpSocket({ local: LOOPBACK, port: 0 })
  opened.push(sender.fd)
  const message = once(dgram, 'message') as Promise<[Buffer, { port: number }]>
  expect(sendDatagram(sender.fd, LOOPBACK, port, Uint8Array.of(1, 2, 3))).toBe(3)
  const [octets, from] = await message
  expect([...octets]).toEqual([1, 2, 3])
  expect(from.port).toBe(sender.port)
  dgram.close()
  await once(dgram, 'close')
})

test('a descriptor that is closed gives an errno, not an exception', () => {
  expect(sendDatagram(-1, LOOPBACK, 1, Uint8Array.of(0))).toBe(-EBADF)
})

test.skipIf(isRoot)('a raw socket without CAP_NET_RAW says so', () => {
  expect(caught(() => openRawSocket({ local: LOOPBACK, protocol: 50 })).message).toContain('CAP_NET_RAW')
})

test('UDP_GRO is used from Linux 5.12 on', () => {
  expect(groIsSound('4.19.0+1')).toBe(false)
  expect(groIsSound('5.10.0-28-amd64')).toBe(false)
  expect(groIsSound('5.12.0')).toBe(true)
  expect(groIsSound('6.1.0')).toBe(true)
  expect(groIsSound('7')).toBe(true)
  expect(groIsSound('strange')).toBe(false)
})
