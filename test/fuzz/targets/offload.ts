import { plainSlab, SCRATCH_LEN, type Slab } from '../../../src/bytes/slab.js'
import { Coalescer, coalescerHeaderRoom, SEGMENTS_MAX } from '../../../src/dataplane/coalescing.js'
import { FRAGMENT, OVERSIZE_ROOM, Oversize } from '../../../src/dataplane/oversize.js'
import { SEGMENT_HEADER_MAX, Segmenter } from '../../../src/dataplane/segmentation.js'
import { DROP } from '../../../src/ipsec/drop.js'
import { Ipv4Fragmenter } from '../../../src/ipsec/ipv4-fragmenter.js'
import { IpPacket } from '../../../src/wire/ip-packet.js'
import { ipFacts } from '../../reference/ip-packet-twin.js'
import { buildPacket, type PacketShape, packetIsSound } from '../../reference/tcp-packets.js'
import { ip } from '../../unit/ipsec/fixtures.js'
import { GuardedSlab } from '../guarded-slab.js'
import { ipPacket } from '../mutate/ip-packets.js'
import { mutateOctets } from '../mutate/octets.js'
import type { Random } from '../random.js'
import type { Target } from '../target.js'
import { must } from '../trace.js'

const ENDS = [
  { source: ip('10.88.1.1'), destination: ip('10.88.2.1') },
  { source: ip('fd00::1'), destination: ip('fd00::2') },
]

/** Packets that come out of the tunnel, of which some belong together. */
function train(random: Random): Uint8Array[] {
  const version = random.oneIn(2) ? 4 : 6
  const protocol = random.oneIn(2) ? 6 : 17
  const size = 1 + random.below(200)
  let seq = random.oneIn(4) ? 0xffff_ff00 : 1000
  const out: Uint8Array[] = []
  for (let i = 0, n = 1 + random.below(12); i < n; i++) {
    const payload = random.octets(random.oneIn(8) ? random.below(2 * size) : size)
    const shape: PacketShape = {
      version,
      protocol: random.oneIn(16) ? 6 : protocol,
      sourcePort: random.oneIn(4) ? 1 : 2,
      seq: random.oneIn(10) ? random.u32() : seq,
      flags: random.oneIn(6) ? random.below(256) : 0x10,
      id: random.oneIn(8) ? random.below(65_536) : 7 + i,
      dontFragment: random.oneIn(2),
      options: random.oneIn(3)
        ? Uint8Array.of(1, 1, 8, 10, 0, 0, 0, random.below(2), 0, 0, 0, 2)
        : new Uint8Array(0),
      payload,
    }
    seq = (seq + payload.length) >>> 0
    let packet: Uint8Array = buildPacket(shape)
    if (random.oneIn(6)) packet = mutateOctets(random, packet, out)
    else if (random.oneIn(10)) packet = ipPacket(random, random.pick(ENDS))
    out.push(packet)
  }
  return out
}

/** Flow and contents, without what joining takes from the first: the TCP window, and with it the checksum. */
function essence(p: Uint8Array): string {
  const b = Buffer.from(p)
  const at = b[0]! >>> 4 === 4 ? 20 : 40
  if (b[at === 20 ? 9 : 6] === 6 && b.length >= at + 20) b.fill(0, at + 14, at + 18)
  return b.toString('hex')
}

