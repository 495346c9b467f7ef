// Where the IP packet begins in a captured one. Numbers: https://www.tcpdump.org/linktypes.html

export const LINKTYPE = {
  /** Four octets of address family in the byte order of the machine that captured. */
  NULL: 0,
  ETHERNET: 1,
  /** Raw IP, as some systems number it in files. */
  RAW_BSD: 12,
  RAW_OPENBSD: 14,
  RAW: 101,
  /** As NULL, in network order. */
  LOOP: 108,
  /** Linux cooked captures, of the "any" device. */
  LINUX_SLL: 113,
  IPV4: 228,
  IPV6: 229,
  LINUX_SLL2: 276,
} as const

/** Answers of `ipOffset` that are no offset. */
export const LINK = {
  /** ARP, LLDP and all else that is not IP. */
  NOT_IP: -1,
  /** Shorter than its headers. */
  SHORT: -2,
  /** A link type that is not read here. */
  UNKNOWN: -3,
} as const

const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_IPV6 = 0x86dd
/** 802.1Q, 802.1ad, and the number that came before 802.1ad. */
const VLAN_TAGS = [0x8100, 0x88a8, 0x9100]
/** Frames have one or two tags; more are not IP to us. */
const TAGS_MAX = 4

const u16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!

/**
 * Offset of the IP header from the start of a captured packet.
 * @param length octets from `at` on
 * @returns from 0 to `length`, or one of LINK
 */
export function ipOffset(linkType: number, b: Uint8Array, at: number, length: number): number {
  switch (linkType) {
    case LINKTYPE.RAW:
    case LINKTYPE.RAW_BSD:
    case LINKTYPE.RAW_OPENBSD:
    case LINKTYPE.IPV4:
    case LINKTYPE.IPV6:
      return length === 0 ? LINK.SHORT : versioned(b, at, 0)
    case LINKTYPE.ETHERNET:
      return length < 14 ? LINK.SHORT : etherType(b, at, length, 12)
    case LINKTYPE.LINUX_SLL:
      return length < 16 ? LINK.SHORT : etherType(b, at, length, 14)
    case LINKTYPE.LINUX_SLL2:
      if (length < 20) return LINK.SHORT
      return isIp(u16(b, at)) ? 20 : LINK.NOT_IP
    case LINKTYPE.NULL:
    case LINKTYPE.LOOP:
      // The family's number differs between systems and byte orders; the packet's own version does not.
      return length < 5 ? LINK.SHORT : versioned(b, at, 4)
    default:
      return LINK.UNKNOWN
  }
}

/** @param type offset of the EtherType, from `at` */
function etherType(b: Uint8Array, at: number, length: number, type: number): number {
  let field = type
  for (let tags = 0; tags <= TAGS_MAX; tags++) {
    if (length < field + 2) return LINK.SHORT
    const value = u16(b, at + field)
    if (isIp(value)) return field + 2
    if (!VLAN_TAGS.includes(value)) return LINK.NOT_IP
    field += 4
  }
  return LINK.NOT_IP
}

const isIp = (type: number): boolean => type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6

function versioned(b: Uint8Array, at: number, offset: number): number {
  const version = b[at + offset]! >>> 4
  return version === 4 || version === 6 ? offset : LINK.NOT_IP
}
