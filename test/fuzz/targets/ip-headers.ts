import { sumKernel } from '../../../src/bytes/simd/sum-kernel.js'
import { completeChecksum } from '../../../src/dataplane/segmentation.js'
import { headersLength, ipv6FindIpsec, ipv6Insertion, nextHeaderAt } from '../../../src/ipsec/ip-headers.js'
import { PathMtus } from '../../../src/ipsec/path-mtu.js'
import { createOutboundSa } from '../../../src/ipsec/sa.js'
import { Sad } from '../../../src/ipsec/sad.js'
import { clampMss } from '../../../src/ipsec/tcp-mss.js'
import { mayBeTold, TOO_BIG_MAX, writeTooBig, writeTooBigV6 } from '../../../src/wire/icmp.js'
import { formatIp } from '../../../src/wire/ip-address.js'
import { IpPacket, PORT_IGNORED, PORT_NONE } from '../../../src/wire/ip-packet.js'
import { ICMP } from '../../../src/wire/ip-protocol.js'
import { NATT, nattKind } from '../../../src/wire/udp.js'
import {
  VNET_HDR_LEN,
  vnetChecksumOffset,
  vnetChecksumStart,
  vnetGsoSize,
  vnetGsoType,
  vnetHeaderLength,
  vnetNeedsChecksum,
} from '../../../src/wire/virtio-net-hdr.js'
import { ipFacts } from '../../reference/ip-packet-twin.js'
import { engines, ip, saSpec } from '../../unit/ipsec/fixtures.js'
import { GuardedSlab } from '../guarded-slab.js'
import { ipPacket } from '../mutate/ip-packets.js'
import { mutateOctets } from '../mutate/octets.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'

const ENDS = [
  { source: ip('192.0.2.1'), destination: ip('192.0.2.2') },
  { source: ip('2001:db8::1'), destination: ip('2001:db8::2') },
]
const ROOM = 9_000
const port = (p: number): number | string => (p === PORT_NONE ? 'none' : p === PORT_IGNORED ? 'any' : p)

export const IP_HEADERS: Target = {
  name: 'ip-headers',
  about: 'IPv4, IPv6, TCP, UDP and virtio headers against a slow twin, with guards around the packet',
  prepare() {
    const g = new GuardedSlab(VNET_HDR_LEN, ROOM)
    const sum = sumKernel(g.slab)
    const p = new IpPacket()
    return {
      run(random, trace) {
        const packet = ipPacket(random, random.pick(ENDS))
        const vnet = random.octets(VNET_HDR_LEN).map((v) => (random.oneIn(2) ? v : random.edge(8, v)))
        const mss = random.oneIn(9) ? 0 : random.edge(16, 1_200)
        trace.input(packet)
        const expected = ipFacts(packet)
        const seen = [0, 0xff].map((filling) => {
          g.put(packet, filling)
          const b = g.slab.bytes
          const good = p.parse(b, g.at, packet.length)
          must(good === (expected !== undefined), `the twin ${expected ? 'takes' : 'refuses'} it`)
          const result: unknown[] = [good, nattKind(b, g.at, packet.length)]
          if (expected !== undefined) {
            const n = p.version === 4 ? 4 : 16
            const text = (at: number): string => b.slice(at, at + n).join('.')
            const found = {
              version: p.version,
              length: p.length,
              protocol: p.protocol,
              headerLength: p.headerLength,
              fragment: p.fragment,
              source: text(p.sourceAt),
              destination: text(p.destinationAt),
              sourcePort: port(p.sourcePort),
              destinationPort: port(p.destinationPort),
            }
            for (const [k, v] of Object.entries(expected))
              must(found[k as keyof typeof found] === v, `${k}: ${found[k as keyof typeof found]}, not ${v}`)
            result.push(mayBeTold(b, g.at, p))
            if (p.version === 6) result.push(...insertions(b, g.at, p.length))
            result.push(clampMss(b, g.at, p, mss))
          }
          b.set(vnet, g.at - VNET_HDR_LEN)
          result.push(virtio(g, sum, packet.length))
          g.check()
          return `${result.join()} ${Buffer.from(b.subarray(g.at, g.at + packet.length)).toString('hex')}`
        })
        must(seen[0] === seen[1], 'what is behind the packet changes what is read of it')
        trace.outcome(expected === undefined ? 'refused' : `IPv${expected.version}`)
      },
    }
  },
}

function insertions(b: Uint8Array, at: number, length: number): number[] {
  const both = [ipv6Insertion(b, at, length), ipv6FindIpsec(b, at, length)]
  for (const found of both)
    if (found >= 0) {
      must(headersLength(found) <= length, 'headers that are longer than the packet')
      must(nextHeaderAt(found) < headersLength(found), 'a next header outside of the headers')
    }
  return both
}

function virtio(g: GuardedSlab, sum: ReturnType<typeof sumKernel>, length: number): string {
  const b = g.slab.bytes
  const at = g.at - VNET_HDR_LEN
  const start = vnetChecksumStart(b, at)
  const offset = vnetChecksumOffset(b, at)
  const done = completeChecksum(g.slab, sum, g.at, length, start, offset)
  return [
    vnetGsoType(b, at),
    vnetNeedsChecksum(b, at),
    vnetHeaderLength(b, at),
    vnetGsoSize(b, at),
    done,
  ].join()
}

