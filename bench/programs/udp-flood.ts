import { writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { IOVEC_LEN, writeIovec } from '../../src/ffi/layout/iovec.js'
import { MMSGHDR_LEN, MSG_DONTWAIT, MSG_IOV, MSG_IOVLEN } from '../../src/ffi/layout/message.js'
import { libc } from '../../src/ffi/libc.js'
import { NativeMemory, setWord64 } from '../../src/ffi/native-memory.js'
import { address, datagramSocket, must } from './sockets.js'
import { END, WINDOW_STEP } from './udp-numbering.js'

// Sends numbered datagrams as fast as it may, in batches:
//   udp-flood --from A --to B --port P --octets N --seconds S [--rate PER_SECOND | --window N] [--flows F]
// Without a rate as fast as the kernel takes them. With a window at most N datagrams are on their way: the receiver says
// how many it has (see udp-sink), and what it says nothing of for some time is lost. Prints {"sent": N, "timeouts": N}.

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '' },
    to: { type: 'string', default: '' },
    port: { type: 'string', default: '7010' },
    octets: { type: 'string', default: '36' },
    seconds: { type: 'string', default: '1' },
    rate: { type: 'string', default: '0' },
    window: { type: 'string', default: '0' },
    flows: { type: 'string', default: '1' },
  },
})
const [octets, seconds, rate, window, flows] = [
  Number(values.octets),
  Number(values.seconds),
  Number(values.rate),
  Number(values.window),
  Number(values.flows),
]
const BATCH = 64
/** Without news from the receiver for so long, what is on its way counts as lost. */
const STALL_MS = 50

const c = libc()
const stride = (octets + 63) & ~63
const memory = new NativeMemory(BATCH * (MMSGHDR_LEN + IOVEC_LEN + stride))
const headers = memory.take(BATCH * MMSGHDR_LEN)
const vectors = memory.take(BATCH * IOVEC_LEN)
const payload = memory.take(BATCH * stride)
for (let i = 0; i < BATCH; i++) {
  writeIovec(memory, vectors + i * IOVEC_LEN, memory.address + payload + i * stride, octets)
  setWord64(memory.words, (headers + i * MMSGHDR_LEN + MSG_IOV) / 4, memory.address + vectors + i * IOVEC_LEN)
  setWord64(memory.words, (headers + i * MMSGHDR_LEN + MSG_IOVLEN) / 4, 1)
}

const to = address(values.to, Number(values.port))
const sockets = Array.from({ length: flows }, () => {
  const fd = datagramSocket({ bind: address(values.from, 0), buffers: 4 << 20, receiveTimeoutMs: STALL_MS })
  must('connect', c.connect(fd, to))
  return { fd, sequence: 0 }
})

/** Sends up to `count` datagrams of a flow. Returns how many the kernel took. */
function send(flow: number, count: number): number {
  const socket = sockets[flow]!
  for (let i = 0; i < count; i++) {
    const at = payload + i * stride
    memory.view.setUint32(at, flow, true)
    memory.view.setUint32(at + 4, socket.sequence + i, true)
  }
  // A full queue or an ICMP error from before the way was open: that datagram is not sent.
  const sent = Math.max(0, c.sendmmsg(socket.fd, memory.address + headers, count, 0))
  socket.sequence += sent
  return sent
}

const acknowledgement = new Uint8Array(8)
const acknowledged = new DataView(acknowledgement.buffer)
let [sent, received, lost, timeouts] = [0, 0, 0, 0]

/** Takes what the receiver has said. @param flags MSG_DONTWAIT, or 0 to wait for some */
function hear(flags: number): boolean {
  const n = c.recv(sockets[0]!.fd, acknowledgement, flags)
  if (n < 4) return false
  received = Math.max(received, acknowledged.getUint32(0, true))
  return true
}

const started = performance.now()
const end = started + seconds * 1000
const pause = new Int32Array(new SharedArrayBuffer(4))
for (let now = started, flow = 0; now < end; now = performance.now(), flow = (flow + 1) % flows) {
  let count = BATCH
  if (rate > 0) {
    const due = Math.floor(((now - started) / 1000) * rate) - sent
    count = Math.min(BATCH, Math.max(0, due))
    if (count === 0) {
      Atomics.wait(pause, 0, 0, 0.5)
      continue
    }
  } else if (window > 0) {
    while (hear(MSG_DONTWAIT));
    const room = window - (sent - lost - received)
    if (room < WINDOW_STEP) {
      if (!hear(0)) {
        timeouts++
        lost = sent - received
      }
      continue
    }
    count = Math.min(BATCH, room)
  }
  sent += send(flow, count)
}

writeSync(1, `${JSON.stringify({ sent, timeouts })}\n`)
// Behind everything that still waits somewhere, and often enough that one of them comes through.
for (let i = 0; i < 10; i++) {
  Atomics.wait(pause, 0, 0, i === 0 ? 200 : 50)
  memory.view.setUint32(payload, END, true)
  memory.view.setUint32(payload + 4, sent, true)
  c.sendmmsg(sockets[0]!.fd, memory.address + headers, 1, 0)
}
