import type { Slab } from '../bytes/slab.js'
import { ahHeaderLength } from '../wire/ah.js'
import { IpPacket } from '../wire/ip-packet.js'
import { AH, ESP, IPIP, IPV6_IN_IP, NO_NEXT_HEADER, UDP } from '../wire/ip-protocol.js'
import {
  IPV4_DF,
  IPV4_TOTAL_MAX,
  ipVersion,
  ipv4Fragment,
  ipv4HeaderLength,
  ipv4Identification,
  ipv4IsFragment,
  putU16,
  writeIpv4Checksum,
} from '../wire/ipv4.js'
import { IPV6_HEADER_LEN, IPV6_TOTAL_MAX, ipv6TrafficClass } from '../wire/ipv6.js'
import { UDP_HEADER_LEN, writeUdpHeader } from '../wire/udp.js'
import { sealAh } from './ah.js'
import { ACQUIRE, DROP } from './drop.js'
import { espLength, sealEsp } from './esp.js'
import { FlowCache } from './flow-cache.js'
import { headersLength, ipv6Insertion, nextHeaderAt } from './ip-headers.js'
import type { OutboundSa } from './sa.js'
import type { Sad } from './sad.js'
import type { Spd } from './spd.js'

export interface OutboundOptions {
  /** First IPv4 identification minus one, so that lanes need not start alike. Default 0. */
  readonly identification?: number
}

/**
 * The way out (RFC 4301 section 5.1): `lookup` finds the SA of a packet, `seal` protects it. Between the two a large packet may be
 * cut: its segments all go by the SA found. Packets are (offset, length) in the slab; nothing is allocated and nothing thrown.
 */
export class Outbound {
  /** Set by the owner, once a batch is enough: milliseconds of the clock that the SAs were created with. */
  nowMs = 0
  /** What `lookup` found. */
  sa: OutboundSa | undefined
  /** Policy of the packet looked up last; -1 when none covers it. */
  policy = -1
  /** The packet looked up last. */
  readonly packet = new IpPacket()
  /** Offset of the ESP or AH header of the packet sealed last. */
  protectedAt = 0
  /** DSCP and ECN of its outer header, for sockets that write the header themselves. */
  tos = 0
  /** The same for its DF bit; IPv6: whether its socket is to send it in one piece. */
  df = false

  private readonly slab: Slab
  private readonly spd: Spd
  private readonly sad: Sad
  private readonly flows = new FlowCache()
  private spdGeneration = -1
  private sadGeneration = -1
  private identification: number

  constructor(slab: Slab, spd: Spd, sad: Sad, options: OutboundOptions = {}) {
    this.slab = slab
    this.spd = spd
    this.sad = sad
    this.identification = (options.identification ?? 0) & 0xffff
  }

  /**
   * Finds policy and SA of the IP packet at `at`, of which `available` octets are there.
   * @returns octets of the packet by its own length field, with `sa` set; ACQUIRE with `policy` set; or DROP.MALFORMED_INNER,
   *   DROP.NO_POLICY, DROP.OUTSIDE_SA
   */
  lookup(at: number, available: number): number {
    const { packet, slab } = this
    this.sa = undefined
    this.policy = -1
    if (!packet.parse(slab.bytes, at, available)) return DROP.MALFORMED_INNER
    if (this.spd.generation !== this.spdGeneration || this.sad.generation !== this.sadGeneration) {
      this.flows.clear()
      this.spdGeneration = this.spd.generation
      this.sadGeneration = this.sad.generation
    }
    const known = this.flows.find(slab.view, packet)
    if (known) {
      this.sa = known
      this.policy = known.policy
      return packet.length
    }
    const policy = this.spd.find(slab.view, packet)
    if (!policy) return DROP.NO_POLICY
    this.policy = policy.id
    const sa = this.sad.outbound(policy.id)
    if (!sa) return ACQUIRE
    if (!this.belongsTo(sa)) return DROP.OUTSIDE_SA
    this.flows.remember(sa)
    this.sa = sa
    return packet.length
  }

  /** True when the packet looked up last is a fragment whose packet can be protected whole only (see Spd.wantsWhole). */
  isPiece(): boolean {
    return this.packet.fragment && this.spd.wantsWhole(this.slab.view, this.packet)
  }

  /** What was negotiated may be narrower than the policy; in transport mode the SA's ends are the packet's ends. */
  private belongsTo(sa: OutboundSa): boolean {
    const { packet: p, slab } = this
    if (!sa.localSelectors.matches(slab.view, p.version, p.sourceAt, p.protocol, p.sourcePort)) return false
    if (!sa.remoteSelectors.matches(slab.view, p.version, p.destinationAt, p.protocol, p.destinationPort))
      return false
    if (sa.tunnel) return true
    return (
      sa.outer.version === p.version &&
      hasOctets(slab.bytes, p.sourceAt, sa.info.local) &&
      hasOctets(slab.bytes, p.destinationAt, sa.info.remote)
    )
  }

