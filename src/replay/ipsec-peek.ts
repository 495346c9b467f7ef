import { headersLength, ipv6FindIpsec, nextHeaderAt } from '../ipsec/ip-headers.js'
import type { SaProtocol } from '../sadb/sa-spec.js'
import { AH_FIXED_LEN, ahSpi } from '../wire/ah.js'
import { ESP_HEADER_LEN, espSpi } from '../wire/esp.js'
import { AH, ESP, UDP } from '../wire/ip-protocol.js'
import { IPV4_DESTINATION, IPV4_SOURCE, ipVersion, ipv4HeaderLength } from '../wire/ipv4.js'
import { IPV6_DESTINATION, IPV6_SOURCE } from '../wire/ipv6.js'
import { UDP_HEADER_LEN, udpDestinationPort, udpSourcePort } from '../wire/udp.js'

/** What names the SA of a packet, read before it is opened. */
export interface IpsecPeek {
  readonly protocol: SaProtocol
  readonly spi: number
  /** Low half. */
  readonly sequence: number
  /** Offset of the ESP or AH header from the packet's start. */
  readonly offset: number
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly udp: { readonly sourcePort: number; readonly destinationPort: number } | undefined
}

/**
 * Reads a packet that the inbound pipeline has recognised as ESP or AH: its headers are sound.
 * @param length octets of the packet
 * @returns undefined for anything else
 */
export function peekIpsec(b: Uint8Array, at: number, length: number): IpsecPeek | undefined {
  const v4 = ipVersion(b, at) === 4
  let offset: number
  let protocol: number
  if (v4) {
    offset = ipv4HeaderLength(b, at)
    protocol = b[at + 9]!
  } else {
    const found = ipv6FindIpsec(b, at, length)
    if (found < 0) return undefined
    offset = headersLength(found)
    protocol = b[at + nextHeaderAt(found)]!
  }
  let udp: IpsecPeek['udp']
  if (protocol === UDP) {
    if (offset + UDP_HEADER_LEN > length) return undefined
    udp = { sourcePort: udpSourcePort(b, at + offset), destinationPort: udpDestinationPort(b, at + offset) }
    offset += UDP_HEADER_LEN
    protocol = ESP
  }
  if (protocol !== ESP && protocol !== AH) return undefined
  if (offset + (protocol === ESP ? ESP_HEADER_LEN : AH_FIXED_LEN) > length) return undefined
  const header = at + offset
  const addresses = v4 ? 4 : 16
  const source = at + (v4 ? IPV4_SOURCE : IPV6_SOURCE)
  const destination = at + (v4 ? IPV4_DESTINATION : IPV6_DESTINATION)
  const sequence = header + (protocol === ESP ? 4 : 8)
  return {
    protocol: protocol === ESP ? 'esp' : 'ah',
    spi: protocol === ESP ? espSpi(b, header) : ahSpi(b, header),
    sequence:
      ((b[sequence]! << 24) | (b[sequence + 1]! << 16) | (b[sequence + 2]! << 8) | b[sequence + 3]!) >>> 0,
    offset,
    source: b.slice(source, source + addresses),
    destination: b.slice(destination, destination + addresses),
    udp,
  }
}
