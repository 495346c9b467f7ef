import { createSocket } from 'node:dgram'
import { parseArgs } from 'node:util'

// Numbered datagrams, to see what a path loses, repeats, reorders and changes:
//   udp-probe --receive ADDRESS [--port PORT]        prints "listening", and its count when the sender says so, or on SIGTERM
//   udp-probe --send ADDRESS --from ADDRESS --rate PER_SECOND --seconds S [--sizes OCTETS,...]
// The sizes, 10 or more, take turns, eight datagrams each.

const { values } = parseArgs({
  options: {
    receive: { type: 'string' },
    send: { type: 'string' },
    from: { type: 'string' },
    port: { type: 'string', default: '7007' },
    rate: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '1' },
    sizes: { type: 'string', default: '200' },
  },
})
const port = Number(values.port)
const END = 0xffff_ffff
const TICK_MS = 2
/** Datagrams a tick: a sender that was held up must not flood the receiver's buffer when it catches up. */
const BURST_MAX = 48

function receive(address: string): void {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
  const seen = new Set<number>()
  let [duplicates, reordered, damaged, highest, lastMs, longestGapMs] = [0, 0, 0, -1, 0, 0]
  const report = (sent: number | undefined): void => {
    console.log(JSON.stringify({ sent, received: seen.size, duplicates, reordered, damaged, longestGapMs }))
    process.exit(0)
  }
  socket.on('message', (message) => {
    const sequence = message.readUInt32BE(0)
    if (sequence === END) return report(message.readUInt32BE(4))
    const now = performance.now()
    if (lastMs !== 0) longestGapMs = Math.max(longestGapMs, now - lastMs)
    lastMs = now
    const whole = message.length === message.readUInt16BE(8)
    if (!whole || message.subarray(10).some((octet) => octet !== (sequence & 0xff))) damaged++
    if (seen.has(sequence)) duplicates++
    else if (sequence < highest) reordered++
    highest = Math.max(highest, sequence)
    seen.add(sequence)
  })
  process.on('SIGTERM', () => report(undefined))
  socket.bind(port, address, () => console.log('listening'))
}

function send(address: string): void {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  const [rate, seconds] = [Number(values.rate), Number(values.seconds)]
  const total = Math.round(rate * seconds)
  const sizes = values.sizes.split(',').map(Number)
  let [sequence, refused] = [0, 0]
  const datagram = (number: number): Buffer => {
    const size = sizes[(number >>> 3) % sizes.length]!
    const out = Buffer.alloc(size, number & 0xff)
    out.writeUInt32BE(number, 0)
    out.writeUInt32BE(total, 4)
    out.writeUInt16BE(size, 8)
    return out
  }
  // The kernel says by an error that there is no way at the moment; that counts as a loss like any other.
  const transmit = (octets: Buffer): void =>
    socket.send(octets, port, address, (error) => {
      if (error) refused++
    })
  const end = (times: number): void => {
    if (times === 0) {
      console.log(JSON.stringify({ sent: total, refused }))
      process.exit(0)
    }
    transmit(datagram(END))
    setTimeout(() => end(times - 1), 100)
  }
  socket.bind(0, values.from, () => {
    const started = performance.now()
    const timer = setInterval(() => {
      const due = Math.min(total, Math.floor(((performance.now() - started) / 1000) * rate))
      for (let n = 0; sequence < due && n < BURST_MAX; n++) transmit(datagram(sequence++))
      if (sequence < total) return
      clearInterval(timer)
      // Behind everything that still waits somewhere.
      setTimeout(() => end(5), 500)
    }, TICK_MS)
  })
}

if (values.receive !== undefined) receive(values.receive)
else if (values.send !== undefined) send(values.send)
else process.exitCode = 2
