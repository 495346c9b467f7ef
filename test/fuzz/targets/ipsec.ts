import { sealAh } from '../../../src/ipsec/ah.js'
import { ACQUIRE, DROP, DROP_NAMES } from '../../../src/ipsec/drop.js'
import { ahHeaderLength } from '../../../src/wire/ah.js'
import { formatIp } from '../../../src/wire/ip-address.js'
import { ipFacts } from '../../reference/ip-packet-twin.js'
import { ip, udpPacket } from '../../unit/ipsec/fixtures.js'
import {
  IpsecWorld,
  type Link,
  OUT_SOURCE,
  OUT_TARGET,
  PACKET_MAX,
  receive,
  seenBy,
  selected,
  V4,
  V6,
  waysOf,
  withoutTos,
} from '../ipsec-world.js'
import { ipPacket, type PacketEnds } from '../mutate/ip-packets.js'
import { mutateOctets } from '../mutate/octets.js'
import type { Random } from '../random.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'

const INNER: readonly PacketEnds[] = [
  { source: ip('10.88.1.1'), destination: ip('10.88.2.1') },
  { source: ip('10.88.1.255'), destination: ip('10.88.2.0') },
  { source: ip('10.88.3.1'), destination: ip('10.88.2.1') },
  { source: ip('10.88.1.1'), destination: ip('10.88.1.1') },
  { source: ip('fd00:1::1'), destination: ip('fd00:2::1') },
  { source: ip('fd00:1::ffff:ffff:ffff:ffff'), destination: ip('fd00:2::') },
  { source: ip('fd00:3::1'), destination: ip('fd00:2::1') },
]
const outerEnds = (v6: boolean): PacketEnds => {
  const { local, remote } = v6 ? V6 : V4
  return { source: local, destination: remote }
}
/** Seals a packet as the sender does; its octets and where protection begins. */
function sealed(world: IpsecWorld, link: Link, inner: Uint8Array): { packet: Uint8Array; at: number } {
  world.slab.bytes.set(inner, OUT_SOURCE)
  const n = link.outbound.seal(link.out, OUT_SOURCE, inner.length, OUT_TARGET)
  must(n > 0, `a sound packet is not sealed: ${DROP_NAMES[-n]}`)
  return { packet: world.copy(OUT_TARGET, n), at: link.outbound.protectedAt - OUT_TARGET }
}

/** Changed on the way. */
export const IPSEC_TAMPERED: Target = {
  name: 'ipsec-tampered',
  about: 'ESP and AH packets changed after sealing: never accepted, and the honest ones behind them are',
  weight: 2,
  prepare() {
    const world = new IpsecWorld()
    return {
      run(random, trace) {
        const link = world.link(random, false)
        const v6 = link.spec.local.length === 16
        const ends = link.out.tunnel ? random.pick(INNER) : outerEnds(v6)
        const inner = udpPacket(formatIp(ends.source), formatIp(ends.destination), random.length(300))
        const first = sealed(world, link, inner)
        const others = [sealed(world, link, inner).packet]
        const way = random.pick(waysOf(link))
        const honest = seenBy(way, first.packet, first.at)
        const want = what(inner, link)
        // The sequence numbers of authentic packets: whole other ones may come about.
        const used = new Set<number>()
        for (let i = 1 + random.below(6); i > 0; i--) {
          const hostile = tampered(random, honest, others)
          trace.input(hostile)
          const n = receive(world, link, way, hostile)
          trace.outcome(n < 0 ? DROP_NAMES[-n]! : 'accepted')
          if (n < 0 && n !== DROP.ECN_DROP) continue
          if (n >= 0)
            must(what(world.copy(link.inbound.at, n), link) === want, 'a changed packet is accepted')
          const { topLow } = link.in.replay
          const sequence = used.has(topLow) ? 1 : topLow
          must(!used.has(sequence), 'one packet is accepted twice')
          used.add(sequence)
        }
        trace.input(honest)
        const n = receive(world, link, way, honest)
        if (used.has(1)) must(n === DROP.REPLAYED, `${DROP_NAMES[-n]} instead of REPLAYED`)
        else {
          must(n >= 0, `the honest packet is dropped: ${DROP_NAMES[-n]}`)
          must(what(world.copy(link.inbound.at, n), link) === want, 'the honest packet changes')
        }
        must(receive(world, link, way, honest) === DROP.REPLAYED, 'a replay is accepted')
        link.close()
      },
    }
  },
}

