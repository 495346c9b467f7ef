import { Reader } from '../../../bytes/reader.js'
import { Writer } from '../../../bytes/writer.js'
import { WireError } from '../../../errors.js'
import { compareIp } from '../../ip-address.js'
import type { TrafficSelector } from '../../traffic-selector.js'

// TSi and TSr payloads, RFC 7296 section 3.13.
//
//  | count | 0 (3) | selectors ... |
//  selector: | type | IP protocol | length (2) | start port (2) | end port (2) | start address | end address |

const IPV4_ADDR_RANGE = 7
const IPV6_ADDR_RANGE = 8

/** What the count has room for. */
export const SELECTORS_MAX = 255

/**
 * @param body payload without its generic header; the result is a copy
 * @returns the selectors of known types. OPAQUE ports (start 65535, end 0) are left out as well: we have no policy for them
 * @throws WireError on wrong lengths, a range that runs backwards, or none at all
 */
export function parseSelectors(body: Uint8Array): TrafficSelector[] {
  const r = new Reader(body)
  const count = r.u8('TS.count')
  r.take(3, 'TS.reserved')
  if (count === 0) throw new WireError('TS.count', 0, 'is zero')
  const out: TrafficSelector[] = []
  for (let i = 0; i < count; i++) {
    const at = r.at
    const type = r.u8('TS.type')
    const protocol = r.u8('TS.protocol')
    const length = r.u16('TS.length')
    if (length < 4) throw new WireError('TS.length', at + 2, `${length} is below 4`)
    const rest = new Reader(r.take(length - 4, 'TS.selector'))
    if (type !== IPV4_ADDR_RANGE && type !== IPV6_ADDR_RANGE) continue
    const octets = type === IPV4_ADDR_RANGE ? 4 : 16
    const startPort = rest.u16('TS.startPort')
    const endPort = rest.u16('TS.endPort')
    const start = new Uint8Array(rest.take(octets, 'TS.start'))
    const end = new Uint8Array(rest.take(octets, 'TS.end'))
    rest.end('TS.selector')
    if (compareIp(start, end) > 0) throw new WireError('TS.end', at, 'the range of addresses runs backwards')
    if (startPort === 0xffff && endPort === 0) continue
    if (startPort > endPort) throw new WireError('TS.endPort', at, 'the range of ports runs backwards')
    out.push({ start, end, protocol, startPort, endPort })
  }
  r.end('TS')
  return out
}

/** The payload's body. @param selectors at most SELECTORS_MAX */
export function emitSelectors(selectors: readonly TrafficSelector[]): Uint8Array {
  const w = new Writer()
  w.u8(selectors.length).zeros(3)
  for (const s of selectors) {
    w.u8(s.start.length === 4 ? IPV4_ADDR_RANGE : IPV6_ADDR_RANGE)
      .u8(s.protocol)
      .u16(8 + 2 * s.start.length)
    w.u16(s.startPort).u16(s.endPort).bytes(s.start).bytes(s.end)
  }
  return w.finish()
}
