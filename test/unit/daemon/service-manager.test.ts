import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ServiceManager } from '../../../src/daemon/service-manager.js'
import { addressOf, nativeCalls } from '../../../src/ffi/koffi.js'
import { libc } from '../../../src/ffi/libc.js'
import { sendUnixDatagram } from '../../../src/ffi/unix-datagram.js'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const NONBLOCK = 0o4000

let folder: string
let path: string
let fd: number

function bind(name: Uint8Array): number {
  const socket = libc().socket(AF_UNIX, SOCK_DGRAM | NONBLOCK, 0)
  expect(libc().bind(socket, Uint8Array.of(AF_UNIX, 0, ...name))).toBe(0)
  return socket
}

/** The next datagram, undefined when there is none. */
function receive(from: number): string | undefined {
  const memory = new ArrayBuffer(4096)
  const n = libc().read(from, addressOf(memory), memory.byteLength)
  return n < 0 ? undefined : Buffer.from(memory, 0, n).toString()
}

describe.skipIf(!nativeCalls().available)('service manager', () => {
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-notify-'))
    path = join(folder, 'notify')
    fd = bind(Buffer.from(`${path}\0`))
  })
  afterEach(() => {
    libc().close(fd)
    rmSync(folder, { recursive: true })
  })

  test('is told of readiness and of the end', () => {
    const environment: NodeJS.ProcessEnv = { NOTIFY_SOCKET: path }
    const service = new ServiceManager(environment)
    expect(environment.NOTIFY_SOCKET).toBeUndefined()
    service.ready('2 peers\nup')
    expect(receive(fd)).toBe(`READY=1\nSTATUS=2 peers up\nMAINPID=${process.pid}`)
    service.status('busy')
    expect(receive(fd)).toBe('STATUS=busy')
    service.stopping()
    expect(receive(fd)).toBe('STOPPING=1\nSTATUS=Stopping')
  })

  test('none, or one that is gone, changes nothing', () => {
    new ServiceManager({}).ready('x')
    new ServiceManager({ NOTIFY_SOCKET: 'relative' }).ready('x')
    new ServiceManager({ NOTIFY_SOCKET: join(folder, 'none') }).ready('x')
    new ServiceManager({ NOTIFY_SOCKET: `/${'x'.repeat(200)}` }).ready('x')
    expect(receive(fd)).toBeUndefined()
  })

  test('an abstract name is reached', () => {
    const name = `sallyport-test-${process.pid}`
    const socket = bind(Buffer.from(`\0${name}`))
    expect(sendUnixDatagram(`@${name}`, Buffer.from('hello'))).toBe(5)
    expect(receive(socket)).toBe('hello')
    libc().close(socket)
  })

  test('failures are -errno', () => {
    expect(sendUnixDatagram(join(folder, 'none'), Buffer.from('x'))).toBe(-2)
    expect(sendUnixDatagram('', Buffer.from('x'))).toBe(-22)
    expect(sendUnixDatagram('/'.repeat(108), Buffer.from('x'))).toBe(-22)
  })
})
