import { plainSlab, SCRATCH_LEN, type Slab } from '../../src/bytes/slab.js'
import { selectEngines } from '../../src/crypto/select.js'
import type { CryptoEngine } from '../../src/crypto/types.js'
import { nativeCalls } from '../../src/ffi/koffi.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { DROP_NAMES } from '../../src/ipsec/drop.js'
import { Inbound } from '../../src/ipsec/inbound.js'
import { Outbound } from '../../src/ipsec/outbound.js'
import { createInboundSa, createOutboundSa, type InboundSa, type OutboundSa } from '../../src/ipsec/sa.js'
import { Sad } from '../../src/ipsec/sad.js'
import { Spd } from '../../src/ipsec/spd.js'
import { DEFAULT_HANDLING, type PacketHandling, type SaSpec } from '../../src/sadb/sa-spec.js'
import type { TrafficSelector } from '../../src/wire/traffic-selector.js'
import type { IpFacts } from '../reference/ip-packet-twin.js'
import { nodeCryptoEngine } from '../reference/node-crypto-engine.js'
import { anyV4, anyV6, ip, mirrored, SUITES, saSpec, ts } from '../unit/ipsec/fixtures.js'
import type { Random } from './random.js'
import { must } from './trace.js'

// Both ends of an SA over one slab. The sender works with node:crypto, the receiver with each of this machine's engines.

export const PACKET_MAX = 9_000
const GUARD = 64
const HEAD = 128
/** Where the receiver finds packets. */
export const IN = SCRATCH_LEN + GUARD + HEAD
const REBUILD = IN + PACKET_MAX + 512 + GUARD
const REBUILD_LEN = 2 * PACKET_MAX
/** Where the sender seals. */
export const OUT_SOURCE = REBUILD + REBUILD_LEN + 256
export const OUT_TARGET = OUT_SOURCE + PACKET_MAX + 512
const SLAB_LEN = OUT_TARGET + PACKET_MAX + 1_024
const FILLING = 0x5a

export const V4 = { local: ip('192.0.2.1'), remote: ip('192.0.2.2') }
export const V6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }
const V4_PORTS = (s: TrafficSelector): TrafficSelector => ({ ...s, startPort: 1_000, endPort: 2_000 })
const SELECTORS: readonly (readonly [TrafficSelector[], TrafficSelector[]])[] = [
  [
    [anyV4, anyV6],
    [anyV4, anyV6],
  ],
  [
    [ts('10.88.1.0/24'), ts('fd00:1::/64')],
    [ts('10.88.2.0/24'), ts('fd00:2::/64')],
  ],
  [
    [ts('10.88.1.0/24', 6), ts('fd00:1::/64', 17)],
    [ts('10.88.2.0/24', 6), ts('fd00:2::/64', 17)],
  ],
  [
    [V4_PORTS(ts('10.88.1.0/24', 17)), V4_PORTS(ts('fd00:1::/64', 6))],
    [V4_PORTS(ts('10.88.2.0/24', 17)), V4_PORTS(ts('fd00:2::/64', 6))],
  ],
]
const SUITE_NAMES = Object.keys(SUITES)

export interface Link {
  readonly spec: SaSpec
  readonly out: OutboundSa
  readonly in: InboundSa
  readonly outbound: Outbound
  readonly inbound: Inbound
  close(): void
}

export class IpsecWorld {
  readonly slab: Slab
  private readonly sender = [nodeCryptoEngine()]
  private readonly receivers: readonly (readonly CryptoEngine[])[]

  constructor() {
    this.slab = nativeCalls().available ? nativeSlab(SLAB_LEN) : plainSlab(SLAB_LEN)
    const { engines } = selectEngines('auto', this.slab)
    this.receivers = engines.map((_, i) => engines.slice(i))
  }

  /** SAs of one case, with nothing in common with those of another. @param narrow selectors other than "any" too */
  link(random: Random, narrow: boolean, handling: Partial<PacketHandling> = {}): Link {
    const outer = random.oneIn(2) ? V4 : V6
    const suite = random.pick(SUITE_NAMES)
    const udp = SUITES[suite]!.protocol === 'esp' && random.oneIn(3)
    const [localTs, remoteTs] = narrow ? random.pick(SELECTORS) : SELECTORS[0]!
    const spec = saSpec(suite, {
      ...outer,
      mode: random.oneIn(2) ? 'tunnel' : 'transport',
      esn: random.oneIn(2),
      localTs,
      remoteTs,
      ...(udp && { udp: { localPort: 4500, remotePort: 4500 } }),
    })
    const { slab } = this
    const sadOut = new Sad()
    const sadIn = new Sad()
    const spd = new Spd()
    const settings = { nowMs: 0, handling: { ...DEFAULT_HANDLING, ...handling } }
    const out = createOutboundSa(spec, this.sender, slab, settings)
    const inbound = createInboundSa(mirrored(spec), random.pick(this.receivers), slab, settings)
    sadOut.addOutbound(out)
    sadIn.addInbound(inbound)
    const { mode, protocol } = spec
    spd.add({
      id: 1,
      peer: 'b',
      child: 'c',
      mode,
      protocol,
      localTs: [anyV4, anyV6],
      remoteTs: [anyV4, anyV6],
    })
    return {
      spec,
      out,
      in: inbound,
      outbound: new Outbound(slab, spd, sadOut),
      inbound: new Inbound(slab, sadIn, { at: REBUILD, length: REBUILD_LEN }),
      close() {
        sadOut.clear()
        sadIn.clear()
      },
    }
  }

