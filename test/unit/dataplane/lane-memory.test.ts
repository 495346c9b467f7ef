import { expect, test } from 'vitest'
import { SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { coalescerHeaderRoom } from '../../../src/dataplane/coalescing.js'
import { HEAD_ROOM, planLane, TUN_PACKET_MAX } from '../../../src/dataplane/lane-memory.js'
import type { SocketSpec } from '../../../src/dataplane/messages.js'
import { OVERSIZE_ROOM } from '../../../src/dataplane/oversize.js'
import { pendingRoom } from '../../../src/dataplane/pending.js'
import { SEGMENT_HEADER_MAX } from '../../../src/dataplane/segmentation.js'
import { IPV6_PAYLOAD_HEAD_ROOM } from '../../../src/ipsec/inbound.js'
import { FRAGMENT_HEADER_ROOM } from '../../../src/ipsec/ipv4-fragmenter.js'
import { REASSEMBLY_ROOM } from '../../../src/ipsec/reassembler.js'
import { VNET_HDR_LEN } from '../../../src/wire/virtio-net-hdr.js'
import { ip } from '../ipsec/fixtures.js'

const socket = (protocol: number, family: 4 | 6 = 4): SocketSpec => ({
  ...{ fd: -1, kind: protocol === 17 ? 'udp' : 'raw', family, protocol, gro: false, gso: false, linkFd: -1 },
  local: ip('192.0.2.1'),
})
const SOCKETS = [socket(17), socket(50), socket(51), socket(1), socket(58, 6)]
const ESP_TRAILER_ROOM = 64

test('no area reaches into another one, and all of them into the slab', () => {
  const m = planLane(SOCKETS)
  const areas: [from: number, octets: number][] = [
    [m.segmentHeaders, SEGMENT_HEADER_MAX],
    [m.joinHeaders, coalescerHeaderRoom],
    [m.tunPacket - HEAD_ROOM, HEAD_ROOM + TUN_PACKET_MAX + ESP_TRAILER_ROOM],
    [m.oversize, OVERSIZE_ROOM],
    [m.fragmentHeader, FRAGMENT_HEADER_ROOM],
    [m.outerFragmentHeader, FRAGMENT_HEADER_ROOM],
    [m.reassembly, REASSEMBLY_ROOM],
    [m.pending, pendingRoom + ESP_TRAILER_ROOM],
    // The last packet before they are sent: sealed, and once more in fragments, each with its headers.
    [m.out.at, m.out.full - m.out.at + 65_575 + 65_575 * 1.1],
    [m.rebuild.at, m.rebuild.length],
    ...m.slots.flatMap(({ count, at, room, stride }) =>
      Array.from({ length: count }, (_, i): [number, number] => [
        at + i * stride - HEAD_ROOM,
        HEAD_ROOM + room,
      ]),
    ),
  ]
  areas.sort(([a], [b]) => a - b)
  let end = SCRATCH_LEN
  for (const [from, octets] of areas) {
    expect(from).toBeGreaterThanOrEqual(end)
    end = from + octets
  }
  expect(end).toBeLessThanOrEqual(SCRATCH_LEN + m.length)
})

test('packets begin on a cache line, with room in front for the headers that are made for them', () => {
  const m = planLane(SOCKETS)
  for (const at of [m.tunPacket, m.out.at, ...m.slots.map((s) => s.at)]) expect(at % 64).toBe(0)
  for (const { stride } of m.slots) expect(stride % 64).toBe(0)
  expect(HEAD_ROOM).toBeGreaterThanOrEqual(IPV6_PAYLOAD_HEAD_ROOM + VNET_HDR_LEN)
})

test('slots for a whole batch of the largest datagrams, and few small ones for ICMP', () => {
  const { slots } = planLane(SOCKETS)
  expect(slots.map(({ count, room }) => [count, room])).toEqual([
    [64, 65_536],
    [64, 65_536],
    [64, 65_536],
    [8, 2_048],
    [8, 2_048],
  ])
  expect(planLane([]).length).toBeLessThan(planLane([socket(17)]).length - 64 * 65_536)
})
