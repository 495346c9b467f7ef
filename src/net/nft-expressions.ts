import { compareIp } from '../wire/ip-address.js'
import { ICMP, ICMPV6 } from '../wire/ip-protocol.js'
import { FRAGMENT } from '../wire/ipv6.js'
import type { TrafficSelector } from '../wire/traffic-selector.js'
import { type Attribute, be32, cString } from './netlink-message.js'

// Rules of nf_tables are programs: load something into a register, compare it, go on with the next expression while it
// holds, and at last say a verdict (linux/netfilter/nf_tables.h). Numbers in attributes are in network order; meta data
// that are numbers of the host are compared in host order, octets of packets as they are.

/** One expression: its attributes, ready to be put into a rule. */
export type NftExpression = readonly Attribute[]

const EXPR_NAME = 1
const EXPR_DATA = 2
const DATA_VALUE = 1
const DATA_VERDICT = 2
const VERDICT_CODE = 1
const VERDICT_CHAIN = 2

const REGISTER_VERDICT = 0
const REGISTER = 1
/** The same memory in pieces of four octets, for what is put together. */
const REGISTER_WORD = 8
const CMP_SREG = 1
const CMP_OP = 2
const CMP_DATA = 3
const CMP_EQ = 0
const CMP_NEQ = 1
const CMP_LTE = 3
const CMP_GTE = 5

const META_DREG = 1
const META_KEY = 2
const META_MARK = 3
const META_IIFNAME = 6
const META_OIFNAME = 7
const META_NFPROTO = 15
const META_L4PROTO = 16

const PAYLOAD_DREG = 1
const PAYLOAD_BASE = 2
const PAYLOAD_OFFSET = 3
const PAYLOAD_LEN = 4
const BASE_NETWORK = 1
const BASE_TRANSPORT = 2

const EXTHDR_DREG = 1
const EXTHDR_TYPE = 2
const EXTHDR_OFFSET = 3
const EXTHDR_LEN = 4
const BITWISE_SREG = 1
const BITWISE_DREG = 2
const BITWISE_LEN = 3
const BITWISE_MASK = 4
const BITWISE_XOR = 5

const LOOKUP_SET = 1
const LOOKUP_SREG = 2

const IMMEDIATE_DREG = 1
const IMMEDIATE_DATA = 2
const NF_DROP = 0
const NF_ACCEPT = 1
const NFT_JUMP = -3

const NFPROTO_IPV4 = 2
const NFPROTO_IPV6 = 10
/** Device names are compared with all of IFNAMSIZ. */
const IFNAME_LEN = 16

const be16 = (value: number): Uint8Array => Uint8Array.of(value >>> 8, value & 0xff)

function expression(name: string, data: readonly Attribute[]): NftExpression {
  return [
    [EXPR_NAME, cString(name)],
    [EXPR_DATA, data],
  ]
}

const meta = (key: number): NftExpression =>
  expression('meta', [
    [META_KEY, be32(key)],
    [META_DREG, be32(REGISTER)],
  ])

const payload = (base: number, offset: number, length: number, register = REGISTER): NftExpression =>
  expression('payload', [
    [PAYLOAD_DREG, be32(register)],
    [PAYLOAD_BASE, be32(base)],
    [PAYLOAD_OFFSET, be32(offset)],
    [PAYLOAD_LEN, be32(length)],
  ])

const compare = (operator: number, value: Uint8Array): NftExpression =>
  expression('cmp', [
    [CMP_SREG, be32(REGISTER)],
    [CMP_OP, be32(operator)],
    [CMP_DATA, [[DATA_VALUE, value]]],
  ])

/** The register, octet by octet, is between both ends, which belong to the range. */
function between(first: Uint8Array, last: Uint8Array): NftExpression[] {
  if (compareIp(first, last) === 0) return [compare(CMP_EQ, first)]
  const out: NftExpression[] = []
  if (first.some((octet) => octet !== 0)) out.push(compare(CMP_GTE, first))
  if (last.some((octet) => octet !== 0xff)) out.push(compare(CMP_LTE, last))
  return out
}

function deviceName(name: string): Uint8Array {
  const out = new Uint8Array(IFNAME_LEN)
  new TextEncoder().encodeInto(name, out)
  return out
}

export const inputDeviceIs = (name: string): NftExpression[] => [
  meta(META_IIFNAME),
  compare(CMP_EQ, deviceName(name)),
]
/** Holds for packets without an input device as well. */
export const inputDeviceIsNot = (name: string): NftExpression[] => [
  meta(META_IIFNAME),
  compare(CMP_NEQ, deviceName(name)),
]
export const outputDeviceIs = (name: string): NftExpression[] => [
  meta(META_OIFNAME),
  compare(CMP_EQ, deviceName(name)),
]
export const outputDeviceIsNot = (name: string): NftExpression[] => [
  meta(META_OIFNAME),
  compare(CMP_NEQ, deviceName(name)),
]

/** The packet's mark, a number in the host's (little-endian) order. */
export function markIs(mark: number): NftExpression[] {
  return [meta(META_MARK), compare(CMP_EQ, be32(mark).reverse())]
}

export const familyIs = (family: 4 | 6): NftExpression[] => [
  meta(META_NFPROTO),
  compare(CMP_EQ, Uint8Array.of(family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6)),
]