export const COALESCING: Target = {
  name: 'coalescing',
  about: 'packets joined for the TUN device and cut again: the very same ones, in the order of their flows',
  prepare() {
    const slab = plainSlab(100_000)
    const apart = plainSlab(70_000)
    const p = new IpPacket()
    return {
      run(random, trace) {
        const parts: [number, number][] = []
        const vectors = {
          capacity: SEGMENTS_MAX + 1,
          set: (i: number, at: number, length: number) => {
            parts[i] = [at, length]
          },
        }
        const written: Uint8Array[] = []
        const refuse = random.oneIn(4)
        const coalescer = new Coalescer(slab, SCRATCH_LEN, vectors, {
          writeOne: (at, length) => written.push(slab.bytes.slice(at, at + length)),
          writeMany: (_, count) => {
            if (refuse) return false
            const [header, ...rest] = parts.slice(0, count).map(([at, n]) => slab.bytes.slice(at, at + n))
            written.push(...expand(apart, header!, Uint8Array.from(Buffer.concat(rest))))
            trace.outcome('joined')
            return true
          },
        })
        const given: Uint8Array[] = []
        let at = SCRATCH_LEN + coalescerHeaderRoom
        for (const packet of train(random)) {
          trace.input(packet)
          slab.bytes.set(packet, at)
          if (at + packet.length + 64 > slab.bytes.length || !p.parse(slab.bytes, at, packet.length)) continue
          given.push(slab.bytes.slice(at, at + p.length))
          coalescer.add(at, p.length)
          at += packet.length + 64
          if (random.oneIn(12)) coalescer.flush()
        }
        coalescer.flush()
        must(same(given.map(essence), written.map(essence)), 'other packets come out')
        for (const flow of new Set(given.map(flowOf)))
          must(
            given
              .filter((g) => flowOf(g) === flow)
              .map(essence)
              .join() ===
              written
                .filter((w) => flowOf(w) === flow)
                .map(essence)
                .join(),
            'packets of a flow overtake each other',
          )
      },
    }
  },
}

const same = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && [...a].sort().join() === [...b].sort().join()

/** Addresses, protocol and ports; a fragment's flow is that of its addresses and protocol. */
function flowOf(p: Uint8Array): string {
  const f = ipFacts(p)!
  return `${f.source} ${f.destination} ${f.protocol} ${f.fragment ? '' : `${f.sourcePort} ${f.destinationPort}`}`
}

/** As the kernel cuts it. */
function expand(slab: Slab, header: Uint8Array, packet: Uint8Array): Uint8Array[] {
  const at = SCRATCH_LEN + SEGMENT_HEADER_MAX
  slab.bytes.set(packet, at)
  const segmenter = new Segmenter(slab, SCRATCH_LEN)
  const out: Uint8Array[] = []
  must(segmenter.begin(at, packet.length, header[4]! | (header[5]! << 8)), 'the kernel could not cut it')
  while (segmenter.next()) out.push(slab.bytes.slice(segmenter.at, segmenter.at + segmenter.length))
  return out
}

const ROOM = 16_000

/** What a guest's kernel leaves to us. */
export const CUTTING: Target = {
  name: 'cutting',
  about: 'large packets of the TUN device: segments, IPv4 fragments, and who is told that they are too big',
  prepare() {
    const g = new GuardedSlab(0, ROOM)
    const slab = g.slab
    const p = new IpPacket()
    return {
      run(random, trace) {
        const packet = large(random)
        const segmentSize = random.pick([0, 1, 536, 1_400, random.edge(16)])
        const mtu = random.pick([28, 68, 576, 1_280, 1_400, random.edge(16)])
        trace.input(packet)
        g.put(packet, 0x5a)
        if (!p.parse(slab.bytes, g.at, packet.length)) return trace.outcome('refused')
        const original = slab.bytes.slice(g.at, g.at + p.length)
        // Headers are saved in a place that these objects own: the scratch area serves for all of them.
        const cutter = new Segmenter(slab, 0)
        let payload = 0
        let count = 0
        if (cutter.begin(g.at, p.length, segmentSize)) {
          while (cutter.next()) {
            count++
            must(
              cutter.at >= g.at && cutter.at + cutter.length <= g.at + original.length,
              'a segment outside',
            )
            const s = slab.bytes.slice(cutter.at, cutter.at + cutter.length)
            if (original[0]! >>> 4 === 6 || (original[0]! & 15) === 5)
              must(packetIsSound(s), 'a segment that is not sound')
            payload += s.length
          }
          const headers = (payload - original.length) / Math.max(1, count - 1)
          must(count === 1 || (Number.isInteger(headers) && headers >= 28), 'octets are lost or doubled')
          trace.outcome('cut')
        }
        g.check()
        g.put(original, 0x5a)
        fragments(g, original, mtu, trace.outcome.bind(trace))
        g.check()
      },
    }
  },
}

