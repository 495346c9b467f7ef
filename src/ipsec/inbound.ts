import { type SumKernel, sumKernel } from '../bytes/simd/sum-kernel.js'
import type { Slab } from '../bytes/slab.js'
import { AH_FIXED_LEN, ahSpi } from '../wire/ah.js'
import { ESP_HEADER_LEN, espSpi } from '../wire/esp.js'
import { IpPacket } from '../wire/ip-packet.js'
import { AH, ESP, IPIP, IPV6_IN_IP, NO_NEXT_HEADER, TCP, UDP } from '../wire/ip-protocol.js'
import {
  IPV4_DESTINATION,
  IPV4_HEADER_LEN,
  ipVersion,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4TotalLength,
  putU16,
  setIpv4Tos,
  writeIpv4Checksum,
} from '../wire/ipv4.js'
import {
  IPV6_DESTINATION,
  IPV6_HEADER_LEN,
  IPV6_SOURCE,
  ipv6PayloadLength,
  ipv6TrafficClass,
  setIpv6TrafficClass,
} from '../wire/ipv6.js'
import {
  NATT,
  NATT_PORT,
  nattKind,
  UDP_HEADER_LEN,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
} from '../wire/udp.js'
import { openAh } from './ah.js'
import { DROP } from './drop.js'
import { DSCP_MASK, decapsulatedEcn, ECN_MASK } from './ecn.js'
import { announceEsp, espHeaderRoom, openEsp } from './esp.js'
import { headersLength, ipv6FindIpsec, nextHeaderAt } from './ip-headers.js'
import { OUTER_TTL } from './outer-header.js'
import type { InboundSa } from './sa.js'
import type { Sad } from './sad.js'
import { clampMss } from './tcp-mss.js'
import { repairTransportChecksum } from './transport-checksum.js'

/** Octets in front of what `openIpv6Payload` is given that it may write. */
export const IPV6_PAYLOAD_HEAD_ROOM = IPV6_HEADER_LEN

/**
 * Slab memory where `openUdp` puts the packets of transport mode: they have an IP header more than came in, and the datagrams of a
 * train lie too close to each other for it. A train of n octets in m datagrams needs n + m * REBUILD_SLACK.
 */
export interface RebuildArea {
  readonly at: number
  readonly length: number
}

/** Free octets in front of each rebuilt packet, for a vnet header. */
const REBUILD_HEAD_ROOM = 24
export const REBUILD_SLACK = REBUILD_HEAD_ROOM + IPV6_HEADER_LEN + 8

/**
 * The way in (RFC 4301 section 5.2), one packet a call, in place. Every method returns the octets of the inner packet, which is
 * then at `at`, or a negative DROP code. Order: SPI, replay check, ICV, replay update, padding, next header, inner sanity,
 * selectors, ECN. Nothing is allocated and nothing thrown, whatever the octets are.
 */
export class Inbound {
  /** Set by the owner, once a batch is enough: milliseconds of the clock that the SAs were created with. */
  nowMs = 0
  /** Offset of the inner packet. */
  at = 0
  /** The SA of the last packet; undefined when its SPI is unknown. It proves nothing when the packet was dropped. */
  sa: InboundSa | undefined
  /** The inner packet, parsed. */
  readonly packet = new IpPacket()

  private readonly slab: Slab
  private readonly sum: SumKernel
  private readonly sad: Sad
  private readonly rebuild: RebuildArea
  private rebuildAt: number

  /** @param rebuild absent: UDP-encapsulated transport mode is dropped (NO_ROOM) */
  constructor(slab: Slab, sad: Sad, rebuild: RebuildArea = { at: 0, length: 0 }) {
    this.slab = slab
    this.sum = sumKernel(slab)
    this.sad = sad
    this.rebuild = rebuild
    this.rebuildAt = rebuild.at
  }

