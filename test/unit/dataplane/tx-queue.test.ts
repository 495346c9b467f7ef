import { describe, expect, test } from 'vitest'
import { FAULTS_MAX } from '../../../src/dataplane/offload-watch.js'
import { TX_MESSAGES, TxQueue } from '../../../src/dataplane/tx-queue.js'
import type { PacketSocket, TxBatch } from '../../../src/net/types.js'

interface Message {
  readonly at: number
  readonly length: number
  readonly segment: number
  readonly destination: number
  readonly tos: number
}

/** A socket in memory: keeps what it is given; `answer` says what a call returns (undefined: takes all). */
class MemorySocket implements PacketSocket {
  /** Messages that had left whenever the queue said that it is sending. */
  readonly ready: number[] = []
  readonly fd = -1
  readonly family = 4
  readonly kind = 'udp'
  readonly messages: Message[] = []
  calls = 0
  answer: ((first: Message, count: number) => number | undefined) | undefined

  /** What was said about DF, and after how many messages. */
  readonly df: [boolean, number][] = []

  dontFragment(on: boolean): void {
    this.df.push([on, this.messages.length])
  }

  receive(): number {
    return 0
  }

  send(tx: TxBatch, from: number, count: number): number {
    this.calls++
    const message = (i: number): Message => ({
      at: tx.at[i]!,
      length: tx.length[i]!,
      segment: tx.segment[i]!,
      destination: tx.destination[i]!,
      tos: tx.tos[i]!,
    })
    const n = this.answer?.(message(from), count) ?? count
    for (let i = from; i < from + n; i++) this.messages.push(message(i))
    return n
  }

  destination(): number {
    return 0
  }
}

function queue(gso: boolean) {
  const socket = new MemorySocket()
  const told = { sent: 0, failed: [] as [number, number][], refused: [] as number[] }
  const q = new TxQueue(socket, gso, {
    sending: () => socket.ready.push(socket.messages.length),
    sent: (n) => {
      told.sent += n
    },
    failed: (n, errno) => told.failed.push([n, errno]),
    gsoRefused: (errno) => told.refused.push(errno),
  })
  return { socket, told, q }
}

test('the owner is told before anything leaves, also when a full queue sends by itself', () => {
  const { socket, q } = queue(false)
  q.flush()
  expect(socket.ready).toEqual([])
  for (let i = 0; i < TX_MESSAGES + 1; i++) q.push(i * 100, 50, 0, 0)
  expect(socket.ready).toEqual([0])
  q.flush()
  expect(socket.ready).toEqual([0, TX_MESSAGES])
})

