import { expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { Counters } from '../../../src/dataplane/counters.js'
import { HandOver } from '../../../src/dataplane/hand-over.js'
import { planLane } from '../../../src/dataplane/lane-memory.js'
import { LaneSas } from '../../../src/dataplane/lane-sas.js'
import type { LaneSocket } from '../../../src/dataplane/lane-socket.js'
import type { FromLane, SocketSpec } from '../../../src/dataplane/messages.js'
import { PathFit } from '../../../src/dataplane/path-fit.js'
import { TunOffloads } from '../../../src/dataplane/tun-offloads.js'
import { TxQueue } from '../../../src/dataplane/tx-queue.js'
import { UnservedPolicies } from '../../../src/dataplane/unserved-policies.js'
import { WayOut } from '../../../src/dataplane/way-out.js'
import { Outbound } from '../../../src/ipsec/outbound.js'
import { Sad } from '../../../src/ipsec/sad.js'
import { Spd } from '../../../src/ipsec/spd.js'
import type { NativePacketSocket } from '../../../src/net/packet-socket.js'
import type { TxBatch } from '../../../src/net/types.js'
import { DEFAULT_HANDLING, type PacketHandling, type SaSpec } from '../../../src/sadb/sa-spec.js'
import { anyV4, engines, ip, saSpec, udpPacket } from '../ipsec/fixtures.js'

const POLICY = 1
const UDP = { localPort: 4500, remotePort: 4500 }
/** A new object each time: an SA's keys are wiped when it is made. */
const spec = (change: Partial<SaSpec> = {}): SaSpec => {
  const s = saSpec('aes128gcm16', { policy: POLICY, udp: UDP, ...change })
  return { ...s, encryption: { ...s.encryption!, key: s.encryption!.key.slice() } }
}

/** A lane without threads, devices and inbound side. Its one socket, of UDP, knows `room` destinations. */
function scene(handling: Partial<PacketHandling> = {}, room = 2) {
  const local = ip('192.0.2.1')
  const udp: SocketSpec = {
    ...{ fd: -1, kind: 'udp', family: 4, protocol: 17, gro: false, gso: false, linkFd: -1, local },
  }
  const memory = planLane([])
  const slab = plainSlab(memory.length)
  const counters = new Counters()
  const told: FromLane[] = []
  const post = (m: FromLane) => told.push(m)
  const [sad, spd] = [new Sad(), new Spd()]

  const sent: { length: number; to: string }[] = []
  const destinations: string[] = []
  const socket = {
    ...{ fd: -1, family: 4, kind: 'udp', dontFragment: () => undefined, takeDirect: () => 0 },
    send(tx: TxBatch, from: number, count: number): number {
      for (let i = from; i < from + count; i++)
        sent.push({ length: tx.length[i]!, to: destinations[tx.destination[i]!]! })
      return count
    },
    destination(address: Uint8Array, port: number): number {
      const name = `${address.join('.')}:${port}`
      const at = destinations.indexOf(name)
      if (at >= 0) return at
      return destinations.length < room ? destinations.push(name) - 1 : -1
    },
  } as unknown as NativePacketSocket
  const listener = { sending: () => {}, sent: () => {}, failed: () => {}, gsoRefused: () => {} }
  const sockets = [
    { spec: udp, socket, queue: new TxQueue(socket, false, listener) },
  ] as unknown as LaneSocket[]

  const fit = new PathFit(slab, sad, post)
  const unserved = new UnservedPolicies(slab, memory, counters, new HandOver(slab, counters, []), post)
  const wayOut = new WayOut(slab, memory, counters, {
    ...{ outbound: new Outbound(slab, spd, sad), sockets, unserved, burst: undefined, tell: () => {} },
    offloads: new TunOffloads(-1, 0, post),
  })
  const burst = undefined
  const sas = new LaneSas(slab, counters, { sad, spd, engines, burst, sockets, fit, wayOut, post })
  spd.add({
    ...{ id: POLICY, peer: 'b', child: 'c', mode: 'tunnel', protocol: 'esp' },
    ...{ localTs: [anyV4], remoteTs: [anyV4], handling: { ...DEFAULT_HANDLING, ...handling } },
  })
  /** A packet comes from the device. */
  const come = (payload: number): void => {
    const packet = udpPacket('10.1.0.1', '10.2.0.1', payload, {})
    slab.bytes.set(packet, memory.tunPacket)
    wayOut.protect(memory.tunPacket, packet.length, 0)
    wayOut.flush()
  }
  return { sas, sad, fit, wayOut, told, sent, come }
}

test('what has waited for an SA leaves by it, in order', () => {
  const { sas, told, sent, come } = scene()
  for (const payload of [300, 100, 200]) come(payload)
  expect(told).toEqual([{ op: 'acquire', policy: POLICY }])
  expect(sent).toEqual([])
  sas.add(spec(), 0, 0)
  come(40)
  const lengths = sent.map(({ length }) => length)
  expect(lengths.map((length) => length - lengths[3]!)).toEqual([260, 60, 160, 0])
  expect(new Set(sent.map(({ to }) => to))).toEqual(new Set(['192.0.2.2:4500']))
})

test('keys are wiped, of an SA that was made and of one that was refused', () => {
  const { sas, sad, told } = scene()
  const made = spec({ direction: 'inbound' })
  const refused = spec({ local: ip('192.0.2.9') })
  const impossible = spec({ spi: 7 })
  for (const s of [made, refused, impossible]) {
    sas.add(s, 0, 0)
    expect(s.encryption!.key).toEqual(new Uint8Array(20))
  }
  expect([...sad]).toHaveLength(1)
  const key = { direction: 'outbound', protocol: 'esp', policy: POLICY }
  expect(told).toEqual([
    { op: 'refused', key: { ...key, spi: 0x0bad_cafe }, reason: 'no socket is bound to its local address' },
    { op: 'refused', key: { ...key, spi: 7 }, reason: expect.stringContaining('it must be from 256') },
  ])
})

test('a renewed SA takes over the route, and a deleted one leaves none', () => {
  const { sas, sad, wayOut } = scene()
  sas.add(spec(), 0, 0)
  sas.add(spec({ spi: 0x1000 }), 1, 0)
  expect([...wayOut.routes.keys()]).toEqual([sad.outbound(POLICY)])
  // The one before is deleted when the renewed one is there.
  sas.delete({ direction: 'outbound', protocol: 'esp', spi: 0x0bad_cafe, policy: POLICY })
  expect(wayOut.routes.size).toBe(1)
  sas.delete({ direction: 'outbound', protocol: 'esp', spi: 0x1000, policy: POLICY })
  expect(wayOut.routes.size).toBe(0)
})

test('an SA in UDP sends elsewhere when it is told to, as long as the socket has a place for that', () => {
  const { sas, sent, come } = scene()
  const key = { direction: 'outbound', protocol: 'esp', spi: 0x0bad_cafe, policy: POLICY } as const
  sas.add(spec(), 0, 0)
  come(10)
  sas.redirect({ ...key, spi: 0x1000 }, ip('203.0.113.7'), 61_000)
  come(10)
  sas.redirect(key, ip('203.0.113.7'), 61_000)
  come(10)
  sas.redirect(key, ip('203.0.113.8'), 61_000)
  come(10)
  const moved = '203.0.113.7:61000'
  expect(sent.map(({ to }) => to)).toEqual(['192.0.2.2:4500', '192.0.2.2:4500', moved, moved])
})

test('a full table of destinations refuses the SA', () => {
  const { sas, sad, told } = scene({}, 0)
  sas.add(spec(), 0, 0)
  expect(told).toEqual([expect.objectContaining({ op: 'refused', reason: 'too many destinations' })])
  expect([...sad]).toEqual([])
})

test('the end of a lifetime is told', () => {
  const { sas, told } = scene()
  sas.add(spec({ lifetime: { softSeconds: 10 } }), 0, 0)
  sas.expire(9_000)
  expect(told).toEqual([])
  sas.expire(11_000)
  sas.expire(12_000)
  expect(told).toEqual([expect.objectContaining({ op: 'expire' })])
})

test('what has waited is padded to the size that every later packet has', () => {
  const { sas, fit, sent, come } = scene({ tfc: 'mtu' })
  fit.mtus(1400, [])
  come(100)
  come(700)
  sas.add(spec(), 0, 0)
  come(40)
  expect(sent).toHaveLength(3)
  expect(new Set(sent.map(({ length }) => length)).size).toBe(1)
})
