import { createHash } from 'node:crypto'
import { readSync, writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { addressOf } from '../../src/ffi/koffi.js'
import { IOVEC_LEN, writeIovec } from '../../src/ffi/layout/iovec.js'
import { libc } from '../../src/ffi/libc.js'
import { NativeMemory } from '../../src/ffi/native-memory.js'
import { BATCH, Guest, isTimeToStop, PAGE, RECORD, RECORD_HEADER } from '../migration/guest.js'
import { fillMemory } from '../migration/memory.js'
import { address, must, readFully, streamConnect, writeFully } from './sockets.js'

// The sending half of a live migration:
//   migrate-send --memory MIB --dirty PAGES_PER_SECOND --working-set PAGES [--from A --to B --port P]
// Sends over a TCP connection of its own, or without --to to standard output, with the answers on standard input. Is
// told what to do on descriptor 3, line by line: it says "ready" and waits for a line, migrates, prints what it took as
// JSON, waits for a line and prints the SHA-256 of the memory that it had and of the one that arrived.

const { values } = parseArgs({
  options: {
    memory: { type: 'string', default: '64' },
    dirty: { type: 'string', default: '0' },
    'working-set': { type: 'string', default: '1024' },
    from: { type: 'string', default: '' },
    to: { type: 'string' },
    port: { type: 'string', default: '8003' },
  },
})
const CONTROL = 3
const pages = (Number(values.memory) * 1024 * 1024) / PAGE
const guest = new Guest({ pages, dirtyRate: Number(values.dirty), workingSet: Number(values['working-set']) })

const memory = fillMemory(pages)
const words = new Uint32Array(memory)
const base = addressOf(memory)
const c = libc()

const connection = values.to === undefined ? undefined : tcp(values.to)
const [input, output] = connection === undefined ? [0, 1] : [connection, connection]

function tcp(to: string): number {
  return streamConnect(address(values.from, 0), address(to, Number(values.port)))
}

const headerLength = RECORD_HEADER + 4 * BATCH
const native = new NativeMemory(headerLength + (1 + BATCH) * IOVEC_LEN + 64)
const header = native.take(headerLength)
const vectors = native.take((1 + BATCH) * IOVEC_LEN)
const answer = native.take(64)
let octets = 0

/** Sends pages of `list` from `from` to before `to`: one record, one writev, neighbours as one vector. */
function sendPages(list: Uint32Array, from: number, to: number): void {
  const count = to - from
  native.view.setUint32(header, RECORD.PAGES, true)
  native.view.setUint32(header + 4, count, true)
  const length = RECORD_HEADER + 4 * count
  writeIovec(native, vectors, native.address + header, length)
  let used = 0
  for (let i = 0; i < count; ) {
    const first = list[from + i]!
    let run = 0
    for (; i < count && list[from + i] === first + run; i++, run++)
      native.view.setUint32(header + RECORD_HEADER + 4 * i, first + run, true)
    writeIovec(native, vectors + ++used * IOVEC_LEN, base + first * PAGE, run * PAGE)
  }
  const total = length + count * PAGE
  const sent = must('writev', c.writev(output, native.address + vectors, used + 1))
  octets += total
  if (sent < total) sendRest(sent, used + 1)
}

/** A signal may cut a blocking write short: what is left goes vector by vector. */
function sendRest(sent: number, count: number): void {
  let skip = sent
  for (let i = 0; i < count; i++) {
    const at = (vectors + i * IOVEC_LEN) >>> 2
    const [low, high, length] = [native.words[at]!, native.words[at + 1]!, native.words[at + 2]!]
    const done = Math.min(skip, length)
    skip -= done
    if (done < length) writeFully(output, high * 2 ** 32 + low + done, length - done)
  }
}

/** Sends a record without pages, and waits for its answer. */
function ask(type: number, count: number, answerLength: number): Buffer {
  native.view.setUint32(header, type, true)
  native.view.setUint32(header + 4, count, true)
  writeFully(output, native.address + header, RECORD_HEADER)
  octets += RECORD_HEADER
  readFully(input, native.address + answer, answerLength)
  return Buffer.from(native.bytes.subarray(answer, answer + answerLength))
}

const line = Buffer.alloc(16)
function awaitOrder(): void {
  if (readSync(CONTROL, line) === 0) process.exit(0)
}
const say = (text: string): number => writeSync(CONTROL, `${text}\n`)

ask(RECORD.START, pages, 1)
say('ready')
awaitOrder()

octets = 0
const started = performance.now()
const elapsed = (): number => (performance.now() - started) / 1000
const write = (page: number): void => {
  words[page * (PAGE / 4) + 7]!++
}

const list = Uint32Array.from({ length: pages }, (_, page) => page)
let rounds = 0
for (let count = pages; ; count = guest.takeDirty(list)) {
  for (let at = 0; at < count; at += BATCH) {
    sendPages(list, at, Math.min(count, at + BATCH))
    guest.runUntil(elapsed(), write)
  }
  rounds++
  if (isTimeToStop(rounds, guest.dirtyCount)) break
}

// Stop and copy: the guest does not run until the receiver says that it has everything.
const stopped = elapsed()
const left = guest.takeDirty(list)
for (let at = 0; at < left; at += BATCH) sendPages(list, at, Math.min(left, at + BATCH))
ask(RECORD.END, 0, 1)
const end = elapsed()
say(JSON.stringify({ seconds: end, downtimeSeconds: end - stopped, octets, rounds, stopAndCopyPages: left }))

awaitOrder()
const there = ask(RECORD.DIGEST, 0, 32).toString('hex')
say(JSON.stringify({ here: createHash('sha256').update(new Uint8Array(memory)).digest('hex'), there }))
