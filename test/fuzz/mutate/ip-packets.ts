import type { Random } from '../random.js'
import { mutateOctets } from './octets.js'

// IP packets that are nearly right: headers, options, extension headers and transports that lie about lengths and nest
// in odd ways.

export interface PacketEnds {
  readonly source: Uint8Array
  readonly destination: Uint8Array
}

const PROTOCOLS = [6, 6, 17, 17, 1, 58, 4, 41, 50, 51, 33, 132, 135, 136, 59, 0, 255]
const EXTENSIONS = [0, 43, 44, 60]

/** @param ends addresses of the packet, both 4 or both 16 octets: they also say which version it has */
export function ipPacket(random: Random, ends: PacketEnds): Uint8Array<ArrayBuffer> {
  const whole = ends.source.length === 4 ? ipv4(random, ends) : ipv6(random, ends)
  return random.oneIn(6) ? mutateOctets(random, whole) : whole
}

function put16(b: Uint8Array, at: number, v: number): void {
  b[at] = v >>> 8
  b[at + 1] = v
}

/** Most of the time what is right. */
const mostly = (random: Random, right: number, bits: number): number =>
  random.oneIn(12) ? random.edge(bits, right) : right

function ipv4(random: Random, { source, destination }: PacketEnds): Uint8Array<ArrayBuffer> {
  const protocol = random.oneIn(8) ? random.below(256) : random.pick(PROTOCOLS)
  const options = random.oneIn(4) ? ipv4Options(random) : new Uint8Array(0)
  const upper = transport(random, protocol)
  const b = new Uint8Array(20 + options.length + upper.length)
  b[0] = 0x40 | (mostly(random, 5 + options.length / 4, 4) & 15)
  b[1] = random.oneIn(2) ? random.below(4) : 0
  put16(b, 2, mostly(random, b.length, 16))
  put16(b, 4, random.u32() & 0xffff)
  put16(b, 6, random.oneIn(5) ? random.edge(16) : random.pick([0, 0x4000]))
  b[8] = random.edge(8, 64)
  b[9] = protocol
  b.set(source, 12)
  b.set(destination, 16)
  b.set(options, 20)
  b.set(upper, 20 + options.length)
  if (!random.oneIn(4)) {
    let sum = 0
    for (let i = 0; i < 20 + options.length; i += 2) sum += (b[i]! << 8) | b[i + 1]!
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
    put16(b, 10, ~sum & 0xffff)
  }
  return b
}

function ipv4Options(random: Random): Uint8Array<ArrayBuffer> {
  const b = new Uint8Array(4 * (1 + random.below(10)))
  for (let at = 0; at < b.length; ) {
    b[at] = random.pick([0, 1, 7, 68, 130, 131, 134, 136, 137, 148, random.below(256)])
    const length = random.pick([0, 1, 2, 3, 4, 8, random.below(256)])
    if (at + 1 < b.length && b[at]! > 1) b[at + 1] = length
    at += b[at]! > 1 ? Math.max(1, length) : 1
  }
  return b
}

function ipv6(random: Random, { source, destination }: PacketEnds): Uint8Array<ArrayBuffer> {
  const protocol = random.oneIn(8) ? random.below(256) : random.pick(PROTOCOLS)
  const extensions = Array.from({ length: random.oneIn(2) ? random.length(40) : 0 }, () => ({
    type: random.pick(EXTENSIONS),
    octets: extension(random),
  }))
  const upper = transport(random, protocol)
  const size = extensions.reduce((n, e) => n + e.octets.length, 0)
  const b = new Uint8Array(40 + size + upper.length)
  b[0] = 0x60 | random.below(16)
  b[1] = random.below(256)
  put16(b, 4, mostly(random, size + upper.length, 16))
  b[6] = extensions[0]?.type ?? protocol
  b[7] = random.edge(8, 64)
  b.set(source, 8)
  b.set(destination, 24)
  let at = 40
  for (const [i, e] of extensions.entries()) {
    e.octets[0] = extensions[i + 1]?.type ?? protocol
    b.set(e.octets, at)
    at += e.octets.length
  }
  b.set(upper, at)
  return b
}

function extension(random: Random): Uint8Array<ArrayBuffer> {
  const b = new Uint8Array(8 * (1 + random.length(3)))
  b[1] = mostly(random, b.length / 8 - 1, 8)
  // Options, a routing header's type and segments left, or a fragment's offset: small numbers make the most of all.
  for (let i = 2; i < b.length; i++) b[i] = random.oneIn(2) ? 0 : random.edge(8)
  return b
}

function transport(random: Random, protocol: number): Uint8Array<ArrayBuffer> {
  const payload = random.length(random.oneIn(20) ? 1_400 : 120)
  if (protocol === 6) {
    const options = random.oneIn(2) ? tcpOptions(random) : new Uint8Array(0)
    const b = new Uint8Array(20 + options.length + payload)
    put16(b, 0, 1000)
    put16(b, 2, 2000)
    b[12] = (mostly(random, 5 + options.length / 4, 4) & 15) << 4
    b[13] = random.pick([0x02, 0x12, 0x10, 0x18, random.below(256)])
    put16(b, 16, random.u32() & 0xffff)
    b.set(options, 20)
    return b
  }
  const b = random.octets(Math.max(random.oneIn(6) ? 0 : 8, payload))
  if (protocol === 17 && b.length >= 8) {
    put16(b, 0, random.pick([1000, 4500, 500]))
    put16(b, 2, random.pick([2000, 4500, 500]))
    put16(b, 4, mostly(random, b.length, 16))
  }
  return b
}

function tcpOptions(random: Random): Uint8Array<ArrayBuffer> {
  const b = new Uint8Array(4 * (1 + random.below(10)))
  for (let at = 0; at < b.length; ) {
    b[at] = random.pick([0, 1, 2, 2, 2, 3, 8, random.below(256)])
    const length = random.pick([0, 1, 2, 3, 4, 4, 4, 10, 255])
    if (at + 3 < b.length && b[at]! > 1) {
      b[at + 1] = length
      put16(b, at + 2, random.edge(16, 1460))
    }
    at += b[at]! > 1 ? Math.max(1, length) : 1
  }
  return b
}
