import { concat } from '../bytes/octets.js'
import { EINVAL, ENOENT, EOPNOTSUPP } from '../ffi/errno.js'
import { formatIp, type IpAddress, sameIp } from '../wire/ip-address.js'
import type { NetlinkSocket } from './netlink.js'
import { decodeAttributes, encodeAttributes, host32, u32 } from './netlink-message.js'
import { familyOf, RTM_GETNEIGH } from './rtnetlink.js'

// struct ndmsg: family u8, padding u24, interface i32, state u16, flags u8, type u8
const NDMSG_LEN = 12
const NDMSG_INDEX = 4
const NDMSG_STATE = 8
const NDA_DST = 1
const NDA_LLADDR = 2
const NDA_IFINDEX = 8
/** States in which the kernel itself sends to the address: reachable, stale, delay, probe, no ARP, permanent. */
const NUD_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80
const MAC_LEN = 6

/**
 * Ethernet address that the kernel has for a neighbour, or undefined where it has none or is not sure of any.
 * @returns 6 octets with memory of their own
 */
export function neighbour(netlink: NetlinkSocket, index: number, address: IpAddress): Uint8Array | undefined {
  const what = `look up the neighbour ${formatIp(address)}`
  const header = new Uint8Array(NDMSG_LEN)
  header[0] = familyOf(address)
  header.set(u32(index), NDMSG_INDEX)
  const body = concat(header, encodeAttributes([[NDA_DST, address]]))
  // Kernels before 5.0 only give the whole list.
  const answer = netlink.ask(what, { type: RTM_GETNEIGH, flags: 0, body }, [ENOENT, EOPNOTSUPP, EINVAL])
  if (typeof answer !== 'number') return macOf(answer.body, index, address)
  if (answer === ENOENT) return undefined
  const all = new Uint8Array(NDMSG_LEN)
  all[0] = familyOf(address)
  const onLink = concat(all, encodeAttributes([[NDA_IFINDEX, u32(index)]]))
  for (const message of netlink.dump(what, { type: RTM_GETNEIGH, flags: 0, body: onLink })) {
    const mac = macOf(message.body, index, address)
    if (mac) return mac
  }
  return undefined
}

function macOf(body: Uint8Array, index: number, address: IpAddress): Uint8Array | undefined {
  const found = decodeAttributes(body.subarray(NDMSG_LEN))
  const [ip, mac] = [found.get(NDA_DST), found.get(NDA_LLADDR)]
  if (!ip || !sameIp(ip, address) || host32(body, NDMSG_INDEX) !== index) return undefined
  if ((body[NDMSG_STATE]! & NUD_VALID) === 0 || mac?.length !== MAC_LEN) return undefined
  return mac.slice()
}
