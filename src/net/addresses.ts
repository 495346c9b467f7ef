import { concat } from '../bytes/octets.js'
import { EADDRNOTAVAIL, EEXIST, ENODEV, ENXIO } from '../ffi/errno.js'
import { formatIp, type IpAddress } from '../wire/ip-address.js'
import type { Link } from './links.js'
import type { NetlinkSocket } from './netlink.js'
import {
  type Attribute,
  decodeAttributes,
  encodeAttributes,
  NLM_F_CREATE,
  NLM_F_EXCL,
  u32,
} from './netlink-message.js'
import { familyOf, RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR } from './rtnetlink.js'

// struct ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, index u32
const IFADDRMSG_LEN = 8
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_FLAGS = 8
/** No duplicate address detection: nobody else is on a TUN device, and the address is of use at once. */
const IFA_F_NODAD = 0x02
/** The kernel makes no route for the prefix: routes are the plan's business. */
const IFA_F_NOPREFIXROUTE = 0x200

/** An address as a device has it. */
export interface LinkAddress {
  readonly address: IpAddress
  readonly prefixLength: number
}

/**
 * Gives a point-to-point device an address. The prefix makes no route.
 * @returns false when the device has the address already
 */
export function addAddress(netlink: NetlinkSocket, link: Link, address: LinkAddress): boolean {
  const what = `give ${link.name} the address ${formatIp(address.address)}/${address.prefixLength}`
  const attributes: Attribute[] = [[IFA_FLAGS, u32(IFA_F_NOPREFIXROUTE | IFA_F_NODAD)]]
  const body = message(link.index, address, attributes)
  return netlink.change(what, { type: RTM_NEWADDR, flags: NLM_F_CREATE | NLM_F_EXCL, body }, [EEXIST]) === 0
}

/** Takes an address away; the device may have lost it, or be gone. */
export function deleteAddress(netlink: NetlinkSocket, link: Link, address: LinkAddress): void {
  const what = `take the address ${formatIp(address.address)} from ${link.name}`
  netlink.change(what, { type: RTM_DELADDR, flags: 0, body: message(link.index, address, []) }, [
    EADDRNOTAVAIL,
    ENODEV,
    ENXIO,
  ])
}

/** Every address of this network namespace, loopback's included. */
export function listAddresses(netlink: NetlinkSocket): IpAddress[] {
  const answers = netlink.dump('list addresses', {
    type: RTM_GETADDR,
    flags: 0,
    body: new Uint8Array(IFADDRMSG_LEN),
  })
  const out: IpAddress[] = []
  for (const { body } of answers) {
    const found = decodeAttributes(body.subarray(IFADDRMSG_LEN))
    // On a point-to-point device IFA_ADDRESS is the other end's.
    const address = found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS)
    if (address) out.push(address)
  }
  return out
}

function message(
  index: number,
  { address, prefixLength }: LinkAddress,
  more: readonly Attribute[],
): Uint8Array {
  const header = Uint8Array.of(familyOf(address), prefixLength, 0, 0)
  return concat(header, u32(index), encodeAttributes([[IFA_LOCAL, address], [IFA_ADDRESS, address], ...more]))
}
