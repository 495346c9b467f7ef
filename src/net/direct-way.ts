import type { IpAddress } from '../wire/ip-address.js'
import { RTN_UNICAST, reach } from './links.js'
import { neighbour } from './neighbours.js'
import type { NetlinkSocket } from './netlink.js'
import type { DirectWay } from './types.js'

/**
 * The way past the kernel's IP layer: what it would itself find out for each packet, asked for once. Only where that is
 * an Ethernet station whose address the kernel knows.
 * @returns undefined where packets have to go through the kernel's IP layer
 */
export function directWay(
  netlink: NetlinkSocket,
  local: IpAddress,
  remote: IpAddress,
  mark: number,
): DirectWay | undefined {
  const way = reach(netlink, remote, mark, local)
  if (!way || way.kind !== RTN_UNICAST || !way.link.ethernet || !way.link.up) return undefined
  const mac = neighbour(netlink, way.link.index, way.gateway ?? remote)
  return mac && { index: way.link.index, mac, mtu: Math.min(way.mtu, way.link.mtu) }
}
