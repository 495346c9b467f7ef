import { concat } from '../bytes/octets.js'
import { EAFNOSUPPORT, EEXIST, ENOENT } from '../ffi/errno.js'
import { AF_INET, AF_INET6 } from '../ffi/layout/sockaddr.js'
import type { NetlinkSocket } from './netlink.js'
import { encodeAttributes, NLM_F_CREATE, NLM_F_EXCL, u32 } from './netlink-message.js'
import { RTM_DELRULE, RTM_NEWRULE, RTPROT_SALLYPORT } from './rtnetlink.js'

// struct fib_rule_hdr: family u8, destination length u8, source length u8, tos u8, table u8, reserved u16, action u8,
// flags u32
const RULE_HEADER_LEN = 12
const RULE_ACTION = 7
const FR_ACT_TO_TBL = 1
const FIB_RULE_INVERT = 2
const FRA_PRIORITY = 6
const FRA_FWMARK = 10
const FRA_TABLE = 15
const FRA_FWMASK = 16
const FRA_PROTOCOL = 21

/** "not fwmark M lookup T": everything but what the gateway itself sends is routed by table T first. */
export interface MarkRule {
  readonly family: 4 | 6
  readonly mark: number
  readonly table: number
  /** Rules are asked in ascending order; the main table's is 32766. */
  readonly priority: number
}

/** @returns false when there is exactly this rule already */
export function addRule(netlink: NetlinkSocket, rule: MarkRule): boolean {
  const flags = NLM_F_CREATE | NLM_F_EXCL
  return (
    netlink.change(`add ${describe(rule)}`, { type: RTM_NEWRULE, flags, body: message(rule) }, [EEXIST]) === 0
  )
}

/** @returns false when there is no such rule (any more) */
export function deleteRule(netlink: NetlinkSocket, rule: MarkRule): boolean {
  const gone = [ENOENT, EAFNOSUPPORT]
  return (
    netlink.change(`delete ${describe(rule)}`, { type: RTM_DELRULE, flags: 0, body: message(rule) }, gone) ===
    0
  )
}

function message({ family, mark, table, priority }: MarkRule): Uint8Array {
  const header = new Uint8Array(RULE_HEADER_LEN)
  header[0] = family === 4 ? AF_INET : AF_INET6
  header[RULE_ACTION] = FR_ACT_TO_TBL
  header.set(u32(FIB_RULE_INVERT), 8)
  return concat(
    header,
    encodeAttributes([
      [FRA_TABLE, u32(table)],
      [FRA_PRIORITY, u32(priority)],
      [FRA_FWMARK, u32(mark)],
      [FRA_FWMASK, u32(0xffffffff)],
      [FRA_PROTOCOL, Uint8Array.of(RTPROT_SALLYPORT)],
    ]),
  )
}

const describe = ({ family, mark, table }: MarkRule): string =>
  `the IPv${family} routing rule "not fwmark 0x${mark.toString(16)} lookup ${table}"`