  /** Gives the rebuild area back: no inner packet is used any more. The owner calls it after each batch. */
  rewind(): void {
    this.rebuildAt = this.rebuild.at
  }

  /**
   * Announces ESP in tunnel mode that is given to `openUdp` or, from a raw IPv6 socket, to `openIpv6Payload` next (see Burst). It
   * counts nothing, and of what cannot be opened it takes no notice.
   */
  announce(at: number, length: number): void {
    if (length < ESP_HEADER_LEN) return
    const sa = this.sad.inbound('esp', espSpi(this.slab.bytes, at))
    if (sa?.tunnel) announceEsp(sa, this.slab, at, length)
  }

  /** The same for what is given to `openIpv4`. */
  announceIpv4(at: number, available: number): void {
    const b = this.slab.bytes
    if (available < IPV4_HEADER_LEN || b[at + 9] !== ESP || ipv4IsFragment(b, at)) return
    const headers = ipv4HeaderLength(b, at)
    const length = ipv4TotalLength(b, at)
    if (headers >= IPV4_HEADER_LEN && headers < length && length <= available)
      this.announce(at + headers, length - headers)
  }

  /**
   * A whole IPv4 packet, as a raw socket or a capture has it: ESP, AH, or ESP in UDP. The header's checksum is the receiving kernel's
   * business.
   */
  openIpv4(at: number, available: number): number {
    const b = this.slab.bytes
    this.sa = undefined
    if (available < IPV4_HEADER_LEN || ipVersion(b, at) !== 4) return DROP.MALFORMED_OUTER
    const headers = ipv4HeaderLength(b, at)
    const length = ipv4TotalLength(b, at)
    if (headers < IPV4_HEADER_LEN || length < headers || length > available) return DROP.MALFORMED_OUTER
    if (ipv4IsFragment(b, at)) return DROP.OUTER_FRAGMENT
    return this.openWhole(at, length, headers, 9, b[at + 1]!, IPV4_DESTINATION)
  }

  /** A whole IPv6 packet, as a packet socket or a capture has it. */
  openIpv6(at: number, available: number): number {
    const b = this.slab.bytes
    this.sa = undefined
    if (available < IPV6_HEADER_LEN || ipVersion(b, at) !== 6) return DROP.MALFORMED_OUTER
    const length = IPV6_HEADER_LEN + ipv6PayloadLength(b, at)
    if (length > available) return DROP.MALFORMED_OUTER
    const found = ipv6FindIpsec(b, at, length)
    if (found < 0) return found
    const headers = headersLength(found)
    return this.openWhole(at, length, headers, nextHeaderAt(found), ipv6TrafficClass(b, at), IPV6_DESTINATION)
  }

  /**
   * ESP as a UDP socket has it, RFC 3948: the SPI first. In tunnel mode the inner packet stays in place and nothing in front of `at`
   * is written. In transport mode it is decrypted to the rebuild area, behind a new IP header between the SA's addresses. Other
   * kinds of datagram on the port (IKE, keepalives: nattKind) are told apart by the caller.
   * @param tos TOS or traffic class of the outer header, 0 when it is not known
   */
  openUdp(at: number, length: number, tos: number): number {
    this.sa = undefined
    if (length < ESP_HEADER_LEN) return DROP.MALFORMED_OUTER
    const sa = this.sad.inbound('esp', espSpi(this.slab.bytes, at))
    if (!sa) return DROP.UNKNOWN_SPI
    this.sa = sa
    const inPlace = at + espHeaderRoom(sa.esp!)
    if (sa.tunnel) {
      const n = this.openEsp(sa, at, length, inPlace)
      return n < 0 ? n : this.tunnel(sa, inPlace, n, tos)
    }
    const header = this.rebuildAt + REBUILD_HEAD_ROOM
    const payload = header + (sa.info.local.length === 4 ? IPV4_HEADER_LEN : IPV6_HEADER_LEN)
    if (payload + length > this.rebuild.at + this.rebuild.length) return this.refused(sa, DROP.NO_ROOM)
    const n = this.openEsp(sa, at, length, payload)
    if (n < 0) return n
    this.rebuildAt = (payload + n + 7) & ~7
    return this.withHeader(sa, header, n, tos, sa.info.remote, 0)
  }

