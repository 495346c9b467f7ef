import { concat } from '../bytes/octets.js'
import { ENODEV, ESRCH } from '../ffi/errno.js'
import { formatPrefix, type IpAddress, type Prefix } from '../wire/ip-address.js'
import type { NetlinkSocket } from './netlink.js'
import { type Attribute, encodeAttributes, NLM_F_CREATE, NLM_F_REPLACE, u32 } from './netlink-message.js'
import { familyOf, RT_TABLE_MAIN, RTM_DELROUTE, RTM_NEWROUTE, RTPROT_SALLYPORT } from './rtnetlink.js'

// struct rtmsg: family u8, destination length u8, source length u8, tos u8, table u8, protocol u8, scope u8, type u8,
// flags u32
const RTMSG_LEN = 12
const RTMSG_TABLE = 4
const RTMSG_PROTOCOL = 5
const RTMSG_TYPE = 7
const RT_SCOPE_UNIVERSE = 0
const RT_SCOPE_LINK = 253
const RTN_UNICAST = 1
const RTN_BLACKHOLE = 6
const RTA_DST = 1
const RTA_OIF = 4
const RTA_PRIORITY = 6
const RTA_PREFSRC = 7
const RTA_TABLE = 15

/** A route through a device, or one that discards. A host has one route a destination, table and metric. */
export interface Route {
  readonly destination: Prefix
  /** 254 is the main one. */
  readonly table: number
  /** Lower wins. 0: the kernel's choice (IPv4 0, IPv6 1024). */
  readonly metric: number
  readonly via:
    | { readonly kind: 'device'; readonly index: number; readonly source?: IpAddress | undefined }
    | { readonly kind: 'blackhole' }
}

export const MAIN_TABLE = RT_TABLE_MAIN

/** Adds the route, or puts it in place of one with the same destination, table and metric. */
export function replaceRoute(netlink: NetlinkSocket, route: Route): void {
  const body = message(route)
  netlink.change(`set ${describe(route)}`, { type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE, body })
}

/** @returns false when there was no such route (any more) */
export function deleteRoute(netlink: NetlinkSocket, route: Route): boolean {
  return (
    netlink.change(`delete ${describe(route)}`, { type: RTM_DELROUTE, flags: 0, body: message(route) }, [
      ESRCH,
      ENODEV,
    ]) === 0
  )
}

function message({ destination, table, metric, via }: Route): Uint8Array {
  const header = new Uint8Array(RTMSG_LEN)
  header[0] = familyOf(destination.address)
  header[1] = destination.length
  // Tables above 255 are said by RTA_TABLE alone.
  header[RTMSG_TABLE] = table < 256 ? table : 0
  header[RTMSG_PROTOCOL] = RTPROT_SALLYPORT
  header[6] = via.kind === 'device' && destination.address.length === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE
  header[RTMSG_TYPE] = via.kind === 'device' ? RTN_UNICAST : RTN_BLACKHOLE
  const attributes: Attribute[] = [[RTA_TABLE, u32(table)]]
  if (destination.length > 0) attributes.push([RTA_DST, destination.address])
  if (metric !== 0) attributes.push([RTA_PRIORITY, u32(metric)])
  if (via.kind === 'device') {
    attributes.push([RTA_OIF, u32(via.index)])
    if (via.source) attributes.push([RTA_PREFSRC, via.source])
  }
  return concat(header, encodeAttributes(attributes))
}

function describe(route: Route): string {
  const kind = route.via.kind === 'blackhole' ? 'the blackhole route' : 'the route'
  const table = route.table === RT_TABLE_MAIN ? '' : ` in table ${route.table}`
  return `${kind} to ${formatPrefix(route.destination)}${table}`
}