function large(random: Random): Uint8Array {
  if (random.oneIn(3)) return ipPacket(random, random.pick(ENDS))
  const packet = buildPacket({
    version: random.oneIn(2) ? 4 : 6,
    protocol: random.oneIn(2) ? 6 : 17,
    sourcePort: 1,
    seq: random.u32(),
    flags: random.below(256),
    id: random.below(65_536),
    dontFragment: random.oneIn(2),
    options: new Uint8Array(4 * random.below(11)),
    payload: new Uint8Array(random.pick([0, 1, 1_400, 4_000])),
  })
  return random.oneIn(3) ? mutateOctets(random, packet) : packet
}

/** Fragments cover their packet, each octet once, and none of them lies beyond what an IP packet can be. */
function fragments(g: GuardedSlab, original: Uint8Array, mtu: number, outcome: (word: string) => void): void {
  if (original[0]! >>> 4 !== 4) return
  const { slab } = g
  const fragmenter = new Ipv4Fragmenter(slab, 0)
  if (!fragmenter.begin(g.at, original.length, mtu)) return outcome('no fragments')
  const header = (original[0]! & 15) * 4
  const word = (original[6]! << 8) | original[7]!
  const data = Buffer.from(original.subarray(header))
  const whole = Buffer.alloc(data.length)
  let at = (word & 0x1fff) * 8
  const base = at
  while (fragmenter.next()) {
    const f = slab.bytes.slice(fragmenter.at, fragmenter.at + fragmenter.length)
    must(f.length <= mtu, `a fragment of ${f.length} octets for an MTU of ${mtu}`)
    const facts = ipFacts(f)
    must(facts?.length === f.length && facts.headerLength === header, 'a fragment that is no packet')
    const flags = (f[6]! << 8) | f[7]!
    must((flags & 0x1fff) * 8 === at, `a fragment at ${(flags & 0x1fff) * 8} instead of ${at}`)
    const payload = f.subarray(header)
    whole.set(payload, at - base)
    at += payload.length
    const last = at - base === data.length
    must(((flags & 0x2000) !== 0) === (!last || (word & 0x2000) !== 0), 'more fragments, or not')
  }
  must(whole.equals(data), 'other octets')
  outcome('fragments')
}

/** Who is told what about packets that do not fit. */
export const OVERSIZE: Target = {
  name: 'oversize',
  about: 'what becomes of packets that are larger than the path',
  weight: 0.3,
  prepare() {
    const g = new GuardedSlab(0, ROOM)
    const p = new IpPacket()
    return {
      run(random, trace) {
        const packet = large(random)
        trace.input(packet)
        g.put(packet, 0)
        if (!p.parse(g.slab.bytes, g.at, packet.length)) return
        const messages: Uint8Array[] = []
        const own = g.at + ROOM - OVERSIZE_ROOM
        const oversize = new Oversize(g.slab, own, (at, n) => messages.push(g.slab.bytes.slice(at, at + n)))
        const mtu = random.pick([576, 1_280, 1_400])
        const size = random.pick([0, 0, 536, 1_400, 9_000])
        const verdict = oversize.judge(g.at, p, mtu, size)
        must(messages.length <= 1, 'told twice')
        for (const m of messages) must(ipFacts(m)?.length === m.length, 'the message is no packet')
        if (verdict === 0) must(p.length <= Math.max(p.version === 6 ? 1_280 : 0, mtu), 'too big, and sent')
        if (verdict > 0) must(verdict <= size, 'segments that are larger than asked for')
        must(verdict >= 0 || verdict === FRAGMENT || verdict === DROP.TOO_BIG, `verdict ${verdict}`)
        trace.outcome(verdict > 0 ? 'segments' : String(verdict))
      },
    }
  },
}

export const offload: readonly Target[] = [COALESCING, CUTTING, OVERSIZE]