  /**
   * What a raw IPv6 socket gives: the packet from its ESP or AH header on. IPV6_PAYLOAD_HEAD_ROOM octets in front of `at` are written.
   *
   * The IPv6 header is made again: source as the socket says, destination the SA's local address, traffic class and payload length
   * as received; flow label zero and hop limit 64, which AH leaves out of its ICV. Extension headers in front of AH cannot be
   * seen this way, and AH over them does not verify (DROP.BAD_ICV): they need `openIpv6`.
   * @param protocol the socket's: 50 or 51
   * @param source 16 octets at `sourceAt`, not part of the slab
   */
  openIpv6Payload(
    at: number,
    length: number,
    protocol: number,
    tos: number,
    source: Uint8Array,
    sourceAt: number,
  ): number {
    this.sa = undefined
    if (protocol === ESP) {
      if (length < ESP_HEADER_LEN) return DROP.MALFORMED_OUTER
      const sa = this.sad.inbound('esp', espSpi(this.slab.bytes, at))
      if (!sa) return DROP.UNKNOWN_SPI
      this.sa = sa
      if (sa.info.local.length !== 16) return this.refused(sa, DROP.WRONG_DESTINATION)
      const payload = at + espHeaderRoom(sa.esp!)
      const n = this.openEsp(sa, at, length, payload)
      if (n < 0) return n
      if (sa.tunnel) return this.tunnel(sa, payload, n, tos)
      return this.withHeader(sa, payload - IPV6_HEADER_LEN, n, tos, source, sourceAt)
    }
    if (protocol !== AH) return DROP.NOT_IPSEC
    if (length < AH_FIXED_LEN || length > 0xffff) return DROP.MALFORMED_OUTER
    const sa = this.sad.inbound('ah', ahSpi(this.slab.bytes, at))
    if (!sa) return DROP.UNKNOWN_SPI
    this.sa = sa
    if (sa.info.local.length !== 16) return this.refused(sa, DROP.WRONG_DESTINATION)
    const header = at - IPV6_HEADER_LEN
    this.writeIpv6(header, length, AH, tos, source, sourceAt, sa.info.local)
    return this.openAhPacket(sa, header, IPV6_HEADER_LEN + length, IPV6_HEADER_LEN, 6, tos)
  }

  /** @param field offset of the octet that names what follows the headers */
  private openWhole(
    at: number,
    length: number,
    headers: number,
    field: number,
    tos: number,
    destination: number,
  ): number {
    const b = this.slab.bytes
    const protocol = b[at + field]!
    let inner = at + headers
    let innerLength = length - headers
    if (protocol === AH) {
      if (innerLength < AH_FIXED_LEN) return DROP.MALFORMED_OUTER
      const sa = this.find('ah', ahSpi(b, inner), at + destination, destination === IPV4_DESTINATION ? 4 : 16)
      if (typeof sa === 'number') return sa
      return this.openAhPacket(sa, at, length, headers, field, tos)
    }
    if (protocol === UDP) {
      if (innerLength < UDP_HEADER_LEN + ESP_HEADER_LEN) return DROP.NOT_IPSEC
      if (udpSourcePort(b, inner) !== NATT_PORT && udpDestinationPort(b, inner) !== NATT_PORT)
        return DROP.NOT_IPSEC
      const udp = udpLength(b, inner)
      if (udp < UDP_HEADER_LEN || udp > innerLength) return DROP.MALFORMED_OUTER
      inner += UDP_HEADER_LEN
      innerLength = udp - UDP_HEADER_LEN
      if (nattKind(b, inner, innerLength) !== NATT.ESP) return DROP.NOT_IPSEC
    } else if (protocol !== ESP) return DROP.NOT_IPSEC
    if (innerLength < ESP_HEADER_LEN) return DROP.MALFORMED_OUTER
    const sa = this.find('esp', espSpi(b, inner), at + destination, destination === IPV4_DESTINATION ? 4 : 16)
    if (typeof sa === 'number') return sa
    const place = inner + espHeaderRoom(sa.esp!)
    const n = this.openEsp(sa, inner, innerLength, place)
    if (n < 0) return n
    if (sa.tunnel) return this.tunnel(sa, place, n, tos)
    return this.transport(sa, at, headers, field, place, n)
  }

