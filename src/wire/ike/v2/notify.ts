import { Reader } from '../../../bytes/reader.js'
import { Writer } from '../../../bytes/writer.js'
import { WireError } from '../../../errors.js'
import { PROTOCOL } from './numbers.js'

// Notify, RFC 7296 section 3.10:  | protocol | SPI size | type (2) | SPI | data ... |
// Delete, RFC 7296 section 3.11:  | protocol | SPI size | count (2) | SPIs ... |

export interface NotifyPayload {
  /** 0 where there is no SPI. */
  readonly protocol: number
  readonly spi: Uint8Array
  readonly type: number
  readonly data: Uint8Array
}

/** @param body payload without its generic header; the result aliases it. @throws WireError */
export function parseNotify(body: Uint8Array): NotifyPayload {
  const r = new Reader(body)
  const protocol = r.u8('N.protocol')
  const spiSize = r.u8('N.spiSize')
  const type = r.u16('N.type')
  return { protocol, type, spi: r.take(spiSize, 'N.spi'), data: r.rest() }
}

export const emitNotify = (n: NotifyPayload): Uint8Array =>
  new Writer(4 + n.spi.length + n.data.length)
    .u8(n.protocol)
    .u8(n.spi.length)
    .u16(n.type)
    .bytes(n.spi)
    .bytes(n.data)
    .finish()

/** More SPIs than the largest message has room for. */
export const DELETE_SPIS_MAX = 4_096

export interface DeletePayload {
  readonly protocol: number
  /** Inbound SPIs of the sender, host order; none for the IKE SA itself. */
  readonly spis: readonly number[]
}

/** @param body payload without its generic header. @throws WireError */
export function parseDelete(body: Uint8Array): DeletePayload {
  const r = new Reader(body)
  const protocol = r.u8('D.protocol')
  const spiSize = r.u8('D.spiSize')
  const count = r.u16('D.count')
  const expected = protocol === PROTOCOL.IKE ? 0 : 4
  if (spiSize !== expected) throw new WireError('D.spiSize', 1, `is ${spiSize}, not ${expected}`)
  if (protocol === PROTOCOL.IKE && count !== 0) throw new WireError('D.count', 2, 'is not 0 for the IKE SA')
  if (count > DELETE_SPIS_MAX) throw new WireError('D.count', 2, `${count} is above ${DELETE_SPIS_MAX}`)
  const spis: number[] = []
  for (let i = 0; i < count; i++) spis.push(r.u32('D.spi'))
  r.end('D')
  return { protocol, spis }
}

export function emitDelete(d: DeletePayload): Uint8Array {
  const w = new Writer(4 + 4 * d.spis.length)
  w.u8(d.protocol)
    .u8(d.protocol === PROTOCOL.IKE ? 0 : 4)
    .u16(d.spis.length)
  for (const spi of d.spis) w.u32(spi)
  return w.finish()
}
