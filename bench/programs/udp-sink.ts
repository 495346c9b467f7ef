import { writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { IOVEC_LEN, writeIovec } from '../../src/ffi/layout/iovec.js'
import { MMSGHDR_LEN, MSG_IOV, MSG_IOVLEN, MSG_NAME, MSG_NAMELEN } from '../../src/ffi/layout/message.js'
import { SOCKADDR_IN_LEN } from '../../src/ffi/layout/sockaddr.js'
import { libc } from '../../src/ffi/libc.js'
import { NativeMemory, setWord64 } from '../../src/ffi/native-memory.js'
import { address, datagramSocket } from './sockets.js'
import { END, FLOWS_MAX, Numbers, WINDOW_STEP } from './udp-numbering.js'

// Counts what udp-flood sends, and says back how much it has:
//   udp-sink --listen ADDRESS --port PORT [--acknowledge]
// Prints "listening", and a line of JSON when the sender has ended or nothing has come for some time.

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '' },
    port: { type: 'string', default: '7010' },
    acknowledge: { type: 'boolean', default: false },
  },
})
const BATCH = 64
const SLOT = 2048
const SILENCE_MS = 5000
/** Waits for the first message of a batch only (linux/socket.h). */
const MSG_WAITFORONE = 0x10000

const c = libc()
const memory = new NativeMemory(BATCH * (MMSGHDR_LEN + IOVEC_LEN + SLOT) + SOCKADDR_IN_LEN)
const headers = memory.take(BATCH * MMSGHDR_LEN)
const vectors = memory.take(BATCH * IOVEC_LEN)
const name = memory.take(SOCKADDR_IN_LEN)
const slots = memory.take(BATCH * SLOT)
for (let i = 0; i < BATCH; i++) {
  const header = headers + i * MMSGHDR_LEN
  writeIovec(memory, vectors + i * IOVEC_LEN, memory.address + slots + i * SLOT, SLOT)
  setWord64(memory.words, (header + MSG_IOV) / 4, memory.address + vectors + i * IOVEC_LEN)
  setWord64(memory.words, (header + MSG_IOVLEN) / 4, 1)
}
// Where the first one of a batch is from: that is who hears how many there are.
setWord64(memory.words, (headers + MSG_NAME) / 4, memory.address + name)
const sender = memory.bytes.subarray(name, name + SOCKADDR_IN_LEN)

const fd = datagramSocket({
  bind: address(values.listen, Number(values.port)),
  buffers: 16 << 20,
  receiveTimeoutMs: SILENCE_MS,
})
writeSync(1, 'listening\n')

const flows = Array.from({ length: FLOWS_MAX }, () => new Numbers())
const answer = new Uint8Array(8)
const answered = new DataView(answer.buffer)
let [total, told, firstMs, lastMs] = [0, 0, 0, 0]
let sent: number | undefined

while (sent === undefined) {
  memory.view.setUint32(headers + MSG_NAMELEN, SOCKADDR_IN_LEN, true)
  const n = c.recvmmsg(fd, memory.address + headers, BATCH, MSG_WAITFORONE)
  if (n <= 0) break
  const now = performance.now()
  if (firstMs === 0) firstMs = now
  for (let i = 0; i < n; i++) {
    const at = slots + i * SLOT
    const flow = memory.view.getUint32(at, true)
    const number = memory.view.getUint32(at + 4, true)
    if (flow === END) {
      sent = number
      break
    }
    flows[flow]?.add(number)
    total++
    lastMs = now
  }
  if (values.acknowledge && total - told >= WINDOW_STEP) {
    told = total
    answered.setUint32(0, total, true)
    c.sendto(fd, answer, 0, sender)
  }
}

const sum = (of: (numbers: Numbers) => number): number => flows.reduce((n, flow) => n + of(flow), 0)
console.log(
  JSON.stringify({
    sent: sent ?? null,
    received: sum((f) => f.received),
    duplicates: sum((f) => f.duplicates),
    reordered: sum((f) => f.reordered),
    seconds: (lastMs - firstMs) / 1000,
  }),
)
