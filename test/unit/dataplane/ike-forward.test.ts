import { expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { Counters } from '../../../src/dataplane/counters.js'
import { IkeForward } from '../../../src/dataplane/ike-forward.js'
import type { FromLane, SocketSpec } from '../../../src/dataplane/messages.js'
import { DROP } from '../../../src/ipsec/drop.js'
import type { RxBatch } from '../../../src/net/types.js'
import { IKE_MESSAGE_MAX } from '../../../src/wire/ike/header.js'
import { ip } from '../ipsec/fixtures.js'

const AT = 2_000
const MARKER = 4

function scene() {
  const slab = plainSlab(80_000)
  const counters = new Counters()
  const told: FromLane[] = []
  const forward = new IkeForward(slab, counters, (m) => told.push(m))
  const spec: SocketSpec = {
    ...{ fd: -1, kind: 'udp', family: 4, protocol: 17, gro: false, gso: false, linkFd: -1 },
    local: ip('192.0.2.1'),
  }
  const source = new Uint8Array(32)
  source.set(ip('203.0.113.2'), 16)
  const rx: RxBatch = {
    ...{ size: 2, room: 70_000, at: Int32Array.of(0, AT), length: new Int32Array(2) },
    ...{ segment: new Int32Array(2), tos: new Uint8Array(2), sourcePort: Int32Array.of(1, 61_000), source },
  }
  const take = (octets: number): void => {
    slab.bytes.fill(0, AT, AT + MARKER)
    slab.bytes.fill(7, AT + MARKER, AT + MARKER + octets)
    forward.take({ spec, rx }, 1, AT, MARKER + octets)
  }
  return { slab, told, forward, take, dropped: () => counters.drops(-DROP.IKE_OVERLOAD) }
}

test('the message without its marker, a copy, with the addresses of both ends', () => {
  const { slab, told, take } = scene()
  take(300)
  slab.bytes.fill(0xee)
  expect(told).toEqual([
    {
      ...{ op: 'ike', localPort: 4500, remotePort: 61_000, message: new Uint8Array(300).fill(7) },
      ...{ local: ip('192.0.2.1'), remote: Uint8Array.from(ip('203.0.113.2')) },
    },
  ])
})

test('a flood is dropped and counted beyond what the main thread gets in one span', () => {
  const { told, forward, take, dropped } = scene()
  for (let i = 0; i < 1100; i++) take(28)
  expect([told.length, dropped()]).toEqual([1024, 76])
  forward.refill()
  take(28)
  expect(told).toHaveLength(1025)
})

test('a message larger than any is dropped, and takes nothing from the others', () => {
  const { told, take, dropped } = scene()
  for (let i = 0; i < 300; i++) take(IKE_MESSAGE_MAX + 1)
  take(IKE_MESSAGE_MAX)
  expect([told.length, dropped()]).toEqual([1, 300])
})
