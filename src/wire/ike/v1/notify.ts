import { Reader } from '../../../bytes/reader.js'
import { Writer } from '../../../bytes/writer.js'
import { WireError } from '../../../errors.js'

// Notification payload, RFC 2408 section 3.14:  | DOI (4) | protocol | SPI size | type (2) | SPI | data ... |
// Delete payload, RFC 2408 section 3.15:        | DOI (4) | protocol | SPI size | count (2) | SPIs ... |

export interface NotifyPayload {
  readonly doi: number
  readonly protocol: number
  readonly spi: Uint8Array
  readonly type: number
  readonly data: Uint8Array
}

/** @param body payload without its generic header; the result aliases it. @throws WireError */
export function parseNotify(body: Uint8Array): NotifyPayload {
  const r = new Reader(body)
  const doi = r.u32('N.doi')
  const protocol = r.u8('N.protocol')
  const spiSize = r.u8('N.spiSize')
  const type = r.u16('N.type')
  return { doi, protocol, type, spi: r.take(spiSize, 'N.spi'), data: r.rest() }
}

export function emitNotify(n: NotifyPayload): Uint8Array {
  return new Writer(64)
    .u32(n.doi)
    .u8(n.protocol)
    .u8(n.spi.length)
    .u16(n.type)
    .bytes(n.spi)
    .bytes(n.data)
    .finish()
}

/** More SPIs than one Delete of ours or of a known peer names. */
export const DELETE_SPIS_MAX = 256

export interface DeletePayload {
  readonly doi: number
  readonly protocol: number
  /** 4 octets each for AH and ESP, 16 (both cookies) for ISAKMP. */
  readonly spis: readonly Uint8Array[]
}

/** @param body payload without its generic header; the result aliases it. @throws WireError */
export function parseDelete(body: Uint8Array): DeletePayload {
  const r = new Reader(body)
  const doi = r.u32('D.doi')
  const protocol = r.u8('D.protocol')
  const spiSize = r.u8('D.spiSize')
  const count = r.u16('D.count')
  if (spiSize === 0) throw new WireError('D.spiSize', 5, 'is zero')
  if (count > DELETE_SPIS_MAX) throw new WireError('D.count', 6, `${count} is above ${DELETE_SPIS_MAX}`)
  const spis: Uint8Array[] = []
  for (let i = 0; i < count; i++) spis.push(r.take(spiSize, 'D.spi'))
  r.end('D')
  return { doi, protocol, spis }
}

export function emitDelete(d: DeletePayload): Uint8Array {
  const w = new Writer(64)
  w.u32(d.doi)
    .u8(d.protocol)
    .u8(d.spis[0]?.length ?? 0)
    .u16(d.spis.length)
  for (const spi of d.spis) w.bytes(spi)
  return w.finish()
}

/** The number that a 4-octet SPI is. */
export const spiNumber = (spi: Uint8Array): number =>
  ((spi[0]! << 24) | (spi[1]! << 16) | (spi[2]! << 8) | spi[3]!) >>> 0

export const spiOctets = (spi: number): Uint8Array =>
  Uint8Array.of(spi >>> 24, (spi >>> 16) & 0xff, (spi >>> 8) & 0xff, spi & 0xff)
