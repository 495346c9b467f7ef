import { concat } from '../bytes/octets.js'
import { SystemError } from '../errors.js'
import { EACCES, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, ENODEV } from '../ffi/errno.js'
import { formatIp, type IpAddress } from '../wire/ip-address.js'
import type { NetlinkSocket } from './netlink.js'
import {
  type Attribute,
  cString,
  decodeAttributes,
  encodeAttributes,
  host32,
  u32,
} from './netlink-message.js'
import {
  familyOf,
  RTM_F_FIB_MATCH,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTM_NEWLINK,
  RTMSG_FLAGS,
} from './rtnetlink.js'

// struct ifinfomsg: family u8, padding u8, type u16, index i32, flags u32, change u32
const IFINFOMSG_LEN = 16
const IFINFOMSG_TYPE = 2
const IFINFOMSG_INDEX = 4
const IFINFOMSG_FLAGS = 8
const IFINFOMSG_CHANGE = 12
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFF_UP = 1
/** Link type of Ethernet, and of what behaves like it: bridges, bonds, VLANs, virtual functions. */
const ARPHRD_ETHER = 1

// struct rtmsg, see routes.ts
const RTMSG_LEN = 12
const RTA_DST = 1
const RTA_SRC = 2
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_PREFSRC = 7
const RTA_METRICS = 8
const RTA_MARK = 16
const RTA_VIA = 18
const RTAX_MTU = 2
export const RTN_UNICAST = 1
export const RTN_LOCAL = 2
/** No route, or one of type unreachable, prohibit or blackhole (EINVAL). */
const NO_WAY = [ENETUNREACH, EHOSTUNREACH, ENETDOWN, EACCES, EINVAL]

export interface Link {
  readonly index: number
  readonly name: string
  readonly mtu: number
  readonly up: boolean
  readonly ethernet: boolean
}

/** The network device of that name, or undefined. */
export function findLink(netlink: NetlinkSocket, name: string): Link | undefined {
  return getLink(netlink, `look up network device ${name}`, 0, [[IFLA_IFNAME, cString(name)]])
}

/** @throws SystemError when there is none */
export function linkByName(netlink: NetlinkSocket, name: string): Link {
  const link = findLink(netlink, name)
  if (!link) throw new SystemError('RTM_GETLINK', ENODEV, `there is no network device ${name}`)
  return link
}

export function linkByIndex(netlink: NetlinkSocket, index: number): Link | undefined {
  return getLink(netlink, `look up network device ${index}`, index, [])
}

function getLink(
  netlink: NetlinkSocket,
  what: string,
  index: number,
  attributes: Attribute[],
): Link | undefined {
  const body = concat(ifinfomsg(index, 0, 0), encodeAttributes(attributes))
  const answer = netlink.ask(what, { type: RTM_GETLINK, flags: 0, body }, [ENODEV])
  if (typeof answer === 'number') return undefined
  const found = decodeAttributes(answer.body.subarray(IFINFOMSG_LEN))
  const name = found.get(IFLA_IFNAME)
  const mtu = found.get(IFLA_MTU)
  return {
    index: host32(answer.body, IFINFOMSG_INDEX),
    name: name ? new TextDecoder().decode(name).replace(/\0.*$/s, '') : '',
    mtu: mtu ? host32(mtu) : 0,
    up: (host32(answer.body, IFINFOMSG_FLAGS) & IFF_UP) !== 0,
    ethernet: (answer.body[IFINFOMSG_TYPE]! | (answer.body[IFINFOMSG_TYPE + 1]! << 8)) === ARPHRD_ETHER,
  }
}

/** @throws SystemError, EINVAL when the device cannot have that MTU */
export function setMtu(netlink: NetlinkSocket, link: Link, mtu: number): void {
  const body = concat(ifinfomsg(link.index, 0, 0), encodeAttributes([[IFLA_MTU, u32(mtu)]]))
  netlink.change(`set the MTU of ${link.name} to ${mtu}`, { type: RTM_NEWLINK, flags: 0, body })
}

export function setUp(netlink: NetlinkSocket, link: Link): void {
  const body = ifinfomsg(link.index, IFF_UP, IFF_UP)
  netlink.change(`set ${link.name} up`, { type: RTM_NEWLINK, flags: 0, body })
}

function ifinfomsg(index: number, flags: number, change: number): Uint8Array {
  const out = new Uint8Array(IFINFOMSG_LEN)
  out.set(u32(index), IFINFOMSG_INDEX)
  out.set(u32(flags), IFINFOMSG_FLAGS)
  out.set(u32(change), IFINFOMSG_CHANGE)
  return out
}

/** How packets reach an address. */
export interface Reach {
  /** RTN_ value: 1 unicast, 2 local. */
  readonly kind: number
  readonly link: Link
  /** The source that the kernel would choose. */
  readonly source: IpAddress | undefined
  /** The next hop; undefined where the destination is on the link itself. */
  readonly gateway: IpAddress | undefined
  /** MTU of the route, or else of the device. */
  readonly mtu: number
}

/**
 * Asks the kernel's routing for the way of a packet to `address` with this mark.
 * @param from the packet's source, an address of this host; absent: not chosen yet
 * @returns undefined where there is none: no route, or one that discards
 */
export function reach(
  netlink: NetlinkSocket,
  address: IpAddress,
  mark: number,
  from?: IpAddress,
): Reach | undefined {
  const header = new Uint8Array(RTMSG_LEN)
  header[0] = familyOf(address)
  header[1] = address.length * 8
  const attributes: Attribute[] = [[RTA_DST, address]]
  if (from) {
    header[2] = from.length * 8
    attributes.push([RTA_SRC, from])
  }
  if (mark !== 0) attributes.push([RTA_MARK, u32(mark)])
  const body = concat(header, encodeAttributes(attributes))
  const what = `look up the route to ${formatIp(address)}`
  // A route of type blackhole, unreachable or prohibit answers with the error that a sender would get.
  const answer = netlink.ask(what, { type: RTM_GETROUTE, flags: 0, body }, NO_WAY)
  if (typeof answer === 'number') return undefined
  const found = decodeAttributes(answer.body.subarray(RTMSG_LEN))
  const oif = found.get(RTA_OIF)
  const link = oif && linkByIndex(netlink, host32(oif))
  const kind = answer.body[7]!
  if (!link || (kind !== RTN_UNICAST && kind !== RTN_LOCAL)) return undefined
  // What the kernel has learnt of a path may be a forger's word; the route itself is this host's.
  header.set(u32(RTM_F_FIB_MATCH), RTMSG_FLAGS)
  const own = concat(header, encodeAttributes(attributes))
  const route = netlink.ask(what, { type: RTM_GETROUTE, flags: 0, body: own }, NO_WAY)
  const mtu = typeof route === 'number' ? undefined : mtuOf(route.body)
  return {
    kind,
    link,
    source: found.get(RTA_PREFSRC),
    // RTA_VIA has its family in front: an IPv4 route by way of an IPv6 neighbour.
    gateway: found.get(RTA_GATEWAY) ?? found.get(RTA_VIA)?.subarray(2),
    mtu: mtu ?? link.mtu,
  }
}

function mtuOf(route: Uint8Array): number | undefined {
  const metrics = decodeAttributes(route.subarray(RTMSG_LEN)).get(RTA_METRICS)
  const mtu = metrics && decodeAttributes(metrics).get(RTAX_MTU)
  return mtu && host32(mtu)
}
