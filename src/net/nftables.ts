import { concat } from '../bytes/octets.js'
import { SystemError } from '../errors.js'
import { describeErrno, EINVAL, ENOENT, EOPNOTSUPP } from '../ffi/errno.js'
import { successor } from '../wire/address-range.js'
import type { NetlinkSocket } from './netlink.js'
import {
  type Attribute,
  be32,
  cString,
  encodeAttributes,
  encodeMessage,
  type NetlinkRequest,
  NLM_F_APPEND,
  NLM_F_CREATE,
} from './netlink-message.js'
import type { NftExpression } from './nft-expressions.js'

// nfnetlink (linux/netfilter/nfnetlink.h): message types are subsystem << 8 | number; behind the netlink header comes
// struct nfgenmsg: family u8, version u8, resource id u16 in network order.

const SUBSYSTEM_NFTABLES = 10
const NFNL_MSG_BATCH_BEGIN = 16
const NFNL_MSG_BATCH_END = 17
const NFT_MSG_NEWTABLE = 0
const NFT_MSG_GETTABLE = 1
const NFT_MSG_DELTABLE = 2
const NFT_MSG_NEWCHAIN = 3
const NFT_MSG_NEWRULE = 6
const NFT_MSG_NEWSET = 9
const NFT_MSG_NEWSETELEM = 12
const NFPROTO_UNSPEC = 0
const NFPROTO_INET = 1

const TABLE_NAME = 1
const CHAIN_TABLE = 1
const CHAIN_NAME = 3
const CHAIN_HOOK = 4
const CHAIN_POLICY = 5
const CHAIN_TYPE = 7
const HOOK_NUMBER = 1
const HOOK_PRIORITY = 2
const RULE_TABLE = 1
const RULE_CHAIN = 2
const RULE_EXPRESSIONS = 4
const RULE_USERDATA = 7
const LIST_ELEMENT = 1
const SET_TABLE = 1
const SET_NAME = 2
const SET_FLAGS = 3
const SET_KEY_TYPE = 4
const SET_KEY_LEN = 5
const SET_ID = 10
const SET_INTERVAL = 4
const ELEMENTS_TABLE = 1
const ELEMENTS_SET = 2
const ELEMENTS_LIST = 3
const ELEMENT_KEY = 1
const ELEMENT_FLAGS = 3
const ELEMENT_INTERVAL_END = 1
const DATA_VALUE = 1
/** Numbers of the nft tool for types of keys; of two in one, six bits each. */
const TYPE_ADDRESS = { 4: 7, 16: 8 } as const
const TYPE_BITS = 6
/** A list of attributes has 65 535 octets at most; an element of two IPv6 addresses has 48. */
const ELEMENTS_A_MESSAGE = 1_000
const NF_ACCEPT = 1
/** Userdata of the nft tool (libnftnl): type 0 is a comment with a zero octet at its end. */
const UDATA_COMMENT = 0
const COMMENT_MAX = 120

const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const

export interface NftRule {
  /** What `nft list ruleset` shows beside it; at most 120 octets of it are kept. */
  readonly comment: string
  readonly expressions: readonly NftExpression[]
}

/** With a hook a base chain, whose policy is to accept; without one the rules are there for `jump`. */
export interface NftChain {
  readonly name: string
  readonly hook?: keyof typeof HOOKS
  /** Chains of a hook run in ascending order: raw -300, mangle -150, filter 0. */
  readonly priority?: number
  readonly rules: readonly NftRule[]
}

/** Of addresses of one family: ranges that do not meet, ascending, or pairs of single addresses. */
export type NftSet = { readonly name: string; readonly octets: 4 | 16 } & (
  | { readonly ranges: readonly { readonly start: Uint8Array; readonly end: Uint8Array }[] }
  | { readonly pairs: readonly (readonly [Uint8Array, Uint8Array])[] }
)

/** A table of family inet: IPv4 and IPv6. */
export interface NftTable {
  readonly name: string
  readonly sets: readonly NftSet[]
  /** A chain stands before those that jump to it. */
  readonly chains: readonly NftChain[]
}

/**
 * Puts the table in place, whole or not at all. One of the same name is replaced in the same instant: no packet meets
 * neither of the two.
 * @throws SystemError
 */
export function replaceTable(netlink: NetlinkSocket, table: NftTable): void {
  run(netlink, `set nftables table inet ${table.name}`, replacement(table))
}

/** Octets of the messages by which a table is put in place: what BATCH_OCTETS_MAX bounds. */
export const tableOctets = (table: NftTable): number =>
  batchOf(replacement(table)).reduce((sum, r) => sum + encodeMessage(r, 0).length, 0)

function replacement(table: NftTable): NetlinkRequest[] {
  const name: Attribute = [TABLE_NAME, cString(table.name)]
  return [
    // Without NLM_F_EXCL an existing table is no error: the deletion behind it always has something to delete.
    request(NFT_MSG_NEWTABLE, NLM_F_CREATE, [name]),
    request(NFT_MSG_DELTABLE, 0, [name]),
    request(NFT_MSG_NEWTABLE, NLM_F_CREATE, [name]),
    ...table.sets.flatMap((set, i) => setRequests(table, set, i + 1)),
    ...table.chains.flatMap((chain) => [chainRequest(table, chain), ...ruleRequests(table, chain)]),
  ]
}

