import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { GatewayConfig } from '../../src/daemon/config/config.js'
import { failClosedTable, SELECTOR_PAIRS_MAX } from '../../src/daemon/fail-closed.js'
import { BATCH_OCTETS_MAX } from '../../src/net/netlink.js'
import { tableOctets } from '../../src/net/nftables.js'
import type { TrafficSelector } from '../../src/wire/traffic-selector.js'
import { ip, networkConfig } from '../lab/network-config.js'
import { type FilteredPacket, verdictOf } from '../reference/nft-table.js'

// A world of eight addresses a family, few protocols and few ports, so that selectors overlap in every way.

const PROTOCOLS = [0, 1, 6, 17, 50] as const
const HOOKS = ['input', 'forward', 'output', 'postrouting'] as const
type Family = 4 | 6

const address = (family: Family, low: number): Uint8Array =>
  ip(family === 4 ? `10.0.0.${low}` : `fd00::${low}`)
const range = (max: number) =>
  fc.tuple(fc.nat(max), fc.nat(max)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
const ports = fc.oneof(fc.constant([0, 0xffff] as const), range(4))

const selector = (family: Family, protocol: number): fc.Arbitrary<TrafficSelector> =>
  fc.tuple(range(7), ports).map(([[start, end], [first, last]]) => ({
    start: address(family, start),
    end: address(family, end),
    protocol,
    startPort: protocol === 0 ? 0 : first,
    endPort: protocol === 0 ? 0xffff : last,
  }))

/** Of one family and one protocol, which one side may leave open. */
const child = fc
  .tuple(fc.constantFrom<Family>(4, 6), fc.constantFrom(...PROTOCOLS), fc.boolean())
  .chain(([family, protocol, open]) =>
    fc.record({
      localTs: fc.array(selector(family, open ? 0 : protocol), { minLength: 1, maxLength: 3 }),
      remoteTs: fc.array(selector(family, protocol), { minLength: 1, maxLength: 3 }),
    }),
  )

const config = fc
  .tuple(fc.array(child, { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([children, transparent]): GatewayConfig => {
    const [local, remote] = transparent ? ['10.0.0.1', '10.0.0.2'] : ['192.0.2.1', '192.0.2.2']
    const base = networkConfig({
      state: '/nowhere',
      peers: [
        {
          local,
          remote,
          children: children.map(() => ({ local: ['10.0.0.0/32'], remote: ['10.0.0.0/32'] })),
        },
      ],
    })
    return { ...base, policies: base.policies.map((p, i) => ({ ...p, ...children[i]! })) }
  })

const packet = fc
  .record({
    family: fc.constantFrom<Family>(4, 6),
    source: fc.nat(8),
    destination: fc.nat(8),
    protocol: fc.constantFrom(1, 6, 17, 47, 50),
    transport: fc.oneof(
      fc.constant(new Uint8Array(0)),
      fc
        .tuple(fc.nat(5), fc.constantFrom(0, 1, 2, 3, 4, 500 % 256))
        .map(([a, b]) => Uint8Array.of(0, a, 0, b)),
    ),
    input: fc.constantFrom('u0', 'sally0', 'lo', ''),
    output: fc.constantFrom('u0', 'sally0', 'lo', ''),
    mark: fc.constantFrom(0, 0x5a11),
  })
  .map(({ family, source, destination, protocol, transport, input, output, mark }): FilteredPacket => {
    const network = new Uint8Array(family === 4 ? 20 : 40)
    network[0] = family << 4
    network.set(address(family, source), family === 4 ? 12 : 8)
    network.set(address(family, destination), family === 4 ? 16 : 24)
    return { inputDevice: input, outputDevice: output, mark, network, transport, protocol }
  })

const u16 = (b: Uint8Array, at: number): number | undefined =>
  at + 2 > b.length ? undefined : (b[at]! << 8) | b[at + 1]!
const within = (x: Uint8Array, ts: TrafficSelector): boolean =>
  Buffer.compare(x, ts.start) >= 0 && Buffer.compare(x, ts.end) <= 0

/** The same in a few words, without any table. */
function expected(c: GatewayConfig, hook: (typeof HOOKS)[number], p: FilteredPacket): 'accept' | 'drop' {
  const [at, length] = p.network[0]! >> 4 === 4 ? [12, 4] : [8, 16]
  const source = p.network.subarray(at, at + length)
  const destination = p.network.subarray(at + length, at + 2 * length)
  const port = (ts: TrafficSelector, offset: number): boolean => {
    if (ts.startPort === 0 && ts.endPort === 0xffff) return true
    const value = u16(p.transport, ts.protocol === 1 ? 0 : offset)
    return value !== undefined && ts.startPort <= value && value <= ts.endPort
  }
  const matches = (from: TrafficSelector, to: TrafficSelector, anySource = false): boolean => {
    if (from.start.length !== length || to.start.length !== length) return false
    if (!(anySource || within(source, from)) || !within(destination, to)) return false
    const protocol = from.protocol || to.protocol
    if (protocol === 0) return true
    return protocol === p.protocol && port({ ...from, protocol }, 0) && port({ ...to, protocol }, 2)
  }
  const inbound = hook === 'input' || hook === 'forward'
  const device = inbound ? p.inputDevice : p.outputDevice
  if (device === 'sally0' || (device === 'lo' && hook !== 'forward')) return 'accept'
  const exposed = c.peers.filter((peer) =>
    c.policies.some((x) =>
      x.remoteTs.some((ts) => ts.start.length === peer.remote.length && within(peer.remote, ts)),
    ),
  )
  if (exposed.length > 0 && !inbound && p.mark === c.dataplane.fwmark) return 'accept'
  const ofPeer = exposed.some(
    (x) => Buffer.compare(x.remote, source) === 0 && Buffer.compare(x.local, destination) === 0,
  )
  if (hook === 'input' && ofPeer) {
    if (p.protocol === 50 || p.protocol === 51) return 'accept'
    if (p.protocol === 17 && [500, 4500].includes(u16(p.transport, 2) ?? 0)) return 'accept'
  }
  const dropped = c.policies.some((x) =>
    x.localTs.some((local) =>
      x.remoteTs.some((remote) =>
        inbound ? matches(remote, local) : matches(local, remote, hook === 'output'),
      ),
    ),
  )
  return dropped ? 'drop' : 'accept'
}

describe('the packet filter', () => {
  test('drops what a policy protects and nothing else', () => {
    const seen = { accept: 0, drop: 0 }
    fc.assert(
      fc.property(config, fc.array(packet, { minLength: 25, maxLength: 25 }), (c, packets) => {
        const table = failClosedTable(c)
        for (const p of packets)
          for (const hook of HOOKS) {
            const verdict = expected(c, hook, p)
            expect(verdictOf(table, hook, p)).toBe(verdict)
            seen[verdict]++
          }
      }),
      { numRuns: 60 },
    )
    // Both happen often enough for the comparison to mean something.
    expect(Math.min(seen.accept, seen.drop)).toBeGreaterThan(250)
  })

  test('the most that a configuration may have fits into one batch', () => {
    const name = 'n'.repeat(64)
    const selectors = (prefix: string): TrafficSelector[] =>
      Array.from({ length: 2 }, (_, i) => ({
        ...{ start: ip(`${prefix}::${i + 1}`), end: ip(`${prefix}::${i + 1}:0`) },
        ...{ protocol: 6, startPort: 1, endPort: 2 + i },
      }))
    // Tables grow in step with what they have rules and elements for: a part of 1024 tells of all.
    const part = 16
    const base = networkConfig({
      state: '/nowhere',
      tun: 'n'.repeat(15),
      peers: Array.from({ length: part }, (_, i) => ({
        local: 'fd02::1',
        remote: `fd02:0:0:${i + 1}::1`,
        children: [{ local: ['fd02::1/128'], remote: ['fd02::/32'] }],
      })),
    })
    const policies = base.policies.map((p, i) => ({
      ...p,
      ...{ peer: name, child: name, localTs: selectors(`fd00:1:${i}`), remoteTs: selectors(`fd02:0:0:${i}`) },
    }))
    expect(policies.length * 4 * (1024 / part)).toBe(SELECTOR_PAIRS_MAX)
    const c = { ...base, peers: base.peers.map((p) => ({ ...p, name })), policies }
    expect(tableOctets(failClosedTable(c)) * (1024 / part)).toBeLessThan(BATCH_OCTETS_MAX)
  })
})
