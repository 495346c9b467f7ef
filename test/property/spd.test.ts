import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FlowCache } from '../../src/ipsec/flow-cache.js'
import type { OutboundSa } from '../../src/ipsec/sa.js'
import { Spd } from '../../src/ipsec/spd.js'
import type { PolicySpec } from '../../src/sadb/sa-spec.js'
import { IpPacket } from '../../src/wire/ip-packet.js'
import type { TrafficSelector } from '../../src/wire/traffic-selector.js'
import { findPolicy, type PlainFlow } from '../reference/spd-twin.js'

// Few values, so that ranges and packets meet; the high bit set in some, so that signed arithmetic would show.
const v4 = fc
  .tuple(fc.constantFrom(10, 200, 255), fc.constantFrom(0, 1), fc.constant(0), fc.integer({ min: 0, max: 5 }))
  .map((a) => Uint8Array.from(a))
const v6 = fc
  .tuple(fc.constantFrom(0x20, 0xfd), fc.constantFrom(0, 0xff), fc.integer({ min: 0, max: 5 }))
  .map(([a, b, c]) =>
    Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? a : i === 7 ? b : i === 15 ? c : 0)),
  )
const order = (a: Uint8Array, b: Uint8Array): [Uint8Array, Uint8Array] =>
  Buffer.compare(a, b) <= 0 ? [a, b] : [b, a]
const range = fc.oneof(fc.tuple(v4, v4), fc.tuple(v6, v6)).map(([a, b]) => order(a, b))
const port = fc.constantFrom(0, 1, 22, 80, 0x0800, 65534, 65535)
const ports = fc.oneof(
  fc.constant([0, 65535] as const),
  fc.tuple(port, port).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const),
)
const protocol = fc.constantFrom(0, 1, 6, 17, 47, 58)
const selector: fc.Arbitrary<TrafficSelector> = fc
  .tuple(range, protocol, ports)
  .map(([[start, end], proto, [startPort, endPort]]) => ({ start, end, protocol: proto, startPort, endPort }))
const selectors = fc.array(selector, { minLength: 1, maxLength: 3 })
const policies = fc.array(fc.tuple(selectors, selectors), { maxLength: 6 }).map((list) =>
  list.map(
    ([localTs, remoteTs], id): PolicySpec => ({
      id,
      peer: '',
      child: '',
      mode: 'tunnel',
      protocol: 'esp',
      localTs,
      remoteTs,
    }),
  ),
)

type Fragment = 'no' | 'first' | 'later'
const packet = fc.tuple(
  fc.oneof(fc.tuple(v4, v4), fc.tuple(v6, v6)),
  fc.constantFrom(1, 6, 17, 47, 58),
  port,
  port,
  fc.constantFrom<Fragment>('no', 'first', 'later'),
)

function build([[s, d], proto, sp, dp, fragment]: [
  [Uint8Array, Uint8Array],
  number,
  number,
  number,
  Fragment,
]): {
  octets: Uint8Array
  flow: PlainFlow
} {
  const upper = Buffer.alloc(8)
  upper.writeUInt16BE(sp, 0)
  upper.writeUInt16BE(dp, 2)
  const icmp = proto === 1 || proto === 58
  const hidden = fragment === 'later' || proto === 47
  const flow: PlainFlow = {
    source: s,
    destination: d,
    protocol: proto,
    sourcePort: hidden ? 'opaque' : sp,
    destinationPort: hidden ? 'opaque' : icmp ? 'none' : dp,
  }
  if (s.length === 4) {
    const h = Buffer.alloc(20)
    h[0] = 0x45
    h.writeUInt16BE(28, 2)
    h.writeUInt16BE(fragment === 'first' ? 0x2000 : fragment === 'later' ? 0x2010 : 0, 6)
    h[9] = proto
    h.set(s, 12)
    h.set(d, 16)
    return { octets: Buffer.concat([h, upper]), flow }
  }
  const extension =
    fragment === 'no' ? Buffer.alloc(0) : Buffer.of(proto, 0, 0, fragment === 'first' ? 1 : 0x81, 0, 0, 0, 9)
  const h = Buffer.alloc(40)
  h[0] = 0x60
  h.writeUInt16BE(extension.length + 8, 4)
  h[6] = fragment === 'no' ? proto : 44
  h.set(s, 8)
  h.set(d, 24)
  return { octets: Buffer.concat([h, extension, upper]), flow }
}

test('the SPD and a linear search on plain data agree', () => {
  fc.assert(
    fc.property(policies, fc.array(packet, { minLength: 1, maxLength: 20 }), (list, packets) => {
      const spd = new Spd()
      for (const p of list) spd.add(p)
      const parsed = new IpPacket()
      for (const p of packets) {
        const { octets, flow } = build(p)
        expect(parsed.parse(octets, 0, octets.length)).toBe(true)
        const view = new DataView(octets.buffer, octets.byteOffset, octets.length)
        expect(spd.find(view, parsed)?.id).toBe(findPolicy(list, flow)?.id)
      }
    }),
    { numRuns: 500 },
  )
})

test('the flow cache never answers for another flow', () => {
  fc.assert(
    fc.property(fc.array(packet, { minLength: 2, maxLength: 60 }), (packets) => {
      const cache = new FlowCache()
      const parsed = new IpPacket()
      const names = new Map<string, OutboundSa>()
      for (const p of packets) {
        const { octets, flow } = build(p)
        parsed.parse(octets, 0, octets.length)
        const view = new DataView(octets.buffer, octets.byteOffset, octets.length)
        const name = JSON.stringify([
          [...flow.source],
          [...flow.destination],
          flow.protocol,
          flow.sourcePort,
          flow.destinationPort,
        ])
        const found = cache.find(view, parsed)
        if (found) expect(found).toBe(names.get(name))
        else {
          const sa = { name } as unknown as OutboundSa
          names.set(name, sa)
          cache.remember(sa)
          expect(cache.find(view, parsed)).toBe(sa)
        }
      }
    }),
    { numRuns: 200 },
  )
})