/** @returns false when there is no such table (any more) */
export function deleteTable(netlink: NetlinkSocket, name: string): boolean {
  const requests = [request(NFT_MSG_DELTABLE, 0, [[TABLE_NAME, cString(name)]])]
  return run(netlink, `delete nftables table inet ${name}`, requests, [ENOENT]) === 0
}

/** Whether there is a table of that name and family inet. */
export function tableExists(netlink: NetlinkSocket, name: string): boolean {
  const asked = request(NFT_MSG_GETTABLE, 0, [[TABLE_NAME, cString(name)]])
  return typeof netlink.ask(`look up nftables table inet ${name}`, asked, [ENOENT]) !== 'number'
}

/** @param id of the set within the batch */
function setRequests(table: NftTable, set: NftSet, id: number): NetlinkRequest[] {
  const single = TYPE_ADDRESS[set.octets]
  const [type, length, flags] =
    'ranges' in set ? [single, set.octets, SET_INTERVAL] : [(single << TYPE_BITS) | single, 2 * set.octets, 0]
  const elements =
    'ranges' in set ? set.ranges.flatMap(rangeElements) : set.pairs.map((pair) => element(concat(...pair)))
  const out = [
    request(NFT_MSG_NEWSET, NLM_F_CREATE, [
      [SET_TABLE, cString(table.name)],
      [SET_NAME, cString(set.name)],
      [SET_FLAGS, be32(flags)],
      [SET_KEY_TYPE, be32(type)],
      [SET_KEY_LEN, be32(length)],
      [SET_ID, be32(id)],
    ]),
  ]
  for (let i = 0; i < elements.length; i += ELEMENTS_A_MESSAGE)
    out.push(
      request(NFT_MSG_NEWSETELEM, NLM_F_CREATE, [
        [ELEMENTS_TABLE, cString(table.name)],
        [ELEMENTS_SET, cString(set.name)],
        [ELEMENTS_LIST, elements.slice(i, i + ELEMENTS_A_MESSAGE)],
      ]),
    )
  return out
}

const element = (key: Uint8Array, more: readonly Attribute[] = []): Attribute => [
  LIST_ELEMENT,
  [[ELEMENT_KEY, [[DATA_VALUE, key]]], ...more],
]

/** A range is where it begins, and where what is behind it does. */
function rangeElements({
  start,
  end,
}: {
  readonly start: Uint8Array
  readonly end: Uint8Array
}): Attribute[] {
  const behind = successor(end)
  const first = element(start)
  return behind === undefined
    ? [first]
    : [first, element(behind, [[ELEMENT_FLAGS, be32(ELEMENT_INTERVAL_END)]])]
}

function chainRequest(table: NftTable, { name, hook, priority = 0 }: NftChain): NetlinkRequest {
  const which: Attribute[] = [
    [CHAIN_TABLE, cString(table.name)],
    [CHAIN_NAME, cString(name)],
  ]
  if (hook === undefined) return request(NFT_MSG_NEWCHAIN, NLM_F_CREATE, which)
  return request(NFT_MSG_NEWCHAIN, NLM_F_CREATE, [
    ...which,
    [
      CHAIN_HOOK,
      [
        [HOOK_NUMBER, be32(HOOKS[hook])],
        [HOOK_PRIORITY, be32(priority)],
      ],
    ],
    [CHAIN_POLICY, be32(NF_ACCEPT)],
    [CHAIN_TYPE, cString('filter')],
  ])
}

function ruleRequests(table: NftTable, chain: NftChain): NetlinkRequest[] {
  return chain.rules.map((rule) =>
    request(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, [
      [RULE_TABLE, cString(table.name)],
      [RULE_CHAIN, cString(chain.name)],
      [RULE_EXPRESSIONS, rule.expressions.map((e): Attribute => [LIST_ELEMENT, e])],
      [RULE_USERDATA, comment(rule.comment)],
    ]),
  )
}

function comment(text: string): Uint8Array {
  const octets = concat(new TextEncoder().encode(text).subarray(0, COMMENT_MAX), Uint8Array.of(0))
  return concat(Uint8Array.of(UDATA_COMMENT, octets.length), octets)
}

function request(type: number, flags: number, attributes: readonly Attribute[]): NetlinkRequest {
  const body = concat(Uint8Array.of(NFPROTO_INET, 0, 0, 0), encodeAttributes(attributes))
  return { type: (SUBSYSTEM_NFTABLES << 8) | type, flags, body }
}

/** The edge of a batch; its resource id names the subsystem. */
const edge = (type: number): NetlinkRequest => ({
  type,
  flags: 0,
  body: Uint8Array.of(NFPROTO_UNSPEC, 0, 0, SUBSYSTEM_NFTABLES),
})

const batchOf = (requests: readonly NetlinkRequest[]): NetlinkRequest[] => [
  edge(NFNL_MSG_BATCH_BEGIN),
  ...requests,
  edge(NFNL_MSG_BATCH_END),
]

function run(
  netlink: NetlinkSocket,
  what: string,
  requests: readonly NetlinkRequest[],
  tolerated: readonly number[] = [],
): number {
  const r = netlink.batch(what, batchOf(requests), [...tolerated, EOPNOTSUPP, EINVAL])
  if (r !== EOPNOTSUPP && r !== EINVAL) return r
  // Without nf_tables the subsystem is unknown: EOPNOTSUPP, or EINVAL from older kernels.
  throw new SystemError(
    'nfnetlink',
    r,
    `cannot ${what}: ${describeErrno(r)}. This kernel may lack nf_tables with family inet: load it with ` +
      '"modprobe nf_tables_inet" or "modprobe nf_tables"',
  )
}
