import type { Slab } from '../bytes/slab.js'
import { ipVersion } from '../wire/ipv4.js'
import { Ipv4Fragmenter } from './ipv4-fragmenter.js'
import { Ipv6Fragmenter } from './ipv6-fragmenter.js'

/**
 * Cuts protected packets that are larger than the path (RFC 4303 section 3.3.4: fragmentation comes after ESP). That is for what
 * could not be cut before: IPv6 packets that every link should carry, and SAs that take whole packets only.
 */
export class OuterFragmenter {
  private readonly slab: Slab
  private readonly v4: Ipv4Fragmenter
  private readonly v6: Ipv6Fragmenter
  private is4 = true

  /**
   * @param saved FRAGMENT_HEADER_ROOM octets of the slab that this object owns
   * @param identification see Ipv6Fragmenter; IPv4 packets have theirs
   */
  constructor(slab: Slab, saved: number, identification: number) {
    this.slab = slab
    this.v4 = new Ipv4Fragmenter(slab, saved)
    this.v6 = new Ipv6Fragmenter(slab, identification)
  }

  /**
   * @param at a sealed packet of `length` octets, IPv4 without DF; it is spoilt by `next` @param mtu octets of a fragment
   * @returns false when it cannot be cut
   */
  begin(at: number, length: number, mtu: number): boolean {
    this.is4 = ipVersion(this.slab.bytes, at) === 4
    return this.is4 ? this.v4.begin(at, length, mtu) : this.v6.begin(at, length, mtu)
  }

  /** @param dst outside of the packet @returns octets written there; 0 when there is no fragment left */
  next(dst: number): number {
    if (!this.is4) return this.v6.next(dst)
    const { v4, slab } = this
    if (!v4.next()) return 0
    slab.bytes.copyWithin(dst, v4.at, v4.at + v4.length)
    return v4.length
  }
}
