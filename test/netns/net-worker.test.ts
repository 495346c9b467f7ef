import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { closeFd } from '../../src/net/fd.js'
import { openUdpSocket, sendDatagram } from '../../src/net/open-socket.js'
import { openTun } from '../../src/net/tun.js'
import { Wakeup } from '../../src/net/wakeup.js'
import { parseIp } from '../../src/wire/ip-address.js'
import type { NetWorkerData } from '../lab/net-worker.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'
import { pattern, Station } from '../unit/net/batches.js'

const script = new URL('../../dist/test/lab/net-worker.js', import.meta.url)
const missing = existsSync(script) ? missingForNetns({ tun: true }) : 'not built (npm run build)'
if (missing) console.log(`skipped, needs a build, a network namespace and TUN: ${missing}`)

const LOOPBACK = parseIp('127.0.0.1')!

describe.skipIf(missing)('a worker thread', () => {
  let netns: PrivateNetns
  beforeAll(() => {
    netns = PrivateNetns.enter()
    netns.ip('link set lo up')
  })
  afterAll(() => netns.leave())

  test('serves sockets, TUN and wakeup that the main thread opened', async () => {
    const tun = openTun({ name: 'tun0', offload: 'none' })
    netns.ip('link set tun0 up')
    netns.ip('address add 10.96.0.1/24 dev tun0')
    const echo = openUdpSocket({ local: LOOPBACK, port: 0 })
    const own = openUdpSocket({ local: LOOPBACK, port: 0 })
    const inside = openUdpSocket({ local: parseIp('10.96.0.1')!, port: 0 })
    const wakeup = Wakeup.open()
    const worker = new Worker(script, {
      workerData: {
        udpFd: echo.fd,
        tunFd: tun.fd,
        vnetHeader: tun.vnetHeader,
        wakeFd: wakeup.fd,
      } satisfies NetWorkerData,
    })
    const messages: unknown[] = []
    worker.on('message', (message) => messages.push(message))
    const ended = new Promise<number>((resolve) => worker.once('exit', resolve))
    try {
      const station = new Station(own.fd, 4, 'udp')
      for (let i = 0; i < 3; i++) {
        sendDatagram(own.fd, LOOPBACK, echo.port, pattern(500 + i, i))
        expect(await arrival(station)).toEqual(pattern(500 + i, i))
      }
      // 10.96.0.2 is behind the TUN device, which gives every packet back: the kernel drops it, having counted it.
      sendDatagram(inside.fd, parseIp('10.96.0.2')!, 9, pattern(100, 1))
      await new Promise((resolve) => setTimeout(resolve, 100))
      const stats = JSON.parse(netns.ip('-j -s link show tun0')) as [{ stats64: { rx: { packets: number } } }]
      expect(stats[0].stats64.rx.packets).toBeGreaterThan(0)
    } finally {
      wakeup.wake()
    }
    expect(await ended).toBe(0)
    expect(messages).toEqual(['ready', 'done'])
    for (const fd of [tun.fd, echo.fd, own.fd, inside.fd]) closeFd(fd)
    wakeup.close()
  })
})

async function arrival(station: Station): Promise<Uint8Array> {
  for (let tries = 0; tries < 100; tries++) {
    if (station.socket.receive(station.rx) > 0) return station.octets(0)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('no answer came')
}