  /**
   * Protects a packet into a complete outer packet at `dst`: IP header, UDP header where the SA is encapsulated, then ESP or AH
   * at `protectedAt`. What lies behind the packet is as before when it returns (see sealEsp).
   * @param at a packet that `lookup` has accepted for this SA, or a segment of one; `length` is its own length
   * @param dst sealedLength octets that do not overlap the packet, or such that the payload keeps its place
   * @returns octets of the outer packet, or SA_EXPIRED, SEQUENCE_EXHAUSTED, TOO_LONG, FRAGMENT_IN_TRANSPORT, UNSUPPORTED_HEADER
   */
  seal(sa: OutboundSa, at: number, length: number, dst: number): number {
    if (!sa.use.admits(length, this.nowMs)) return DROP.SA_EXPIRED
    const n = sa.tunnel
      ? sa.esp
        ? this.espTunnel(sa, at, length, dst)
        : this.ahTunnel(sa, at, length, dst)
      : this.transport(sa, at, length, dst)
    if (n > 0) sa.use.count(length, this.nowMs)
    return n
  }

  /**
   * The same for ESP without the headers in front: the ESP header is at `dst`, as a UDP socket, or a raw socket that writes the IP
   * header itself, wants it.
   * @returns octets of the ESP packet, or a DROP code as `seal`
   */
  sealPayload(sa: OutboundSa, at: number, length: number, dst: number): number {
    if (!sa.use.admits(length, this.nowMs)) return DROP.SA_EXPIRED
    const b = this.slab.bytes
    const version = ipVersion(b, at)
    let headers = 0
    let next = version === 4 ? IPIP : IPV6_IN_IP
    if (!sa.tunnel) {
      const found = this.insertion(at, length, version)
      if (found < 0) return found
      headers = headersLength(found)
      next = b[at + nextHeaderAt(found)]!
    }
    const tfc = sa.tfcPadding(length)
    if (sa.outer.length + espLength(sa.esp!, length - headers + tfc) > maximumOf(sa.outer.version))
      return DROP.TOO_LONG
    this.protectedAt = dst
    this.tos = tosOf(b, at, version) & sa.tosOut
    this.df = this.outerDf(sa, at, length, version)
    const n = sealEsp(sa, this.slab, at + headers, length - headers, dst, next, tfc)
    if (n > 0) sa.use.count(length, this.nowMs)
    return n
  }

  /**
   * A packet that the peer discards (RFC 4303 section 2.6): it looks like one with `length` octets inside, which are zeros.
   * @param sa an ESP tunnel @param whole with the headers in front, as `seal`; otherwise as `sealPayload`
   */
  sealDummy(sa: OutboundSa, length: number, dst: number, whole: boolean): number {
    if (!sa.use.admits(0, this.nowMs)) return DROP.SA_EXPIRED
    const { outer } = sa
    if (outer.length + espLength(sa.esp!, length) > maximumOf(outer.version)) return DROP.TOO_LONG
    const esp = whole ? dst + outer.length : dst
    this.protectedAt = esp
    this.tos = 0
    this.df = sa.handling.df !== 'clear'
    const n = sealEsp(sa, this.slab, esp, 0, esp, NO_NEXT_HEADER, length)
    if (n < 0) return n
    sa.use.count(0, this.nowMs)
    if (!whole) return n
    outer.write(dst, n, 0, this.df, this.nextIdentification())
    return outer.length + n
  }

  private espTunnel(sa: OutboundSa, at: number, length: number, dst: number): number {
    const { outer } = sa
    const tfc = sa.tfcPadding(length)
    if (outer.length + espLength(sa.esp!, length + tfc) > maximumOf(outer.version)) return DROP.TOO_LONG
    // Read before sealing: in place, the inner header is ciphertext afterwards.
    const b = this.slab.bytes
    const version = ipVersion(b, at)
    const tos = tosOf(b, at, version) & sa.tosOut
    const df = this.outerDf(sa, at, length, version)
    const esp = dst + outer.length
    const n = sealEsp(sa, this.slab, at, length, esp, version === 4 ? IPIP : IPV6_IN_IP, tfc)
    if (n < 0) return n
    outer.write(dst, n, tos, df, this.nextIdentification())
    this.protectedAt = esp
    this.tos = tos
    return outer.length + n
  }

  private ahTunnel(sa: OutboundSa, at: number, length: number, dst: number): number {
    const { outer } = sa
    const b = this.slab.bytes
    const ahOctets = ahHeaderLength(sa.ah!.icvLength, outer.version)
    const total = outer.length + ahOctets + length
    if (total > maximumOf(outer.version)) return DROP.TOO_LONG
    const version = ipVersion(b, at)
    const tos = tosOf(b, at, version) & sa.tosOut
    const df = this.outerDf(sa, at, length, version)
    const payload = dst + outer.length + ahOctets
    if (payload !== at) b.copyWithin(payload, at, at + length)
    outer.write(dst, ahOctets + length, tos, df, this.nextIdentification())
    const verdict = sealAh(sa, this.slab, dst, outer.length, total, version === 4 ? IPIP : IPV6_IN_IP)
    this.protectedAt = dst + outer.length
    this.tos = tos
    return verdict < 0 ? verdict : total
  }

