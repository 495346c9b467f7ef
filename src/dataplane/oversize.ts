import type { Slab } from '../bytes/slab.js'
import { DROP } from '../ipsec/drop.js'
import { mayBeTold, TOO_BIG_MAX, writeTooBig, writeTooBigV6 } from '../wire/icmp.js'
import type { IpPacket } from '../wire/ip-packet.js'
import { TCP, UDP } from '../wire/ip-protocol.js'
import { IPV4_DF, ipv4Fragment } from '../wire/ipv4.js'
import { Budget } from './budget.js'

const UDP_HEADER_LEN = 8
/** RFC 8200 section 5: a smaller MTU cannot be told to IPv6, which the tunnel has to make up for (RFC 2473 section 7.1). */
const IPV6_MTU_MIN = 1280
/** Messages to senders in each span of housekeeping. */
const MESSAGES = 32

/** What `judge` says besides a segment size: cut it, as IPv4 fragments, before it is protected. */
export const FRAGMENT = -128

/** Slab octets for one message, with room for a vnet header in front. */
export const OVERSIZE_ROOM = 64 + TOO_BIG_MAX

/** Decides what becomes of packets that are larger than the path, and tells their senders. */
export class Oversize {
  private readonly slab: Slab
  private readonly at: number
  private readonly write: (at: number, length: number) => void
  private readonly messages = new Budget(MESSAGES)

  /**
   * @param at OVERSIZE_ROOM octets of the slab that this object owns
   * @param write hands an IP packet to the TUN device
   */
  constructor(slab: Slab, at: number, write: (at: number, length: number) => void) {
    this.slab = slab
    this.at = at + 64
    this.write = write
  }

  /**
   * @param p the packet at `at`, parsed
   * @param mtu largest packet that goes through
   * @param segmentSize transport octets a segment; 0 = the packet is one
   * @param whole the SA takes no fragments: what may be cut is protected as it is, and cut afterwards
   * @returns the segment size to use, FRAGMENT, or DROP.TOO_BIG; after the latter the sender was told, if that may be
   */
  judge(at: number, p: IpPacket, mtu: number, segmentSize: number, whole = false): number {
    const limit = p.version === 6 ? Math.max(IPV6_MTU_MIN, mtu) : mtu
    if (segmentSize === 0) {
      if (p.length <= limit) return 0
      if (p.version === 4 && (ipv4Fragment(this.slab.bytes, at) & IPV4_DF) === 0) return whole ? 0 : FRAGMENT
      this.tell(at, p, limit)
      return DROP.TOO_BIG
    }
    const headers = p.headerLength + this.transportHeader(at, p)
    if (headers + segmentSize <= limit) return segmentSize
    this.tell(at, p, limit)
    // TCP does not mind where its octets are cut: nothing is lost, and the sender knows for the next time.
    return p.protocol === TCP && limit > headers ? limit - headers : DROP.TOO_BIG
  }

  private transportHeader(at: number, p: IpPacket): number {
    if (p.protocol === UDP) return UDP_HEADER_LEN
    return (this.slab.bytes[at + p.headerLength + 12]! >>> 4) << 2
  }

  private tell(at: number, p: IpPacket, mtu: number): void {
    const b = this.slab.bytes
    if (!mayBeTold(b, at, p) || !this.messages.take()) return
    const n =
      p.version === 4
        ? writeTooBig(b, this.at, at, p.length, mtu)
        : writeTooBigV6(b, this.at, at, p.length, mtu)
    this.write(this.at, n)
  }

  refill(): void {
    this.messages.refill()
  }
}
