import { InternalError, WireError } from '../errors.js'

// Netlink messages (RFC 3549 section 2.3.2, linux/netlink.h). Header fields are host order, which is little-endian on
// every system that native calls are made on; message and attribute lengths exclude the padding to four octets.
//
//   nlmsghdr  octet 0               4       6       8               12              16
//                   +---------------+-------+-------+---------------+---------------+--- - -
//                   | length        | type  | flags | sequence      | port id       | body
//                   +---------------+-------+-------+---------------+---------------+--- - -
//
//   nlattr    octet 0       2       4
//                   +-------+-------+--- - - -
//                   |length | type  | value, padded to 4
//                   +-------+-------+--- - - -

export const NLMSG_HEADER_LEN = 16
const ATTRIBUTE_HEADER_LEN = 4
const NLA_F_NESTED = 0x8000
const NLA_TYPE_MASK = 0x3fff
const ATTRIBUTE_MAX = 0xffff

export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3

export const NLM_F_REQUEST = 0x1
export const NLM_F_ACK = 0x4
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800
export const NLM_F_DUMP = 0x300

/** Type and value; a list of attributes is a nested one. */
export type Attribute = readonly [type: number, value: Uint8Array | readonly Attribute[]]

/** What is asked of the kernel. NLM_F_REQUEST is set by whoever sends it. */
export interface NetlinkRequest {
  readonly type: number
  readonly flags: number
  /** The family's fixed header and the attributes behind it. */
  readonly body: Uint8Array
}

export interface NetlinkMessage {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  /** Aliases what was parsed. */
  readonly body: Uint8Array
}

const padded = (length: number): number => (length + 3) & ~3

/** The attributes in order, each padded to four octets. @throws InternalError when one is longer than 65 531 octets */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const values = attributes.map(([, value]) =>
    value instanceof Uint8Array ? value : encodeAttributes(value),
  )
  const out = new Uint8Array(values.reduce((sum, v) => sum + ATTRIBUTE_HEADER_LEN + padded(v.length), 0))
  let at = 0
  for (const [i, [type, value]] of attributes.entries()) {
    const octets = values[i]!
    const length = ATTRIBUTE_HEADER_LEN + octets.length
    if (length > ATTRIBUTE_MAX)
      throw new InternalError(`netlink attribute ${type} of ${octets.length} octets`)
    put16(out, at, length)
    put16(out, at + 2, value instanceof Uint8Array ? type : type | NLA_F_NESTED)
    out.set(octets, at + ATTRIBUTE_HEADER_LEN)
    at += padded(length)
  }
  return out
}

/**
 * Attributes by type, without the flags for nesting and byte order; the last one of a type wins. Values alias `b`.
 * @throws WireError when a length does not fit
 */
export function decodeAttributes(b: Uint8Array): Map<number, Uint8Array> {
  const out = new Map<number, Uint8Array>()
  for (const [type, value] of decodeAttributeList(b)) out.set(type, value)
  return out
}

/** As decodeAttributes, in order and with repetitions: lists have one type for all elements. */
export function decodeAttributeList(b: Uint8Array): [type: number, value: Uint8Array][] {
  const out: [number, Uint8Array][] = []
  for (let at = 0; at < b.length; ) {
    if (at + ATTRIBUTE_HEADER_LEN > b.length) throw new WireError('nlattr', at, 'header is cut off')
    const length = get16(b, at)
    if (length < ATTRIBUTE_HEADER_LEN || at + length > b.length)
      throw new WireError('nlattr.length', at, `${length}`)
    out.push([get16(b, at + 2) & NLA_TYPE_MASK, b.subarray(at + ATTRIBUTE_HEADER_LEN, at + length)])
    at += padded(length)
  }
  return out
}

/** One message with its header, padded. */
export function encodeMessage(request: NetlinkRequest, sequence: number): Uint8Array {
  const length = NLMSG_HEADER_LEN + request.body.length
  const out = new Uint8Array(padded(length))
  put32(out, 0, length)
  put16(out, 4, request.type)
  put16(out, 6, request.flags | NLM_F_REQUEST)
  put32(out, 8, sequence)
  out.set(request.body, NLMSG_HEADER_LEN)
  return out
}

/** The messages of one datagram. @throws WireError when a length does not fit */
export function decodeMessages(b: Uint8Array): NetlinkMessage[] {
  const out: NetlinkMessage[] = []
  for (let at = 0; at < b.length; ) {
    if (at + NLMSG_HEADER_LEN > b.length) throw new WireError('nlmsghdr', at, 'header is cut off')
    const length = get32(b, at)
    if (length < NLMSG_HEADER_LEN || at + length > b.length)
      throw new WireError('nlmsghdr.length', at, `${length}`)
    out.push({
      type: get16(b, at + 4),
      flags: get16(b, at + 6),
      sequence: get32(b, at + 8),
      body: b.subarray(at + NLMSG_HEADER_LEN, at + length),
    })
    at += padded(length)
  }
  return out
}

function put16(b: Uint8Array, at: number, value: number): void {
  b[at] = value & 0xff
  b[at + 1] = value >>> 8
}

function put32(b: Uint8Array, at: number, value: number): void {
  put16(b, at, value & 0xffff)
  put16(b, at + 2, value >>> 16)
}

const get16 = (b: Uint8Array, at: number): number => b[at]! | (b[at + 1]! << 8)

function get32(b: Uint8Array, at: number): number {
  return (get16(b, at) | (get16(b, at + 2) << 16)) >>> 0
}

/** A u32 in host order. @throws WireError when it is shorter than that */
export function host32(b: Uint8Array, at = 0): number {
  if (at + 4 > b.length) throw new WireError('netlink.u32', at, 'is cut off')
  return get32(b, at)
}

/** A u16 in host order, as an attribute's value. */
export const u16 = (value: number): Uint8Array => Uint8Array.of(value & 0xff, value >>> 8)

/** A u32 in host order (rtnetlink). */
export function u32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  put32(out, 0, value)
  return out
}

/** A u32 in network order (nfnetlink). */
export const be32 = (value: number): Uint8Array => u32(value).reverse()

/** Text with the zero octet that netlink strings end with. */
export const cString = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`)
