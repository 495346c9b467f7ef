import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Slab } from '../../src/bytes/slab.js'
import type { TunQueue } from '../../src/net/types.js'

const VNET = 10
const TCP = 6
const SYN = 0x02
const ACK = 0x10

export interface Segment {
  /** TCP payload, octets. */
  readonly payload: number
  readonly vnet: {
    readonly flags: number
    readonly gsoType: number
    readonly gsoSize: number
    readonly csumStart: number
    readonly csumOffset: number
  }
}

/**
 * Just enough of a TCP peer, behind a TUN queue with vnet headers, to make the kernel send: it answers the SYN with an MSS
 * of 1460 and a large window, and every segment with an acknowledgement.
 */
export class TinyTcpPeer {
  private readonly queue: TunQueue
  private readonly slab: Slab
  private readonly at: number
  private readonly socket: Socket

  constructor(queue: TunQueue, slab: Slab, at: number, address = '10.99.0.2') {
    this.queue = queue
    this.slab = slab
    this.at = at
    this.socket = connect({ host: address, port: 7 })
    this.socket.on('error', () => {})
  }

  /** Lets the kernel send `octets` octets; returns the largest segment that came out of the device. */
  async largestSegment(octets: number): Promise<Segment> {
    this.socket.write(Buffer.alloc(octets, 0x5a))
    let largest: Segment | undefined
    let seen = 0
    for (let tries = 0; seen < octets && tries < 500; tries++) {
      const n = this.queue.read(this.at, VNET + 65_535)
      if (n <= 0) {
        await sleep(2)
        continue
      }
      const segment = this.answer(n)
      if (!segment) continue
      seen += segment.payload
      if (!largest || segment.payload > largest.payload) largest = segment
    }
    if (!largest) throw new Error('the kernel sent no segment')
    return largest
  }

  close(): void {
    this.socket.destroy()
  }

  private answer(n: number): Segment | undefined {
    const b = this.slab.bytes
    const ip = this.at + VNET
    if (b[ip]! >>> 4 !== 4 || b[ip + 9] !== TCP) return undefined
    const v = this.slab.view
    const tcp = ip + 20
    const headers = 20 + ((b[tcp + 12]! >>> 4) << 2)
    const payload = n - VNET - headers
    const syn = (b[tcp + 13]! & SYN) !== 0
    const segment: Segment = {
      payload,
      vnet: {
        flags: b[this.at]!,
        gsoType: b[this.at + 1]!,
        gsoSize: v.getUint16(this.at + 4, true),
        csumStart: v.getUint16(this.at + 6, true),
        csumOffset: v.getUint16(this.at + 8, true),
      },
    }
    if (payload > 0 || syn) this.acknowledge(v.getUint32(tcp + 4) + payload + (syn ? 1 : 0), syn)
    return payload > 0 ? segment : undefined
  }

  /** Turns the packet in the slab into its answer and writes it. */
  private acknowledge(next: number, syn: boolean): void {
    const b = this.slab.bytes
    const v = this.slab.view
    const ip = this.at + VNET
    const tcp = ip + 20
    const length = syn ? 44 : 40
    const source = b.slice(ip + 12, ip + 16)
    b.copyWithin(ip + 12, ip + 16, ip + 20)
    b.set(source, ip + 16)
    const port = v.getUint16(tcp)
    v.setUint16(tcp, v.getUint16(tcp + 2))
    v.setUint16(tcp + 2, port)
    v.setUint16(ip + 2, length)
    v.setUint32(tcp + 4, syn ? 1000 : 1001)
    v.setUint32(tcp + 8, next >>> 0)
    b[tcp + 12] = ((length - 20) >>> 2) << 4
    b[tcp + 13] = syn ? SYN | ACK : ACK
    v.setUint16(tcp + 14, 65_535)
    if (syn) v.setUint32(tcp + 20, 0x020405b4) // MSS 1460
    v.setUint16(ip + 10, 0)
    v.setUint16(ip + 10, ~sum(b, ip, 20, 0) & 0xffff)
    v.setUint16(tcp + 16, 0)
    v.setUint16(tcp + 16, ~sum(b, ip + 12, length - 12, TCP + length - 20) & 0xffff)
    b.fill(0, this.at, ip)
    this.queue.write(this.at, VNET + length)
  }
}

function sum(b: Uint8Array, at: number, length: number, seed: number): number {
  let s = seed
  for (let i = 0; i < length; i += 2) s += (b[at + i]! << 8) | (i + 1 < length ? b[at + i + 1]! : 0)
  while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
  return s
}
