import { spawn } from 'node:child_process'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { InternalError } from '../../../src/errors.js'
import { closeFd } from '../../../src/net/fd.js'
import { openUdpSocket, sendDatagram } from '../../../src/net/open-socket.js'
import { Poller } from '../../../src/net/poller.js'
import { Wakeup } from '../../../src/net/wakeup.js'
import { parseIp } from '../../../src/wire/ip-address.js'

const LOOPBACK = parseIp('127.0.0.1')!

test('only what is ready is reported, until it is read', () => {
  const poller = new Poller(3)
  const a = Wakeup.open()
  const b = Wakeup.open()
  const socket = openUdpSocket({ local: LOOPBACK, port: 0 })
  try {
    const [ia, ib, is] = [poller.add(a.fd), poller.add(b.fd), poller.add(socket.fd)]
    expect(poller.wait(0)).toBe(0)
    b.wake()
    b.wake()
    expect(poller.wait(-1)).toBe(1)
    expect([poller.readable(ia), poller.readable(ib), poller.readable(is)]).toEqual([false, true, false])
    expect(poller.wait(0)).toBe(1)
    expect(b.drain()).toBe(true)
    expect(b.drain()).toBe(false)
    expect(poller.wait(0)).toBe(0)

    poller.watch(is, true, true)
    expect(poller.wait(0)).toBe(1)
    expect(poller.writable(is)).toBe(true)
    expect(poller.readable(is)).toBe(false)
    poller.watch(is, true, false)
    sendDatagram(socket.fd, LOOPBACK, socket.port, Uint8Array.of(1))
    expect(poller.wait(500)).toBe(1)
    expect(poller.readable(is)).toBe(true)
    expect(() => poller.add(a.fd)).toThrow(InternalError)
  } finally {
    a.close()
    b.close()
    closeFd(socket.fd)
  }
})

test('a closed descriptor is reported as broken instead of being waited on', () => {
  const poller = new Poller()
  const wakeup = Wakeup.open()
  const i = poller.add(wakeup.fd)
  wakeup.close()
  expect(poller.wait(1000)).toBe(1)
  expect(poller.broken(i)).toBe(true)
  expect(poller.readable(i)).toBe(false)
})

test('a timeout ends the wait', () => {
  const poller = new Poller()
  const before = performance.now()
  expect(poller.wait(20)).toBe(0)
  expect(performance.now() - before).toBeGreaterThan(15)
})

test('a signal ends the wait without an error', async () => {
  const ignore = (): void => {}
  process.on('SIGUSR2', ignore)
  const poller = new Poller()
  const wakeup = Wakeup.open()
  poller.add(wakeup.fd)
  // Again and again, as the first one may come before the wait begins.
  const child = spawn('sh', ['-c', `while sleep 0.1; do kill -USR2 ${process.pid}; done`], {
    stdio: 'ignore',
  })
  try {
    const before = performance.now()
    expect(poller.wait(10_000)).toBe(0)
    expect(performance.now() - before).toBeLessThan(9000)
    expect(poller.readable(0)).toBe(false)
  } finally {
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
    wakeup.close()
    process.off('SIGUSR2', ignore)
  }
})

test('another thread wakes a thread that sleeps in poll', async () => {
  // A worker of plain JavaScript over the same descriptor: it writes the 8 octets with node:fs.
  const wakeup = Wakeup.open()
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads')
     setTimeout(() => require('node:fs').writeSync(workerData, Buffer.from('0100000000000000', 'hex')), 50)`,
    { eval: true, workerData: wakeup.fd },
  )
  await new Promise((resolve) => worker.once('online', resolve))
  const poller = new Poller()
  poller.add(wakeup.fd)
  expect(poller.wait(5000)).toBe(1)
  expect(wakeup.drain()).toBe(true)
  await worker.terminate()
  wakeup.close()
})
