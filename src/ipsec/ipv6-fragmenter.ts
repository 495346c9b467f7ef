import type { Slab } from '../bytes/slab.js'
import { putU16 } from '../wire/ipv4.js'
import { FRAGMENT, IPV6_HEADER_LEN, ipv6PayloadLength } from '../wire/ipv6.js'
import { headersLength, ipv6FindIpsec, nextHeaderAt } from './ip-headers.js'

const FRAGMENT_HEADER_LEN = 8
const MORE = 1

/**
 * Cuts a protected IPv6 packet into fragments (RFC 8200 section 4.5), one at a time, which are copied elsewhere: a router does not
 * do it, and the kernel not for packets that come with their header.
 */
export class Ipv6Fragmenter {
  private readonly slab: Slab
  private identification: number
  private at = 0
  private end = 0
  private position = 0
  private headers = 0
  private field = 0
  private room = 0

  /** @param identification of the packet before the first one: 32 bits that should not be guessed (RFC 7739) */
  constructor(slab: Slab, identification: number) {
    this.slab = slab
    this.identification = identification >>> 0
  }

  /**
   * @param at a whole IPv6 packet of `length` octets, ESP, AH or UDP behind its extension headers @param mtu octets of a fragment
   * @returns false when no payload fits, or it is no such packet
   */
  begin(at: number, length: number, mtu: number): boolean {
    const b = this.slab.bytes
    if (length < IPV6_HEADER_LEN || length !== IPV6_HEADER_LEN + ipv6PayloadLength(b, at)) return false
    const found = ipv6FindIpsec(b, at, length)
    if (found < 0) return false
    this.headers = headersLength(found)
    this.field = nextHeaderAt(found)
    this.room = (mtu - this.headers - FRAGMENT_HEADER_LEN) & ~7
    if (this.room < 8) return false
    this.at = at
    this.position = at + this.headers
    this.end = at + length
    this.identification = (this.identification + 1) >>> 0
    return true
  }

  /**
   * @param dst as many octets as `begin` was given for a fragment, outside of the packet
   * @returns octets written there; 0 when there is no fragment left
   */
  next(dst: number): number {
    const { at, headers, position, field } = this
    if (position >= this.end) return 0
    const b = this.slab.bytes
    const payload = Math.min(this.room, this.end - position)
    const header = dst + headers
    b.copyWithin(dst, at, at + headers)
    b[dst + field] = FRAGMENT
    putU16(b, dst + 4, headers - IPV6_HEADER_LEN + FRAGMENT_HEADER_LEN + payload)
    b[header] = b[at + field]!
    b[header + 1] = 0
    const more = position + payload < this.end ? MORE : 0
    putU16(b, header + 2, (position - at - headers) | more)
    this.slab.view.setUint32(header + 4, this.identification)
    b.copyWithin(header + FRAGMENT_HEADER_LEN, position, position + payload)
    this.position = position + payload
    return headers + FRAGMENT_HEADER_LEN + payload
  }
}
