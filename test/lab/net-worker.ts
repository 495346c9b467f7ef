import { parentPort, workerData } from 'node:worker_threads'
import { SCRATCH_LEN } from '../../src/bytes/slab.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { NativePacketSocket } from '../../src/net/packet-socket.js'
import { Poller } from '../../src/net/poller.js'
import { NativeTunQueue } from '../../src/net/tun-queue.js'
import type { RxBatch, TxBatch } from '../../src/net/types.js'
import { Wakeup } from '../../src/net/wakeup.js'

// A worker thread over descriptors that the main thread opened: it echoes UDP datagrams to their sender and packets of the
// TUN device back into it, until it is woken.

export interface NetWorkerData {
  readonly udpFd: number
  readonly tunFd: number
  readonly vnetHeader: boolean
  readonly wakeFd: number
}

const SLOTS = 4
const ROOM = 2048
const TUN_ROOM = 10 + 65_535

function run({ udpFd, tunFd, vnetHeader, wakeFd }: NetWorkerData): void {
  const slab = nativeSlab(SLOTS * ROOM + TUN_ROOM)
  const socket = new NativePacketSocket(udpFd, 4, 'udp', slab)
  const tun = new NativeTunQueue(tunFd, vnetHeader, slab)
  const wakeup = new Wakeup(wakeFd)
  const poller = new Poller()
  const [udpIndex, tunIndex, wakeIndex] = [poller.add(udpFd), poller.add(tunFd), poller.add(wakeFd)]
  const at = Int32Array.from({ length: SLOTS }, (_, i) => SCRATCH_LEN + i * ROOM)
  const length = new Int32Array(SLOTS)
  const rx: RxBatch = {
    size: SLOTS,
    room: ROOM,
    at,
    length,
    segment: new Int32Array(SLOTS),
    tos: new Uint8Array(SLOTS),
    sourcePort: new Int32Array(SLOTS),
    source: new Uint8Array(SLOTS * 16),
  }
  // The same octets go back: both batches share their places and lengths.
  const tx: TxBatch = {
    size: SLOTS,
    at,
    length,
    segment: new Int32Array(SLOTS),
    tos: new Uint8Array(SLOTS),
    destination: new Int32Array(SLOTS),
  }
  const tunAt = SCRATCH_LEN + SLOTS * ROOM
  for (;;) {
    poller.wait(-1)
    if (poller.readable(wakeIndex) && wakeup.drain()) return
    if (poller.readable(udpIndex)) {
      const n = socket.receive(rx)
      for (let i = 0; i < n; i++)
        tx.destination[i] = socket.destination(rx.source.slice(i * 16, i * 16 + 4), rx.sourcePort[i]!)
      if (n > 0) socket.send(tx, 0, n)
    }
    if (poller.readable(tunIndex)) {
      const n = tun.read(tunAt, TUN_ROOM)
      if (n > 0) tun.write(tunAt, n)
    }
  }
}

parentPort!.postMessage('ready')
run(workerData as NetWorkerData)
parentPort!.postMessage('done')
