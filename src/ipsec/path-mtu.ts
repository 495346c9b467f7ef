import { onesComplementSum } from '../bytes/checksum.js'
import type { Slab } from '../bytes/slab.js'
import { ICMP_HEADER_LEN, icmpTooBig, icmpv6TooBig, isTooBig } from '../wire/icmp.js'
import { formatIp } from '../wire/ip-address.js'
import { AH, ESP, UDP } from '../wire/ip-protocol.js'
import { IPV4_DESTINATION, IPV4_HEADER_LEN, IPV4_SOURCE, ipVersion, ipv4HeaderLength } from '../wire/ipv4.js'
import { IPV6_DESTINATION, IPV6_HEADER_LEN, IPV6_SOURCE } from '../wire/ipv6.js'
import { NATT_PORT, UDP_HEADER_LEN } from '../wire/udp.js'
import { DROP } from './drop.js'
import type { OutboundSa } from './sa.js'
import type { Sad } from './sad.js'

// Path MTU discovery (RFC 1191, RFC 8201) as RFC 4301 section 8.2 wants it: what a router says of a protected packet counts
// only for the SA that it quotes, because anybody can send such a message.

/** Smaller paths are not believed: a forger would like them, and nobody has them. IPv6: RFC 8200 section 5. */
export const PATH_MTU_MIN_V4 = 576
export const PATH_MTU_MIN_V6 = 1280
/** RFC 1191 section 6.3: a path may have become larger after ten minutes. */
const AGE_MS = 600_000
/** Paths that are remembered; peers are fewer. */
const PATHS_MAX = 1024

/** The way to a peer as this host's routes have it. */
export interface Way {
  readonly remote: Uint8Array
  readonly mtu: number
}

/** What a router has told. */
export interface PathMtu {
  readonly remote: Uint8Array
  readonly mtu: number
  readonly untilMs: number
}

/** What is known of the ways to the peers. One lane's. */
export class PathMtus {
  private readonly slab: Slab
  private readonly sad: Sad
  private readonly paths = new Map<string, PathMtu>()
  private readonly ways = new Map<string, number>()

  constructor(slab: Slab, sad: Sad) {
    this.slab = slab
    this.sad = sad
  }

  /**
   * An ICMP message.
   * @param at a whole IPv4 packet of `length` octets, as a raw socket gives it
   * @returns the path that became smaller; 0 for a message that says nothing new, or is of another kind and not meant for us;
   *   DROP.ICMP_IGNORED for one that quotes no SA, or cannot be
   */
  reportedV4(nowMs: number, at: number, length: number): PathMtu | typeof DROP.ICMP_IGNORED | 0 {
    const b = this.slab.bytes
    if (length < IPV4_HEADER_LEN) return DROP.ICMP_IGNORED
    const icmp = at + ipv4HeaderLength(b, at)
    const end = at + length
    if (icmp + 2 <= end && !isTooBig(b, icmp)) return 0
    // The kernel leaves the checksum to whoever listens; of ICMPv6 it looks at it itself.
    if (icmp + ICMP_HEADER_LEN > end || onesComplementSum(b, icmp, end - icmp, 0) !== 0xffff)
      return DROP.ICMP_IGNORED
    const mtu = icmpTooBig(b, icmp, end - icmp)
    const quoted = icmp + ICMP_HEADER_LEN
    if (quoted + IPV4_HEADER_LEN > end || ipVersion(b, quoted) !== 4) return DROP.ICMP_IGNORED
    const upper = quoted + ipv4HeaderLength(b, quoted)
    if (this.isForeign(b[quoted + 9]!, upper, end)) return 0
    if (mtu < PATH_MTU_MIN_V4) return DROP.ICMP_IGNORED
    const sa = this.quotedSa(b[quoted + 9]!, upper, end, quoted + IPV4_SOURCE, quoted + IPV4_DESTINATION, 4)
    return this.lower(nowMs, sa, mtu)
  }

  /**
   * An ICMPv6 message.
   * @param at the ICMPv6 header: a raw socket gives no IPv6 header; `length` octets from there on
   */
  reportedV6(nowMs: number, at: number, length: number): PathMtu | typeof DROP.ICMP_IGNORED | 0 {
    const b = this.slab.bytes
    const mtu = icmpv6TooBig(b, at, length)
    const quoted = at + ICMP_HEADER_LEN
    const end = at + length
    if (quoted + IPV6_HEADER_LEN > end || ipVersion(b, quoted) !== 6) return DROP.ICMP_IGNORED
    const upper = quoted + IPV6_HEADER_LEN
    if (this.isForeign(b[quoted + 6]!, upper, end)) return 0
    if (mtu < PATH_MTU_MIN_V6) return DROP.ICMP_IGNORED
    const sa = this.quotedSa(b[quoted + 6]!, upper, end, quoted + IPV6_SOURCE, quoted + IPV6_DESTINATION, 16)
    return this.lower(nowMs, sa, mtu)
  }

