import type { Slab } from '../bytes/slab.js'
import { type PathMtu, PathMtus, type Way } from '../ipsec/path-mtu.js'
import type { OutboundSa } from '../ipsec/sa.js'
import type { Sad } from '../ipsec/sad.js'
import { ICMP } from '../wire/ip-protocol.js'
import { IPV4_TOTAL_MAX } from '../wire/ipv4.js'
import type { Post } from './messages.js'

/** How large the inner packets of each SA may be: what fits the TUN device, and the path where less is known of that. */
export class PathFit {
  private readonly sad: Sad
  private readonly paths: PathMtus
  private readonly post: Post
  /** MTU of the TUN device; 0 = not told yet. */
  private tunMtu = 0

  constructor(slab: Slab, sad: Sad, post: Post) {
    this.sad = sad
    this.paths = new PathMtus(slab, sad)
    this.post = post
  }

  /** @param tun MTU of the device @param ways to the peers, as this host's routes have them */
  mtus(tun: number, ways: readonly Way[]): void {
    this.tunMtu = tun
    this.paths.setWays(ways)
    this.refit()
  }

  /** What another lane has learnt. */
  learnt(nowMs: number, paths: readonly PathMtu[]): void {
    this.paths.learnt(nowMs, paths)
    this.refit()
  }

  /**
   * An ICMP message, as a raw socket of that protocol gives it.
   * @returns 0, or DROP.ICMP_IGNORED
   */
  reported(protocol: number, nowMs: number, at: number, length: number): number {
    const path =
      protocol === ICMP ? this.paths.reportedV4(nowMs, at, length) : this.paths.reportedV6(nowMs, at, length)
    if (typeof path === 'number') return path
    this.changed()
    return 0
  }

  /** Forgets what was learnt too long ago. */
  expire(nowMs: number): void {
    if (this.paths.expire(nowMs)) this.changed()
  }

  /** Tells an SA what is known of its path: it is new, or sends elsewhere now. `refit` is to follow when the lane has it. */
  apply(sa: OutboundSa): void {
    this.paths.apply(sa)
  }

  /** To be called whenever the SAs are others. */
  refit(): void {
    const device = this.tunMtu === 0 ? IPV4_TOTAL_MAX : this.tunMtu
    for (const sa of this.sad.outbounds()) sa.fits = Math.min(device, sa.innerMtu)
    for (const sa of this.sad.inbounds()) sa.fits = this.sad.outbound(sa.policy)?.fits ?? device
  }

  private changed(): void {
    this.refit()
    this.post({ op: 'pathMtu', paths: this.paths.list() })
  }
}
