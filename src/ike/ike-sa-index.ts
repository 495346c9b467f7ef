import { hex } from '../bytes/octets.js'
import { formatIp, type IpAddress } from '../wire/ip-address.js'
import type { IkeSa } from './ike-sa.js'
import type { Peer } from './peer.js'

/** An IKE SA, and the peer that it is with. */
export interface IndexedIkeSa {
  readonly peer: Peer
  readonly sa: IkeSa
}

/**
 * The IKE SAs of all peers by initiator SPI, which the initiator chooses: the configured address of the peer tells those of the same
 * SPI apart. Bounded by the peers, as each has a bounded number of them.
 */
export class IkeSaIndex {
  private readonly bySpi = new Map<string, Map<string, IndexedIkeSa>>()

  add(peer: Peer, sa: IkeSa): void {
    const spi = hex(sa.initiatorSpi)
    const such = this.bySpi.get(spi) ?? new Map<string, IndexedIkeSa>()
    this.bySpi.set(spi, such)
    such.set(formatIp(peer.config.remote), { peer, sa })
  }

  /** Another one that has come in its place stays. */
  remove(peer: Peer, sa: IkeSa): void {
    const spi = hex(sa.initiatorSpi)
    const such = this.bySpi.get(spi)
    const address = formatIp(peer.config.remote)
    if (such?.get(address)?.sa !== sa) return
    such.delete(address)
    if (such.size === 0) this.bySpi.delete(spi)
  }

  /** Whether there is one with this SPI, with whomever. */
  has(initiatorSpi: Uint8Array): boolean {
    return this.bySpi.has(hex(initiatorSpi))
  }

  /** The one with the peer that is configured with the address. */
  with(initiatorSpi: Uint8Array, address: IpAddress): IndexedIkeSa | undefined {
    return this.bySpi.get(hex(initiatorSpi))?.get(formatIp(address))
  }

  /** One whose peer a NAT may have given an address that is nobody's. */
  moved(initiatorSpi: Uint8Array, version: number): IndexedIkeSa | undefined {
    for (const found of this.bySpi.get(hex(initiatorSpi))?.values() ?? [])
      if (found.sa.follows && found.sa.version === version) return found
    return undefined
  }

  *values(): Generator<IndexedIkeSa> {
    for (const such of this.bySpi.values()) yield* such.values()
  }
}