/** The upper-layer protocol, behind IPv6 extension headers if there are any. */
export const protocolIs = (protocol: number): NftExpression[] => [
  meta(META_L4PROTO),
  compare(CMP_EQ, Uint8Array.of(protocol)),
]

/**
 * A fragment of an IPv6 packet, but not the first one. Nothing comes of it without the first, which has the upper-layer header
 * (RFC 7112), and overlapping ones are dropped (RFC 5722). IPv4 packets are put together before a filter sees them.
 */
export const laterFragment: readonly NftExpression[] = [
  expression('exthdr', [
    [EXTHDR_DREG, be32(REGISTER)],
    [EXTHDR_TYPE, Uint8Array.of(FRAGMENT)],
    [EXTHDR_OFFSET, be32(2)],
    [EXTHDR_LEN, be32(2)],
  ]),
  expression('bitwise', [
    [BITWISE_SREG, be32(REGISTER)],
    [BITWISE_DREG, be32(REGISTER)],
    [BITWISE_LEN, be32(2)],
    [BITWISE_MASK, [[DATA_VALUE, be16(0xfff8)]]],
    [BITWISE_XOR, [[DATA_VALUE, be16(0)]]],
  ]),
  compare(CMP_NEQ, be16(0)),
]

/** An address is in a range; the rule must have said familyIs before. */
export function addressIn(side: End, first: Uint8Array, last: Uint8Array): NftExpression[] {
  const compared = between(first, last)
  return compared.length === 0 ? [] : [address(side, first.length), ...compared]
}

type End = 'source' | 'destination'

/** @param octets of the address, which tell its family */
function address(end: End, octets: number, register = REGISTER): NftExpression {
  const offset = octets === 4 ? (end === 'source' ? 12 : 16) : end === 'source' ? 8 : 24
  return payload(BASE_NETWORK, offset, octets, register)
}

const isIn = (set: string): NftExpression =>
  expression('lookup', [
    [LOOKUP_SET, cString(set)],
    [LOOKUP_SREG, be32(REGISTER)],
  ])

/** An address is in a set of ranges of its family; the rule must have said familyIs before. */
export const addressInSet = (end: End, octets: 4 | 16, set: string): NftExpression[] => [
  address(end, octets),
  isIn(set),
]

/** Source and destination together are in a set of pairs; the rule must have said familyIs before. */
export const addressesInSet = (octets: 4 | 16, set: string): NftExpression[] => [
  address('source', octets, REGISTER_WORD),
  address('destination', octets, REGISTER_WORD + octets / 4),
  isIn(set),
]

/** A port is in a range; the rule must have said protocolIs before. */
export function portIn(side: End, first: number, last: number): NftExpression[] {
  const compared = between(be16(first), be16(last))
  return compared.length === 0 ? [] : [payload(BASE_TRANSPORT, side === 'source' ? 0 : 2, 2), ...compared]
}

/** Type (and code) of ICMP or ICMPv6 as RFC 7296 section 3.13.1 writes them into ports: type in the high octet. */
function icmpIn(first: number, last: number): NftExpression[] {
  const compared = between(be16(first), be16(last))
  return compared.length === 0 ? [] : [payload(BASE_TRANSPORT, 0, 2), ...compared]
}

/** The ICMPv6 type is in a range. */
export const icmpv6TypeIn = (first: number, last: number): NftExpression[] => [
  ...protocolIs(ICMPV6),
  payload(BASE_TRANSPORT, 0, 1),
  ...between(Uint8Array.of(first), Uint8Array.of(last)),
]

/**
 * Packets that a pair of traffic selectors of one family matches. Protocol and ports are those of both; where the
 * protocol is any, the ports are any.
 */
export function selectorsMatch(source: TrafficSelector, destination: TrafficSelector): NftExpression[] {
  const protocol = source.protocol || destination.protocol
  const out = [
    ...familyIs(source.start.length === 4 ? 4 : 6),
    ...addressIn('source', source.start, source.end),
    ...addressIn('destination', destination.start, destination.end),
  ]
  if (protocol === 0) return out
  out.push(...protocolIs(protocol))
  if (protocol === ICMP || protocol === ICMPV6)
    return [
      ...out,
      ...icmpIn(source.startPort, source.endPort),
      ...icmpIn(destination.startPort, destination.endPort),
    ]
  return [
    ...out,
    ...portIn('source', source.startPort, source.endPort),
    ...portIn('destination', destination.startPort, destination.endPort),
  ]
}

/** Counts packets and octets that came as far as this: `nft list ruleset` shows them. */
export const counted: NftExpression = expression('counter', [])

export const verdict = (to: 'accept' | 'drop'): NftExpression =>
  expression('immediate', [
    [IMMEDIATE_DREG, be32(REGISTER_VERDICT)],
    [IMMEDIATE_DATA, [[DATA_VERDICT, [[VERDICT_CODE, be32(to === 'accept' ? NF_ACCEPT : NF_DROP)]]]]],
  ])

/** Goes through the rules of another chain of the table, and on with the next one when none of them has a verdict. */
export const jump = (chain: string): NftExpression =>
  expression('immediate', [
    [IMMEDIATE_DREG, be32(REGISTER_VERDICT)],
    [
      IMMEDIATE_DATA,
      [
        [
          DATA_VERDICT,
          [
            [VERDICT_CODE, be32(NFT_JUMP)],
            [VERDICT_CHAIN, cString(chain)],
          ],
        ],
      ],
    ],
  ])
