import { parseArgs } from 'node:util'
import { libc } from '../../src/ffi/libc.js'
import { NativeMemory } from '../../src/ffi/native-memory.js'
import { quantile } from '../figures.js'
import { address, datagramSocket, must, readFully, streamConnect, writeFully } from './sockets.js'

// Sends a request to echo and waits for the answer, over and over:
//   request --protocol udp|tcp --from ADDRESS --to ADDRESS --port PORT --octets N --seconds S
// Prints {"count", "lost", "p50", "p99", "p999"}, in microseconds.

const { values } = parseArgs({
  options: {
    protocol: { type: 'string', default: 'udp' },
    from: { type: 'string', default: '' },
    to: { type: 'string', default: '' },
    port: { type: 'string', default: '7011' },
    octets: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '1' },
  },
})
const octets = Number(values.octets)
const to = address(values.to, Number(values.port))
const from = address(values.from, 0)
const SAMPLES_MAX = 1 << 20
/** Requests before the first one that counts. */
const WARM_UP = 50
/** An answer that takes longer is lost. */
const LOST_MS = 500

const c = libc()
const request = new NativeMemory(2048)
const response = new NativeMemory(2048)
const samples = new Float64Array(SAMPLES_MAX)

function tcp(): () => boolean {
  const fd = streamConnect(from, to)
  return () => {
    writeFully(fd, request.address, octets)
    readFully(fd, response.address, octets)
    return true
  }
}

function udp(): () => boolean {
  const fd = datagramSocket({ bind: from, receiveTimeoutMs: LOST_MS })
  must('connect', c.connect(fd, to))
  let number = 0
  return () => {
    number = (number + 1) & 0xff
    request.bytes[0] = number
    if (c.write(fd, request.address, octets) < 0) return false
    // An answer that comes after its time must not count for the next request.
    do {
      if (c.read(fd, response.address, 2048) <= 0) return false
    } while (response.bytes[0] !== number)
    return true
  }
}

const exchange = values.protocol === 'tcp' ? tcp() : udp()
for (let i = 0; i < WARM_UP; i++) exchange()
let [count, lost] = [0, 0]
const end = performance.now() + Number(values.seconds) * 1000
for (let before = performance.now(); before < end && count < SAMPLES_MAX; ) {
  const answered = exchange()
  const after = performance.now()
  if (answered) samples[count++] = (after - before) * 1000
  else lost++
  before = after
}
const sorted = samples.subarray(0, count).sort()
const [p50, p99, p999] = [0.5, 0.99, 0.999].map((part) => quantile(sorted, part))
console.log(JSON.stringify({ count, lost, p50, p99, p999 }))