/** What protection covers: all of the inner packet in tunnel mode, the upper layer in transport mode. */
function what(inner: Uint8Array, link: Link): string {
  if (link.out.tunnel) return withoutTos(inner)
  const v4 = inner[0]! >>> 4 === 4
  return `${inner[v4 ? 9 : 6]} ${Buffer.from(inner.subarray(v4 ? 20 : 40)).toString('hex')}`
}

function tampered(random: Random, packet: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  const out = Uint8Array.from(packet)
  switch (random.below(4)) {
    case 0:
      out[random.below(out.length)]! ^= 1 << random.below(8)
      return out
    case 1: {
      // A number in the headers: lengths, SPI, sequence number.
      const at = random.below(Math.min(48, out.length))
      out[at] = random.edge(8, out[at])
      return out
    }
    case 2:
      return out.subarray(0, random.below(out.length))
    default:
      return mutateOctets(random, out, others).subarray(0, PACKET_MAX)
  }
}

/** An insider: everything inside is hostile, and authentic. */
export const IPSEC_INSIDER: Target = {
  name: 'ipsec-insider',
  about: 'hostile inner packets, padding and next headers under a valid ICV',
  weight: 2,
  prepare() {
    const world = new IpsecWorld()
    return {
      run(random, trace) {
        const link = world.link(random, true, { mss: random.pick(['off', 'auto', 1_000] as const) })
        for (let n = 1 + random.below(6); n > 0; n--) insider(random, trace, world, link)
        link.close()
      },
    }
  },
}

function insider(random: Random, trace: Trace, world: IpsecWorld, link: Link): void {
  const inner = ipPacket(random, random.pick(INNER))
  const { packet, at, payload, next } = sealedAsTold(random, world, link, inner)
  const way = random.pick(waysOf(link))
  const octets = seenBy(way, packet, at)
  trace.input(octets)
  const n = receive(world, link, way, octets)
  trace.outcome(n < 0 ? DROP_NAMES[-n]! : 'accepted')
  const facts = link.out.tunnel && payload !== undefined ? ipFacts(payload) : undefined
  if (n >= 0) {
    const result = world.copy(link.inbound.at, n)
    const seen = ipFacts(result)
    must(seen?.length === n, 'what comes out is no whole packet')
    must(selected(seen, link.spec), 'a packet outside of the selectors comes out')
    if (facts !== undefined && facts.protocol !== 6)
      must(withoutTos(result) === withoutTos(payload!.subarray(0, n)), 'the packet changes')
  }
  if (link.out.tunnel) {
    const good = facts !== undefined && selected(facts, link.spec) && next === (facts.version === 4 ? 4 : 41)
    must(good === n >= 0, good ? 'a good packet is dropped' : 'a bad packet comes out')
  }
  must(receive(world, link, way, octets) < 0, 'a replay is accepted')
}

interface Told {
  readonly packet: Uint8Array
  /** Where protection begins. */
  readonly at: number
  /** What stands in front of the padding; undefined when that is not as it should be. */
  readonly payload: Uint8Array | undefined
  readonly next: number
}