  private find(protocol: 'esp' | 'ah', spi: number, destination: number, octets: number): InboundSa | number {
    const sa = this.sad.inbound(protocol, spi)
    if (!sa) return DROP.UNKNOWN_SPI
    this.sa = sa
    const { local } = sa.info
    const b = this.slab.bytes
    if (local.length !== octets) return this.refused(sa, DROP.WRONG_DESTINATION)
    for (let i = 0; i < octets; i++)
      if (b[destination + i] !== local[i]) return this.refused(sa, DROP.WRONG_DESTINATION)
    return sa
  }

  private openAhPacket(
    sa: InboundSa,
    at: number,
    length: number,
    headers: number,
    field: number,
    tos: number,
  ): number {
    if (!sa.use.admits(1, this.nowMs)) return this.refused(sa, DROP.SA_EXPIRED)
    const ahOctets = openAh(sa, this.slab, at, headers, length)
    if (ahOctets < 0) return this.refused(sa, ahOctets)
    const payload = at + headers + ahOctets
    const n = length - headers - ahOctets
    if (sa.tunnel) return this.tunnel(sa, payload, n, tos)
    return this.transport(sa, at, headers, field, payload, n)
  }

  private openEsp(sa: InboundSa, esp: number, length: number, dst: number): number {
    if (!sa.use.admits(1, this.nowMs)) return this.refused(sa, DROP.SA_EXPIRED)
    const n = openEsp(sa, this.slab, esp, length, dst)
    return n < 0 ? this.refused(sa, n) : n
  }

  /** Transport mode without the received headers: a new one at `at`, in front of `n` octets of payload. */
  private withHeader(
    sa: InboundSa,
    at: number,
    n: number,
    tos: number,
    source: Uint8Array,
    sourceAt: number,
  ): number {
    if (sa.nextHeader === NO_NEXT_HEADER) return this.dummy(sa)
    const { local } = sa.info
    if (local.length === 16) {
      this.writeIpv6(at, n, sa.nextHeader, tos, source, sourceAt, local)
      return this.deliver(sa, at, IPV6_HEADER_LEN + n)
    }
    this.writeIpv4(at, IPV4_HEADER_LEN + n, sa.nextHeader, tos, source, local)
    return this.deliver(sa, at, IPV4_HEADER_LEN + n)
  }

  /** Transport mode with the received headers: they move to where the payload begins. */
  private transport(
    sa: InboundSa,
    at: number,
    headers: number,
    field: number,
    payload: number,
    n: number,
  ): number {
    if (sa.nextHeader === NO_NEXT_HEADER) return this.dummy(sa)
    const b = this.slab.bytes
    const header = payload - headers
    b.copyWithin(header, at, at + headers)
    b[header + field] = sa.nextHeader
    if (ipVersion(b, header) === 4) {
      putU16(b, header + 2, headers + n)
      writeIpv4Checksum(b, header)
    } else putU16(b, header + 4, headers - IPV6_HEADER_LEN + n)
    return this.deliver(sa, header, headers + n)
  }

