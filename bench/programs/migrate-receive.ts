import { createHash } from 'node:crypto'
import { writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { addressOf } from '../../src/ffi/koffi.js'
import { NativeMemory } from '../../src/ffi/native-memory.js'
import { BATCH, PAGE, RECORD, RECORD_HEADER } from '../migration/guest.js'
import { address, readFully, streamAccept, writeFully } from './sockets.js'

// The receiving half of a live migration, see migrate-send:
//   migrate-receive [--listen ADDRESS --port PORT]
// Prints "listening" and serves one connection; without --listen it serves standard input and output.

const { values } = parseArgs({
  options: { listen: { type: 'string' }, port: { type: 'string', default: '8003' } },
})
const connection =
  values.listen === undefined
    ? undefined
    : streamAccept(address(values.listen, Number(values.port)), () => {
        writeSync(1, 'listening\n')
      })
const [input, output] = connection === undefined ? [0, 1] : [connection, connection]

const native = new NativeMemory(RECORD_HEADER + 4 * BATCH + 32)
const header = native.take(RECORD_HEADER)
const numbers = native.take(4 * BATCH)
const answer = native.take(32)
let memory = new ArrayBuffer(0)
let base = 0

/** Pages go to their place straight from the stream, neighbours in one read. */
function receivePages(count: number): void {
  const pages = memory.byteLength / PAGE
  readFully(input, native.address + numbers, 4 * count)
  for (let i = 0; i < count; ) {
    const first = native.view.getUint32(numbers + 4 * i, true)
    let run = 0
    for (; i < count && native.view.getUint32(numbers + 4 * i, true) === first + run; i++) run++
    if (first + run > pages) throw new Error(`page ${first + run} is behind the end`)
    readFully(input, base + first * PAGE, run * PAGE)
  }
}

function reply(octets: Uint8Array): void {
  native.bytes.set(octets, answer)
  writeFully(output, native.address + answer, octets.length)
}

for (let served = false; !served; ) {
  readFully(input, native.address + header, RECORD_HEADER)
  const type = native.view.getUint32(header, true)
  const count = native.view.getUint32(header + 4, true)
  switch (type) {
    case RECORD.START:
      memory = new ArrayBuffer(count * PAGE)
      base = addressOf(memory)
      // The kernel gives the pages when they are touched, which is no part of a migration.
      new Uint8Array(memory).fill(1)
      reply(Uint8Array.of(1))
      break
    case RECORD.PAGES:
      if (count > BATCH) throw new Error(`a record of ${count} pages`)
      receivePages(count)
      break
    case RECORD.END:
      reply(Uint8Array.of(1))
      break
    case RECORD.DIGEST:
      reply(createHash('sha256').update(new Uint8Array(memory)).digest())
      served = true
      break
    default:
      throw new Error(`a record of type ${type}`)
  }
}
