import { fold, onesComplementSum } from '../bytes/checksum.js'
import type { Slab } from '../bytes/slab.js'
import type { SaSpec } from '../sadb/sa-spec.js'
import { AH, ESP, UDP } from '../wire/ip-protocol.js'
import { IPV4_DF, IPV4_HEADER_LEN } from '../wire/ipv4.js'
import { IPV6_HEADER_LEN } from '../wire/ipv6.js'
import { UDP_HEADER_LEN, writeUdpHeader } from '../wire/udp.js'

/** Hop limit of what we send (RFC 4301 section 5.1.2.1: constructed, not copied). */
export const OUTER_TTL = 64

/**
 * The headers in front of ESP or AH in tunnel mode (RFC 4301 section 5.1.2.1), precomputed for one SA. With RFC 3948
 * encapsulation the UDP header belongs to them.
 */
export interface OuterHeader {
  readonly version: 4 | 6
  /** Octets written. */
  readonly length: number
  /**
   * @param at slab offset; `following` octets of ESP or AH stand behind the header
   * @param tos DSCP and ECN of the inner packet: both are copied (RFC 6040 section 4.1, normal mode)
   * @param df don't fragment; without meaning for IPv6
   * @param id IPv4 identification, not zero (the kernel would fill in one of its own, which AH covers)
   */
  write(at: number, following: number, tos: number, df: boolean, id: number): void
}

/** @param udp6Checksum compute the UDP checksum under IPv6 instead of sending zero, which RFC 6935 allows for tunnels */
export function outerHeader(spec: SaSpec, slab: Slab, udp6Checksum: boolean): OuterHeader {
  return spec.local.length === 4 ? new OuterIpv4(spec, slab) : new OuterIpv6(spec, slab, udp6Checksum)
}

const protocolOf = (spec: SaSpec): number => (spec.udp ? UDP : spec.protocol === 'esp' ? ESP : AH)

class OuterIpv4 implements OuterHeader {
  readonly version = 4
  readonly length: number
  private readonly slab: Slab
  private readonly ttlAndProtocol: number
  private readonly source: number
  private readonly destination: number
  private readonly udp: SaSpec['udp']
  /** Sum of what is the same in every header. */
  private readonly sum: number

  constructor(spec: SaSpec, slab: Slab) {
    this.slab = slab
    this.udp = spec.udp
    this.length = IPV4_HEADER_LEN + (spec.udp ? UDP_HEADER_LEN : 0)
    this.ttlAndProtocol = (OUTER_TTL << 8) | protocolOf(spec)
    this.source = addressWord(spec.local)
    this.destination = addressWord(spec.remote)
    this.sum = fold(
      0x4500 +
        this.ttlAndProtocol +
        onesComplementSum(spec.local, 0, 4, 0) +
        onesComplementSum(spec.remote, 0, 4, 0),
    )
  }

  write(at: number, following: number, tos: number, df: boolean, id: number): void {
    const v = this.slab.view
    const total = this.length + following
    const fragment = df ? IPV4_DF : 0
    const checksum = ~fold(this.sum + tos + total + id + fragment) & 0xffff
    v.setUint32(at, 0x4500_0000 | (tos << 16) | total)
    v.setUint32(at + 4, (id << 16) | fragment)
    v.setUint32(at + 8, (this.ttlAndProtocol << 16) | checksum)
    v.setUint32(at + 12, this.source)
    v.setUint32(at + 16, this.destination)
    const { udp } = this
    // RFC 3948 section 2.1: the checksum of encapsulated ESP is zero.
    if (udp)
      writeUdpHeader(
        this.slab.bytes,
        at + IPV4_HEADER_LEN,
        udp.localPort,
        udp.remotePort,
        UDP_HEADER_LEN + following,
        0,
      )
  }
}

class OuterIpv6 implements OuterHeader {
  readonly version = 6
  readonly length: number
  private readonly slab: Slab
  private readonly nextHeaderAndHopLimit: number
  private readonly addresses = new Uint32Array(8)
  private readonly udp: SaSpec['udp']
  private readonly udpChecksum: boolean
  private readonly addressSum: number

  constructor(spec: SaSpec, slab: Slab, udpChecksum: boolean) {
    this.slab = slab
    this.udp = spec.udp
    this.udpChecksum = udpChecksum
    this.length = IPV6_HEADER_LEN + (spec.udp ? UDP_HEADER_LEN : 0)
    this.nextHeaderAndHopLimit = (protocolOf(spec) << 8) | OUTER_TTL
    for (let i = 0; i < 4; i++) {
      this.addresses[i] = addressWord(spec.local, i * 4)
      this.addresses[4 + i] = addressWord(spec.remote, i * 4)
    }
    this.addressSum = onesComplementSum(spec.remote, 0, 16, onesComplementSum(spec.local, 0, 16, 0))
  }

  write(at: number, following: number, tos: number): void {
    const v = this.slab.view
    // The flow label stays zero: RFC 6438's would have to be made from the inner flow, which ESP hides.
    v.setUint32(at, 0x6000_0000 | (tos << 20))
    v.setUint16(at + 4, this.length - IPV6_HEADER_LEN + following)
    v.setUint16(at + 6, this.nextHeaderAndHopLimit)
    for (let i = 0; i < 8; i++) v.setUint32(at + 8 + i * 4, this.addresses[i]!)
    const { udp } = this
    if (!udp) return
    const b = this.slab.bytes
    const header = at + IPV6_HEADER_LEN
    const length = UDP_HEADER_LEN + following
    writeUdpHeader(b, header, udp.localPort, udp.remotePort, length, 0)
    if (!this.udpChecksum) return
    const checksum = ~onesComplementSum(b, header, length, this.addressSum + UDP + length) & 0xffff
    v.setUint16(header + 6, checksum === 0 ? 0xffff : checksum)
  }
}

function addressWord(address: Uint8Array, at = 0): number {
  return new DataView(address.buffer, address.byteOffset, address.length).getUint32(at)
}
