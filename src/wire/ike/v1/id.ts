import { concat } from '../../../bytes/octets.js'
import { Reader } from '../../../bytes/reader.js'
import { Writer } from '../../../bytes/writer.js'
import { WireError } from '../../../errors.js'
import { compareIp, firstAddress, type IpAddress, lastAddress } from '../../ip-address.js'
import { selectorPrefix, type TrafficSelector } from '../../traffic-selector.js'
import { ID_TYPE } from './numbers.js'

// Identification payload, RFC 2407 section 4.6.2: an identity in phase 1, a traffic selector in Quick Mode. NAT-OA has
// nearly the same form (RFC 3947 section 5.2).
//
//  | ID type | protocol | port (2) | data ... |

export interface IdPayload {
  readonly type: number
  readonly protocol: number
  readonly port: number
  readonly data: Uint8Array
}

/** @param body payload without its generic header; the result aliases it. @throws WireError */
export function parseId(body: Uint8Array): IdPayload {
  const r = new Reader(body)
  const type = r.u8('ID.type')
  const protocol = r.u8('ID.protocol')
  const port = r.u16('ID.port')
  if (r.left === 0) throw new WireError('ID.data', r.at, 'is empty')
  return { type, protocol, port, data: r.rest() }
}

export function emitId(id: IdPayload): Uint8Array {
  return new Writer(64).u8(id.type).u8(id.protocol).u16(id.port).bytes(id.data).finish()
}

/**
 * The selector that a Quick Mode identity stands for. Port 0 means any.
 * @throws WireError for other types, wrong lengths, a mask with holes or a range that runs backwards
 */
export function selectorOfId(id: IdPayload): TrafficSelector {
  const { start, end } = rangeOfId(id)
  return {
    start: new Uint8Array(start),
    end: new Uint8Array(end),
    protocol: id.protocol,
    startPort: id.port,
    endPort: id.port === 0 ? 0xffff : id.port,
  }
}

function rangeOfId(id: IdPayload): { start: IpAddress; end: IpAddress } {
  const { data, type } = id
  switch (type) {
    case ID_TYPE.IPV4_ADDR:
    case ID_TYPE.IPV6_ADDR:
      expectLength(data, type === ID_TYPE.IPV4_ADDR ? 4 : 16)
      return { start: data, end: data }
    case ID_TYPE.IPV4_ADDR_SUBNET:
    case ID_TYPE.IPV6_ADDR_SUBNET: {
      const half = type === ID_TYPE.IPV4_ADDR_SUBNET ? 4 : 16
      expectLength(data, half * 2)
      const prefix = { address: data.subarray(0, half), length: maskLength(data.subarray(half)) }
      return { start: firstAddress(prefix), end: lastAddress(prefix) }
    }
    case ID_TYPE.IPV4_ADDR_RANGE:
    case ID_TYPE.IPV6_ADDR_RANGE: {
      const half = type === ID_TYPE.IPV4_ADDR_RANGE ? 4 : 16
      expectLength(data, half * 2)
      const start = data.subarray(0, half)
      const end = data.subarray(half)
      if (compareIp(start, end) > 0) throw new WireError('ID.data', 4, 'the range runs backwards')
      return { start, end }
    }
    default:
      throw new WireError('ID.type', 0, `${type} is no address, subnet or range`)
  }
}

function expectLength(data: Uint8Array, length: number): void {
  if (data.length !== length) throw new WireError('ID.data', 4, `has ${data.length} octets, not ${length}`)
}

function maskLength(mask: Uint8Array): number {
  let length = 0
  while (length < mask.length * 8 && ((mask[length >>> 3]! << (length & 7)) & 0x80) !== 0) length++
  if (compareIp(maskOf(mask.length, length), mask) !== 0)
    throw new WireError('ID.data', 4, 'the mask has holes')
  return length
}

const maskOf = (octets: number, length: number): Uint8Array =>
  firstAddress({ address: new Uint8Array(octets).fill(0xff), length })

/**
 * The Quick Mode identity for a selector: address, subnet or range, whichever is the simplest.
 * @returns undefined for a range of ports, which IKEv1 cannot say
 */
export function idOfSelector(ts: TrafficSelector): IdPayload | undefined {
  const anyPort = ts.startPort === 0 && ts.endPort === 0xffff
  if (!anyPort && ts.startPort !== ts.endPort) return undefined
  const v4 = ts.start.length === 4
  const prefix = selectorPrefix(ts)
  const base = { protocol: ts.protocol, port: anyPort ? 0 : ts.startPort }
  if (prefix === undefined)
    return {
      ...base,
      type: v4 ? ID_TYPE.IPV4_ADDR_RANGE : ID_TYPE.IPV6_ADDR_RANGE,
      data: concat(ts.start, ts.end),
    }
  if (prefix.length === ts.start.length * 8)
    return { ...base, type: v4 ? ID_TYPE.IPV4_ADDR : ID_TYPE.IPV6_ADDR, data: new Uint8Array(ts.start) }
  return {
    ...base,
    type: v4 ? ID_TYPE.IPV4_ADDR_SUBNET : ID_TYPE.IPV6_ADDR_SUBNET,
    data: concat(ts.start, maskOf(ts.start.length, prefix.length)),
  }
}

// NAT-OA: | ID type (1 or 5) | 0 (3) | address |

/** @throws WireError */
export function parseNatOa(body: Uint8Array): IpAddress {
  const id = parseId(body)
  if (id.type !== ID_TYPE.IPV4_ADDR && id.type !== ID_TYPE.IPV6_ADDR)
    throw new WireError('NAT-OA.type', 0, `${id.type} is no address`)
  expectLength(id.data, id.type === ID_TYPE.IPV4_ADDR ? 4 : 16)
  return id.data
}

export const emitNatOa = (address: IpAddress): Uint8Array =>
  emitId({
    type: address.length === 4 ? ID_TYPE.IPV4_ADDR : ID_TYPE.IPV6_ADDR,
    protocol: 0,
    port: 0,
    data: address,
  })