describe('segmentation', () => {
  test('neighbours of equal length become one message, a shorter one ends it', () => {
    const { socket, told, q } = queue(true)
    for (let i = 0; i < 4; i++) q.push(i * 1000, 1000, 3, 8)
    q.push(4000, 400, 3, 8)
    q.push(4400, 400, 3, 8)
    q.flush()
    expect(socket.messages).toEqual([
      { at: 0, length: 4400, segment: 1000, destination: 3, tos: 8 },
      { at: 4400, length: 400, segment: 0, destination: 3, tos: 8 },
    ])
    expect(socket.calls).toBe(1)
    expect(told.sent).toBe(6)
  })

  test.each([
    ['another destination', [1000, 1000, 4, 8]],
    ['another TOS', [1000, 1000, 3, 9]],
    ['a gap', [1004, 1000, 3, 8]],
    ['a longer datagram', [1000, 1004, 3, 8]],
  ] as const)('%s begins a new message', (_, [at, length, destination, tos]) => {
    const { socket, q } = queue(true)
    q.push(0, 1000, 3, 8)
    q.push(at, length, destination, tos)
    q.flush()
    expect(socket.messages.map((m) => m.segment)).toEqual([0, 0])
  })

  test('a message holds 64 datagrams and 65 507 octets at most', () => {
    const small = queue(true)
    for (let i = 0; i < 70; i++) small.q.push(i * 100, 100, 0, 0)
    small.q.flush()
    expect(small.socket.messages.map((m) => m.length)).toEqual([6400, 600])
    const large = queue(true)
    for (let i = 0; i < 50; i++) large.q.push(i * 1400, 1400, 0, 0)
    large.q.flush()
    expect(large.socket.messages.map((m) => m.length)).toEqual([46 * 1400, 4 * 1400])
  })

  test('switched off, every datagram is a message', () => {
    const { socket, q } = queue(false)
    for (let i = 0; i < 3; i++) q.push(i * 1000, 1000, 0, 0)
    q.flush()
    expect(socket.messages.length).toBe(3)
  })

  const train = (q: TxQueue): void => {
    for (let i = 0; i < 3; i++) q.push(i * 1000, 1000, 0, 0)
    q.push(3000, 10, 0, 0)
    q.flush()
  }

  test.each([22, 5])('refused with errno %i: sent again one by one, after a few times off', (errno) => {
    const { socket, told, q } = queue(true)
    socket.answer = (m) => (m.segment > 0 ? -errno : undefined)
    for (let faults = 1; faults <= FAULTS_MAX; faults++) {
      expect(q.segmentation).toBe(true)
      train(q)
      expect(socket.messages.splice(0).map((m) => [m.at, m.length])).toEqual([
        [0, 1000],
        [1000, 1000],
        [2000, 1000],
        [3000, 10],
      ])
      expect(told.sent).toBe(4 * faults)
    }
    expect(told).toEqual({ sent: 4 * FAULTS_MAX, failed: [], refused: [errno] })
    expect(q.segmentation).toBe(false)
  })

  test('refusals between which messages are taken do not add up, nor do those for their size', () => {
    const { socket, told, q } = queue(true)
    for (let i = 0; i < 3 * FAULTS_MAX; i++) {
      const refused = i % FAULTS_MAX !== 0
      socket.answer = (m) => (refused && m.segment > 0 ? -22 : undefined)
      train(q)
    }
    socket.answer = (m) => (m.segment > 0 ? -90 : undefined)
    for (let i = 0; i < 3 * FAULTS_MAX; i++) train(q)
    expect(told).toEqual({ sent: 24 * FAULTS_MAX, failed: [], refused: [] })
    expect(q.segmentation).toBe(true)
  })
})

test('a full batch is sent by itself', () => {
  const { socket, q } = queue(false)
  for (let i = 0; i < TX_MESSAGES + 1; i++) q.push(i * 10, 10, 0, 0)
  expect(socket.messages.length).toBe(TX_MESSAGES)
  expect(q.pending).toBe(1)
})

test('what the kernel took in part goes on where it stopped', () => {
  const { socket, told, q } = queue(false)
  socket.answer = (_, count) => Math.min(2, count)
  for (let i = 0; i < 5; i++) q.push(i * 10, 10, 0, 0)
  q.flush()
  expect(socket.messages.map((m) => m.at)).toEqual([0, 10, 20, 30, 40])
  expect(told.sent).toBe(5)
})

test('a full buffer is asked again a bounded number of times, then one message is dropped', () => {
  const { socket, told, q } = queue(false)
  let full = true
  socket.answer = (m) => (full && m.at === 0 ? 0 : undefined)
  q.push(0, 10, 0, 0)
  q.push(10, 10, 0, 0)
  q.flush()
  expect(told).toEqual({ sent: 1, failed: [[1, 11]], refused: [] })
  full = false
})

test('an error costs the message that it is about and no other', () => {
  const { socket, told, q } = queue(false)
  socket.answer = (m) => (m.at === 10 ? -90 : 1)
  for (let i = 0; i < 3; i++) q.push(i * 10, 10, 0, 0)
  q.flush()
  expect(socket.messages.map((m) => m.at)).toEqual([0, 20])
  expect(told.failed).toEqual([[1, 90]])
})

test('DF changes between messages: what is queued leaves with what it was queued under', () => {
  const { socket, q } = queue(true)
  q.useDf(false)
  q.push(0, 100, 0, 0)
  q.useDf(true)
  q.push(100, 100, 0, 0)
  q.useDf(true)
  q.push(200, 100, 0, 0)
  q.useDf(false)
  q.flush()
  expect(socket.df).toEqual([
    [true, 1],
    [false, 2],
  ])
  expect(socket.messages.map((m) => m.length)).toEqual([100, 200])
})
