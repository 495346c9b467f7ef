import { AF_INET, AF_INET6 } from '../ffi/layout/sockaddr.js'
import type { IpAddress } from '../wire/ip-address.js'

// Numbers of linux/rtnetlink.h that links, addresses, routes and rules share.

export const RTM_NEWLINK = 16
export const RTM_GETLINK = 18
export const RTM_NEWADDR = 20
export const RTM_DELADDR = 21
export const RTM_GETADDR = 22
export const RTM_NEWROUTE = 24
export const RTM_DELROUTE = 25
export const RTM_GETROUTE = 26
/** rtm_flags of a question: the answer is the route itself, without what was learnt of the path (Linux 4.13). */
export const RTM_F_FIB_MATCH = 0x2000
export const RTMSG_FLAGS = 8
export const RTM_GETNEIGH = 30
export const RTM_NEWRULE = 32
export const RTM_DELRULE = 33

export const RT_TABLE_MAIN = 254
/** Who made a route or a rule: the values from 5 on are free for daemons; `ip route` shows this one as a number. */
export const RTPROT_SALLYPORT = 0x5a

export const familyOf = (address: IpAddress): number => (address.length === 4 ? AF_INET : AF_INET6)
