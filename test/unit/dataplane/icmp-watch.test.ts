import { expect, test } from 'vitest'
import { onesComplementSum } from '../../../src/bytes/checksum.js'
import { Counters } from '../../../src/dataplane/counters.js'
import { IcmpWatch } from '../../../src/dataplane/icmp-watch.js'
import type { FromLane } from '../../../src/dataplane/messages.js'
import { PathFit } from '../../../src/dataplane/path-fit.js'
import { DROP } from '../../../src/ipsec/drop.js'
import { ip, pair, put, saSpec, tooBig, udpPacket } from '../ipsec/fixtures.js'

const SRC = 2_000
const DST = 10_000
const AT = 40_000
const [ICMP, ICMPV6] = [1, 58]

/** @param change of the SA whose packets are sent @param first of the lanes */
function scene(change: Parameters<typeof saSpec>[1] = {}, first = true) {
  const p = pair(saSpec('aes128gcm16', change))
  const told: FromLane[] = []
  const post = (m: FromLane) => told.push(m)
  const counters = new Counters()
  const watch = new IcmpWatch(p.slab, counters, new PathFit(p.slab, p.sad, post), first, post)
  const inner = udpPacket('10.1.0.1', '10.2.0.1', 500, {})
  put(p.slab, SRC, inner)
  const n = p.outbound.seal(p.out, SRC, inner.length, DST)
  const sent = Buffer.from(p.slab.bytes.slice(DST, DST + n))
  const hear = (message: Uint8Array): void => {
    put(p.slab, AT, message)
    watch.heard(sent[0]! >>> 4 === 4 ? ICMP : ICMPV6, 0, AT, message.length)
  }
  return { ...p, told, watch, sent, hear, ignored: () => counters.drops(-DROP.ICMP_IGNORED) }
}

/** "Port unreachable" about a packet that was sent. */
function closed(sent: Uint8Array): Buffer {
  const v6 = sent[0]! >>> 4 === 6
  const message = tooBig(sent, 0)
  if (v6) {
    message.set([1, 4])
    return message
  }
  message.set(sent.subarray(12, 16), 16)
  message.set([3, 3, 0, 0], 20)
  message.writeUInt16BE(~onesComplementSum(message, 20, message.length - 20, 0) & 0xffff, 22)
  return message
}

const V6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }

test.each([
  ['ICMP', {}],
  ['ICMPv6', V6],
])('%s: the path is heeded, a peer that cannot be reached is told of', (_, change) => {
  const { told, out, sent, hear, ignored } = scene(change)
  hear(tooBig(sent, 1400))
  expect(out.pathMtu).toBe(1400)
  hear(closed(sent))
  expect(told).toEqual([
    expect.objectContaining({ op: 'pathMtu' }),
    {
      ...{ op: 'unreachable', remote: out.info.remote, protocol: 50, port: 0 },
      reason: 'port',
    },
  ])
  expect(ignored()).toBe(0)
})

test('one lane tells of peers and counts what is of no use; every lane heeds its paths', () => {
  const { told, out, sent, hear, ignored } = scene({}, false)
  hear(closed(sent))
  hear(tooBig(sent, 100))
  expect(told).toEqual([])
  expect(ignored()).toBe(0)
  hear(tooBig(sent, 1400))
  expect(out.pathMtu).toBe(1400)

  const first = scene()
  first.hear(tooBig(first.sent, 100))
  expect(first.ignored()).toBe(1)
})

test('somebody who sends many is listened to now and then', () => {
  const { told, watch, out, sent, hear, ignored } = scene()
  for (let i = 0; i < 64; i++) hear(closed(sent))
  expect(told).toHaveLength(4)
  expect(ignored()).toBe(0)
  hear(tooBig(sent, 1400))
  expect(ignored()).toBe(1)
  expect(out.pathMtu).toBeGreaterThan(1400)
  watch.refill()
  hear(closed(sent))
  hear(tooBig(sent, 1400))
  expect(told).toHaveLength(6)
  expect(out.pathMtu).toBe(1400)
})