  /** Puts an outer packet where the receiver finds it. */
  put(packet: Uint8Array): void {
    const b = this.slab.bytes
    b.fill(FILLING, IN - HEAD, IN)
    b.fill(FILLING, IN + packet.length, IN + packet.length + GUARD)
    b.fill(FILLING, REBUILD - GUARD, REBUILD)
    b.fill(FILLING, REBUILD + REBUILD_LEN, REBUILD + REBUILD_LEN + GUARD)
    b.set(packet, IN)
  }

  copy(at: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.slab.bytes.subarray(at, at + length))
  }

  /** @param length octets of the outer packet that was put @param head octets in front of it that may be written */
  checkGuards(length: number, head: number): void {
    const b = this.slab.bytes
    const untouched = (from: number, to: number): void => {
      for (let i = from; i < to; i++)
        must(b[i] === FILLING, `octet ${i - IN} is written, the packet has ${length}`)
    }
    untouched(IN - HEAD, IN - head)
    untouched(IN + length, IN + length + GUARD)
    untouched(REBUILD - GUARD, REBUILD)
    untouched(REBUILD + REBUILD_LEN, REBUILD + REBUILD_LEN + GUARD)
  }

  /** An accepted packet lies inside of what it came in, or in the rebuild area. */
  checkPlace(at: number, n: number, length: number): void {
    const inside = at >= IN - HEAD && at + n <= IN + length
    const rebuilt = at >= REBUILD && at + n <= REBUILD + REBUILD_LEN
    must(
      inside || rebuilt,
      `the inner packet lies at ${at - IN} with ${n} octets, the outer one has ${length}`,
    )
  }
}

/** How a packet comes to the receiver. */
export type Way = 'whole' | 'udp' | 'payload'

/** @param protectedAt where ESP or AH begins in the outer packet */
export function waysOf(link: Link): readonly Way[] {
  if (link.spec.protocol === 'ah') return link.spec.local.length === 16 ? ['whole', 'payload'] : ['whole']
  return link.spec.local.length === 16 ? ['whole', 'udp', 'payload'] : ['whole', 'udp']
}

/** What of a whole outer packet the receiver's socket gives. */
export const seenBy = (way: Way, outer: Uint8Array, protectedAt: number): Uint8Array =>
  way === 'whole' ? outer : outer.subarray(protectedAt)

export function receive(world: IpsecWorld, link: Link, way: Way, packet: Uint8Array): number {
  const { inbound, spec } = link
  world.put(packet)
  inbound.rewind()
  const n =
    way === 'udp'
      ? inbound.openUdp(IN, packet.length, 0)
      : way === 'payload'
        ? inbound.openIpv6Payload(IN, packet.length, spec.protocol === 'esp' ? 50 : 51, 0, spec.local, 0)
        : spec.local.length === 4
          ? inbound.openIpv4(IN, packet.length)
          : inbound.openIpv6(IN, packet.length)
  world.checkGuards(packet.length, way === 'payload' ? 40 : 0)
  if (n >= 0) world.checkPlace(inbound.at, n, packet.length)
  else must(DROP_NAMES[-n] !== undefined && n < 0, `an unknown verdict ${n}`)
  return n
}

/** Whether the packet's ends belong to the selectors: the receiver's own, seen from there. */
export function selected(facts: IpFacts, spec: SaSpec): boolean {
  const one = (list: readonly TrafficSelector[], address: string, port: IpFacts['sourcePort']): boolean =>
    list.some((s) => {
      const a = address.split('.').map(Number)
      const inside = s.start.length === a.length && !before(a, [...s.start]) && !before([...s.end], a)
      const anyPort = s.startPort === 0 && s.endPort === 0xffff
      const portFits =
        port === 'any' || (port === 'none' ? anyPort : port >= s.startPort && port <= s.endPort)
      return inside && portFits && (s.protocol === 0 || s.protocol === facts.protocol)
    })
  return (
    one(spec.localTs, facts.source, facts.sourcePort) &&
    one(spec.remoteTs, facts.destination, facts.destinationPort)
  )
}

function before(a: readonly number[], b: readonly number[]): boolean {
  const i = a.findIndex((v, k) => v !== b[k])
  return i >= 0 && a[i]! < b[i]!
}

/** An IP packet without what a gateway may change: TOS and IPv4 checksum. */
export function withoutTos(packet: Uint8Array): string {
  const p = Buffer.from(packet)
  if (p[0]! >>> 4 === 4) {
    p[1] = 0
    p[10] = p[11] = 0
  } else {
    p[0] = 0x60
    p[1] = p[1]! & 0x0f
  }
  return p.toString('hex')
}