/** ICMP messages about paths: made by routers, or by somebody who would like smaller packets. */
export const ICMP_MESSAGES: Target = {
  name: 'icmp',
  about: 'ICMP and ICMPv6 messages about a path MTU, quoting packets of ours, and the ones that we send',
  prepare() {
    const g = new GuardedSlab(0, ROOM)
    const outer = new GuardedSlab(0, ROOM)
    const make = (local: Uint8Array, remote: Uint8Array, spi: number, udp: boolean) =>
      createOutboundSa(
        saSpec('aes128gcm16', {
          local,
          remote,
          spi,
          ...(udp && { udp: { localPort: 4500, remotePort: 4500 } }),
        }),
        engines,
        g.slab,
        { nowMs: 0 },
      )
    return {
      run(random, trace) {
        const sad = new Sad()
        for (const [i, e] of ENDS.entries())
          sad.addOutbound(make(e.source, e.destination, 0x1000 + i, random.oneIn(2)))
        const paths = new PathMtus(g.slab, sad)
        const v6 = random.oneIn(2)
        const ends = ENDS[v6 ? 1 : 0]!
        const quoted = quotation(random.u32.bind(random), ends, v6 ? 0x1001 : 0x1000, random.below(3))
        const mtu = random.edge(v6 ? 32 : 16, 1400)
        const head = v6
          ? Uint8Array.of(2, 0, 0, 0, mtu >>> 24, mtu >>> 16, mtu >>> 8, mtu)
          : Uint8Array.of(3, 4, 0, 0, 0, 0, mtu >>> 8, mtu)
        let message = Uint8Array.of(
          ...(v6 ? [] : ipv4Header(head.length + quoted.length, ICMP, ends)),
          ...head,
          ...quoted,
        )
        if (random.oneIn(2)) message = mutateOctets(random, message)
        trace.input(message)
        const told = [0, 0xff].map((filling) => {
          g.put(message, filling)
          const report = new PathMtus(g.slab, sad)
          const answer = v6
            ? report.reportedV6(0, g.at, message.length)
            : report.reportedV4(0, g.at, message.length)
          g.check()
          return typeof answer === 'number' ? 0 : answer.mtu
        })
        must(told[0] === told[1], 'what is behind the message changes what is read of it')
        must(told[0] === 0 || told[0]! >= (v6 ? 1280 : 576), `a path of ${told[0]} octets`)
        must(paths.list().length === 0, 'a path from nowhere')
        trace.outcome(told[0] === 0 ? 'ignored' : 'believed')
        tell(random, trace, outer)
      },
    }
  },
}

function ipv4Header(payload: number, protocol: number, { source, destination }: (typeof ENDS)[0]): number[] {
  const total = 20 + payload
  return [0x45, 0, total >>> 8, total & 0xff, 0, 1, 0, 0, 64, protocol, 0, 0, ...destination, ...source]
}

/** The beginning of an ESP packet of ours. @param kind 0: raw, 1: in UDP, 2: AH */
function quotation(u32: () => number, ends: (typeof ENDS)[0], spi: number, kind: number): number[] {
  const esp = [0, 0, spi >>> 8, spi & 0xff, 0, 0, 0, u32() & 0xff]
  const upper =
    kind === 1 ? [0x11, 0x94, 0x11, 0x94, 0, 100, 0, 0, ...esp] : kind === 2 ? [50, 4, 0, 0, ...esp] : esp
  const protocol = [50, 17, 51][kind]!
  if (ends.source.length === 16)
    return [0x60, 0, 0, 0, 0, upper.length, protocol, 64, ...ends.source, ...ends.destination, ...upper]
  return [
    0x45,
    0,
    0,
    20 + upper.length,
    0,
    1,
    0,
    0,
    64,
    protocol,
    0,
    0,
    ...ends.source,
    ...ends.destination,
    ...upper,
  ]
}

/** What is told about a hostile packet that is too big. */
function tell(random: Parameters<typeof ipPacket>[0], trace: Trace, g: GuardedSlab): void {
  const p = new IpPacket()
  const packet = ipPacket(random, random.pick(ENDS))
  g.put(packet, 0x5a)
  const b = g.slab.bytes
  if (!p.parse(b, g.at, packet.length) || !mayBeTold(b, g.at, p)) return
  trace.input(packet)
  const at = g.at + packet.length
  const n =
    p.version === 4 ? writeTooBig(b, at, g.at, p.length, 1400) : writeTooBigV6(b, at, g.at, p.length, 1400)
  must(n <= TOO_BIG_MAX, `an error of ${n} octets`)
  const facts = ipFacts(b.slice(at, at + n))
  must(facts?.length === n, 'the error is no whole packet')
  const destination = Buffer.from(b.subarray(p.sourceAt, p.sourceAt + (p.version === 4 ? 4 : 16)))
  must(
    facts.destination === [...destination].join('.'),
    `it goes to ${facts.destination}, not ${formatIp(destination)}`,
  )
  trace.outcome('told')
}

export const RFC3948_DATAGRAMS: Target = {
  name: 'udp-4500',
  about: 'what a datagram on port 4500 is',
  weight: 0.1,
  prepare() {
    const g = new GuardedSlab(0, 64)
    return {
      run(random, trace) {
        const datagram = random.octets(random.below(12)).map((v) => random.pick([0, 0xff, v]))
        trace.input(datagram)
        const kinds = [0, 0xff].map((filling) => {
          g.put(datagram, filling)
          return nattKind(g.slab.bytes, g.at, datagram.length)
        })
        must(kinds[0] === kinds[1], 'what is behind the datagram changes what it is')
        const marker = datagram.length >= 4 && datagram.subarray(0, 4).every((v) => v === 0)
        const expected =
          datagram.length === 1 && datagram[0] === 0xff
            ? NATT.KEEPALIVE
            : datagram.length < 4
              ? NATT.RUNT
              : marker
                ? NATT.IKE
                : NATT.ESP
        must(kinds[0] === expected, `${kinds[0]}, not ${expected}`)
        trace.outcome(String(expected))
      },
    }
  },
}

export const ipHeaders: readonly Target[] = [IP_HEADERS, ICMP_MESSAGES, RFC3948_DATAGRAMS]