  private transport(sa: OutboundSa, at: number, length: number, dst: number): number {
    const b = this.slab.bytes
    const version = ipVersion(b, at)
    const found = this.insertion(at, length, version)
    if (found < 0) return found
    const headers = headersLength(found)
    const payload = length - headers
    const { udp } = sa.info
    const protocol = udp ? UDP : sa.esp ? ESP : AH
    const next = b[at + nextHeaderAt(found)]!
    const tos = tosOf(b, at, version)
    const ahOctets = sa.ah ? ahHeaderLength(sa.ah.icvLength, version === 4 ? 4 : 6) : 0
    const between = udp ? UDP_HEADER_LEN : 0
    const following = sa.esp ? between + espLength(sa.esp, payload) : ahOctets + payload
    const total = headers + following
    if (total > maximumOf(version === 4 ? 4 : 6)) return DROP.TOO_LONG

    // Moved first: in place, the original header lies where the ESP or AH header is going to be.
    const target = dst + headers + between
    if (!sa.esp) {
      const place = target + ahOctets
      if (place < at + headers) b.copyWithin(dst, at, at + headers)
      if (place !== at + headers) b.copyWithin(place, at + headers, at + length)
      if (place >= at + headers) b.copyWithin(dst, at, at + headers)
    } else b.copyWithin(dst, at, at + headers)
    b[dst + nextHeaderAt(found)] = protocol
    if (version === 4) {
      putU16(b, dst + 2, total)
      if (ipv4Identification(b, dst) === 0) putU16(b, dst + 4, this.nextIdentification())
      writeIpv4Checksum(b, dst)
    } else putU16(b, dst + 4, total - IPV6_HEADER_LEN)
    this.protectedAt = target
    this.tos = tos

    if (sa.ah) {
      const verdict = sealAh(sa, this.slab, dst, headers, total, next)
      return verdict < 0 ? verdict : total
    }
    const n = sealEsp(sa, this.slab, at + headers, payload, target, next)
    if (n < 0) return n
    if (udp) writeUdpHeader(b, dst + headers, udp.localPort, udp.remotePort, following, 0)
    return total
  }

  /** Where transport mode cuts the packet: headersLength and nextHeaderAt, or a DROP code. */
  private insertion(at: number, length: number, version: number): number {
    const b = this.slab.bytes
    if (version !== 4) return ipv6Insertion(b, at, length)
    if (ipv4IsFragment(b, at)) return DROP.FRAGMENT_IN_TRANSPORT
    return (ipv4HeaderLength(b, at) << 16) | 9
  }

  private outerDf(sa: OutboundSa, at: number, length: number, version: number): boolean {
    const { df } = sa.handling
    // Too big for the path, and sent all the same: an IPv6 packet of up to 1280 octets, which every link must carry, or one that
    // has to stay whole.
    if (length > sa.innerMtu) return false
    if (df !== 'copy') return df === 'set'
    // There is no such bit in IPv6: what the inner packet says of itself is nothing to the outer one.
    return sa.outer.version === 6 || version !== 4 || (ipv4Fragment(this.slab.bytes, at) & IPV4_DF) !== 0
  }

  /** 1 to 65535 in turn: the kernel would replace a zero, and AH covers the field. */
  private nextIdentification(): number {
    this.identification = (this.identification % 0xffff) + 1
    return this.identification
  }
}

const maximumOf = (version: 4 | 6): number => (version === 4 ? IPV4_TOTAL_MAX : IPV6_TOTAL_MAX)

const tosOf = (b: Uint8Array, at: number, version: number): number =>
  version === 4 ? b[at + 1]! : ipv6TrafficClass(b, at)

function hasOctets(b: Uint8Array, at: number, octets: Uint8Array): boolean {
  for (let i = 0; i < octets.length; i++) if (b[at + i] !== octets[i]) return false
  return true
}

/**
 * Octets that `Outbound.seal` writes for a packet of `length` octets: exact in tunnel mode and for AH, an upper bound for ESP in
 * transport mode, where padding depends on how much of the packet is headers.
 */
export function sealedLength(sa: OutboundSa, length: number): number {
  const headers = sa.tunnel ? sa.outer.length : sa.info.udp ? UDP_HEADER_LEN : 0
  if (sa.ah) return headers + ahHeaderLength(sa.ah.icvLength, sa.outer.version) + length
  return headers + espLength(sa.esp!, length) + (sa.tunnel ? 0 : sa.esp!.alignment)
}
