// IP protocol numbers by IANA's registry: the protocol field of IPv4, the last next-header field of IPv6, of ESP and of AH.
// The extension headers of IPv6, which a packet may have in front of these, are in ipv6.ts.

export const ICMP = 1
/** An IPv4 packet inside (RFC 2003). */
export const IPIP = 4
export const TCP = 6
export const UDP = 17
export const DCCP = 33
/** An IPv6 packet inside (RFC 2473). */
export const IPV6_IN_IP = 41
export const ESP = 50
export const AH = 51
export const ICMPV6 = 58
/** Nothing follows (RFC 8200 section 4.7); in ESP: a dummy packet (RFC 4303 section 2.6). */
export const NO_NEXT_HEADER = 59
export const SCTP = 132
/** Mobility Header (RFC 6275). */
export const MOBILITY = 135
export const UDP_LITE = 136