  /** About a connection of this host that is none of ours: the kernel reads the same message, and knows what to do with it. */
  private isForeign(protocol: number, upper: number, end: number): boolean {
    if (protocol === UDP) return upper + 2 <= end && this.slab.view.getUint16(upper) !== NATT_PORT
    return protocol !== ESP && protocol !== AH
  }

  /** Our outbound SA that sent the quoted packet; its SPI must be there. */
  private quotedSa(
    protocol: number,
    upper: number,
    end: number,
    source: number,
    destination: number,
    addressLength: number,
  ): OutboundSa | undefined {
    const v = this.slab.view
    const spiAt = protocol === ESP ? upper : protocol === AH ? upper + 4 : upper + UDP_HEADER_LEN
    if (spiAt + 4 > end) return undefined
    const ports = protocol === UDP ? v.getUint32(upper) : 0
    const spi = v.getUint32(spiAt)
    const sa = this.sad.outboundWith(spi, (candidate) => {
      const { udp, local, remote } = candidate.info
      if (local.length !== addressLength) return false
      if (protocol !== (udp ? UDP : candidate.esp ? ESP : AH)) return false
      if (udp && ports !== ((udp.localPort << 16) | udp.remotePort) >>> 0) return false
      return this.hasOctets(source, local) && this.hasOctets(destination, remote)
    })
    return sa
  }

  private hasOctets(at: number, octets: Uint8Array): boolean {
    const b = this.slab.bytes
    for (let i = 0; i < octets.length; i++) if (b[at + i] !== octets[i]) return false
    return true
  }

  private lower(
    nowMs: number,
    sa: OutboundSa | undefined,
    mtu: number,
  ): PathMtu | typeof DROP.ICMP_IGNORED | 0 {
    if (!sa) return DROP.ICMP_IGNORED
    const { remote } = sa.info
    const name = formatIp(remote)
    const known = this.paths.get(name)
    // Packets that were on the way already: each of them is answered.
    if (mtu === known?.mtu) return 0
    if (mtu >= Math.min(known?.mtu ?? Infinity, this.ways.get(name) ?? Infinity)) return DROP.ICMP_IGNORED
    if (!known && this.paths.size >= PATHS_MAX) return DROP.ICMP_IGNORED
    const path: PathMtu = { remote, mtu, untilMs: nowMs + AGE_MS }
    this.paths.set(name, path)
    this.applyAll()
    return path
  }

  /** Takes over what another lane has learnt, beside what this one knows. */
  learnt(nowMs: number, paths: readonly PathMtu[]): void {
    const all = mergePaths(nowMs, this.list(), paths)
    this.paths.clear()
    for (const path of all) this.paths.set(formatIp(path.remote), path)
    this.applyAll()
  }

  /** Tells a new SA what is known of its path. */
  apply(sa: OutboundSa): void {
    const name = formatIp(sa.info.remote)
    sa.pathMtuIs(this.paths.get(name)?.mtu ?? this.ways.get(name) ?? 0)
  }

  /** @param ways PATHS_MAX at most are kept */
  setWays(ways: readonly Way[]): void {
    this.ways.clear()
    for (const { remote, mtu } of ways.slice(0, PATHS_MAX)) this.ways.set(formatIp(remote), mtu)
    this.applyAll()
  }

  private applyAll(): void {
    for (const sa of this.sad.outbounds()) this.apply(sa)
  }

  /** Forgets what is old. @returns whether something was */
  expire(nowMs: number): boolean {
    let some = false
    for (const [name, path] of this.paths)
      if (path.untilMs <= nowMs) {
        this.paths.delete(name)
        some = true
      }
    if (some) this.applyAll()
    return some
  }

  list(): PathMtu[] {
    return [...this.paths.values()]
  }
}

/** What two lanes know, together: of each path the smaller MTU, while it holds. PATHS_MAX at most. */
export function mergePaths(nowMs: number, some: readonly PathMtu[], more: readonly PathMtu[]): PathMtu[] {
  const all = new Map<string, PathMtu>()
  for (const path of [...some, ...more]) {
    const name = formatIp(path.remote)
    const known = all.get(name)
    if (path.untilMs <= nowMs || (known ? known.mtu <= path.mtu : all.size >= PATHS_MAX)) continue
    all.set(name, path)
  }
  return [...all.values()]
}