  private tunnel(sa: InboundSa, at: number, available: number, outerTos: number): number {
    const next = sa.nextHeader
    if (next === NO_NEXT_HEADER) return this.dummy(sa)
    if (next !== IPIP && next !== IPV6_IN_IP) return this.refused(sa, DROP.BAD_NEXT_HEADER)
    const b = this.slab.bytes
    const { packet } = this
    if (!packet.parse(b, at, available) || packet.version !== (next === IPIP ? 4 : 6))
      return this.refused(sa, DROP.MALFORMED_INNER)
    if (!this.selected(sa)) return this.refused(sa, DROP.SELECTOR_MISMATCH)
    let { tos } = packet
    if ((sa.tosIn & ECN_MASK) !== 0) {
      const ecn = decapsulatedEcn(tos, outerTos)
      if (ecn < 0) return this.refused(sa, DROP.ECN_DROP)
      tos = (tos & DSCP_MASK) | ecn
    }
    if ((sa.tosIn & DSCP_MASK) !== 0) tos = (outerTos & DSCP_MASK) | (tos & ECN_MASK)
    if (tos !== packet.tos) {
      if (packet.version === 4) setIpv4Tos(b, at, tos)
      else setIpv6TrafficClass(b, at, tos)
      packet.tos = tos
    }
    return this.accepted(sa, at)
  }

  private deliver(sa: InboundSa, at: number, length: number): number {
    if (!this.packet.parse(this.slab.bytes, at, length)) return this.refused(sa, DROP.MALFORMED_INNER)
    if (!this.selected(sa)) return this.refused(sa, DROP.SELECTOR_MISMATCH)
    if (sa.info.udp !== undefined) repairTransportChecksum(this.slab.bytes, this.sum, at, this.packet)
    return this.accepted(sa, at)
  }

  /** The packet comes from the peer's side and goes to ours (RFC 4301 section 5.2 step 4). */
  private selected(sa: InboundSa): boolean {
    const p = this.packet
    const v = this.slab.view
    return (
      sa.remoteSelectors.matches(v, p.version, p.sourceAt, p.protocol, p.sourcePort) &&
      sa.localSelectors.matches(v, p.version, p.destinationAt, p.protocol, p.destinationPort)
    )
  }

  private accepted(sa: InboundSa, at: number): number {
    this.at = at
    const { packet } = this
    if (packet.protocol === TCP) clampMss(this.slab.bytes, at, packet, sa.mssLimit(packet.version))
    sa.use.count(packet.length, this.nowMs)
    return this.packet.length
  }

  private dummy(sa: InboundSa): number {
    sa.use.count(0, this.nowMs)
    return DROP.DUMMY
  }

  private refused(sa: InboundSa, code: number): number {
    sa.use.countError()
    return code
  }

  private writeIpv4(
    at: number,
    length: number,
    protocol: number,
    tos: number,
    source: Uint8Array,
    destination: Uint8Array,
  ): void {
    const b = this.slab.bytes
    const v = this.slab.view
    // The original identification is not known; with DF set none is needed (RFC 6864 section 4.1).
    v.setUint32(at, 0x4500_0000 | (tos << 16) | length)
    v.setUint32(at + 4, 0x4000)
    v.setUint32(at + 8, (OUTER_TTL << 24) | (protocol << 16))
    for (let i = 0; i < 4; i++) {
      b[at + 12 + i] = source[i]!
      b[at + 16 + i] = destination[i]!
    }
    writeIpv4Checksum(b, at)
  }

  private writeIpv6(
    at: number,
    payload: number,
    nextHeader: number,
    tos: number,
    source: Uint8Array,
    sourceAt: number,
    destination: Uint8Array,
  ): void {
    const b = this.slab.bytes
    const v = this.slab.view
    v.setUint32(at, 0x6000_0000 | (tos << 20))
    v.setUint32(at + 4, (payload << 16) | (nextHeader << 8) | OUTER_TTL)
    for (let i = 0; i < 16; i++) {
      b[at + IPV6_SOURCE + i] = source[sourceAt + i]!
      b[at + IPV6_DESTINATION + i] = destination[i]!
    }
  }
}