function sealedAsTold(random: Random, world: IpsecWorld, link: Link, inner: Uint8Array): Told {
  const { out } = link
  const b = world.slab.bytes
  const right = inner[0]! >>> 4 === 6 ? 41 : 4
  const next = random.oneIn(6) ? random.below(256) : out.tunnel ? right : random.pick([6, 17, 1, 58, 44, 0])
  const start = OUT_TARGET + out.outer.length
  if (out.ah !== undefined) {
    const ahOctets = ahHeaderLength(out.ah.icvLength, out.outer.version)
    const total = out.outer.length + ahOctets + inner.length
    b.set(inner, start + ahOctets)
    out.outer.write(OUT_TARGET, ahOctets + inner.length, 0, true, 1)
    sealAh(out, world.slab, OUT_TARGET, out.outer.length, total, next)
    return { packet: world.copy(OUT_TARGET, total), at: out.outer.length, payload: inner, next }
  }
  const t = out.esp!
  out.nextSequence()
  world.slab.view.setUint32(start, out.spi)
  world.slab.view.setUint32(start + 4, out.sequenceLow)
  const place = start + 8 + t.ivLength
  b.set(inner, place)
  const tfc = random.oneIn(4) ? random.below(40) : 0
  b.fill(0, place + inner.length, place + inner.length + tfc)
  const length = inner.length + tfc
  let padding = -(length + 2) & (t.alignment - 1)
  if (random.oneIn(3)) padding += t.alignment * random.below(Math.floor((255 - padding) / t.alignment) + 1)
  const trailer = place + length
  for (let i = 0; i < padding; i++) b[trailer + i] = i + 1
  b[trailer + padding] = padding
  b[trailer + padding + 1] = next
  if (random.oneIn(5)) {
    const lie = trailer + random.below(padding + 1)
    b[lie] = random.edge(8, b[lie])
  }
  const n = length + padding + 2
  // Zeros in front of the padding may be taken for its own, and the other way round.
  const told = b[place + n - 2]!
  const sound =
    told <= n - 2 && Array.from({ length: told }).every((_, i) => b[place + n - 2 - told + i] === i + 1)
  const payload = sound ? world.copy(place, n - 2 - told) : undefined
  t.seal(start, place, n, out.sequenceHigh, out.sequenceLow)
  const esp = 8 + t.ivLength + n + t.icvLength
  out.outer.write(OUT_TARGET, esp, 0, true, 1)
  return { packet: world.copy(OUT_TARGET, out.outer.length + esp), at: out.outer.length, payload, next }
}

/** What the guests send. */
export const IPSEC_OUTBOUND: Target = {
  name: 'ipsec-outbound',
  about: 'hostile packets from the TUN device: they leave protected and whole, or not at all',
  weight: 2,
  prepare() {
    const world = new IpsecWorld()
    return {
      run(random, trace) {
        const link = world.link(random, true, {
          df: random.pick(['copy', 'set', 'clear'] as const),
          tfc: random.pick([0, 300, 'mtu'] as const),
          mss: 'off',
        })
        if (random.oneIn(2)) link.out.fits = 1_400
        for (let n = 1 + random.below(6); n > 0; n--) outbound(random, trace, world, link)
        link.close()
      },
    }
  },
}

function outbound(random: Random, trace: Trace, world: IpsecWorld, link: Link): void {
  const packet = ipPacket(
    random,
    link.out.tunnel || random.oneIn(6) ? random.pick(INNER) : outerEnds(link.spec.local.length === 16),
  )
  trace.input(packet)
  const b = world.slab.bytes
  b.fill(0xa5, OUT_SOURCE + packet.length, OUT_SOURCE + packet.length + 64)
  b.set(packet, OUT_SOURCE)
  const length = link.outbound.lookup(OUT_SOURCE, packet.length)
  if (length < 0) {
    trace.outcome(length === ACQUIRE ? 'acquire' : DROP_NAMES[-length]!)
    return
  }
  must(length <= packet.length, 'a packet longer than what is there')
  const before = world.copy(OUT_SOURCE, packet.length + 64)
  const n = link.outbound.seal(link.out, OUT_SOURCE, length, OUT_TARGET)
  must(Buffer.compare(before, world.copy(OUT_SOURCE, packet.length + 64)) === 0, 'the source is changed')
  trace.outcome(n < 0 ? `seal: ${DROP_NAMES[-n]}` : 'sealed')
  if (n >= 0) arrives(world, link, packet.subarray(0, length), world.copy(OUT_TARGET, n))
}

function arrives(world: IpsecWorld, link: Link, packet: Uint8Array, outer: Uint8Array): void {
  const facts = ipFacts(packet)
  must(facts !== undefined && selected(facts, link.spec), 'a packet outside of the selectors leaves')
  const n = receive(world, link, 'whole', outer)
  if (n < 0) {
    // The receiver finds another protocol number where transport mode hid this one behind headers of its own kind.
    must(!link.out.tunnel, `the peer drops it: ${DROP_NAMES[-n]}`)
    return
  }
  if (!link.out.tunnel) return
  must(withoutTos(world.copy(link.inbound.at, n)) === withoutTos(packet), 'it arrives as another one')
}

export const ipsec: readonly Target[] = [IPSEC_TAMPERED, IPSEC_INSIDER, IPSEC_OUTBOUND]
