import { NON_ESP_MARKER_LEN } from '../wire/ike/header.js'
import type { IpAddress } from '../wire/ip-address.js'
import { IKE_PORT, type Path } from './path.js'

// How large an IKE message may be, so that an IP packet with it is of a given size: both versions cut above it.

const IPV4_UDP = 28
const IPV6_UDP = 48
/** IP packets that every way carries: what IPv4 hosts must take, and the least MTU of IPv6 (RFC 7383 section 2.5.1). */
const SMALLEST_IPV4 = 576
const SMALLEST_IPV6 = 1_280

const isIpv4 = (address: IpAddress): boolean => address.length === 4
const ipAndUdp = (address: IpAddress): number => (isIpv4(address) ? IPV4_UDP : IPV6_UDP)

/** Octets of a message on this path in an IP packet of `packet` octets. */
export const messageRoom = (path: Path, packet: number): number =>
  packet - ipAndUdp(path.remote.address) - (path.local.port === IKE_PORT ? 0 : NON_ESP_MARKER_LEN)

/** The same on any port, so that a message still fits when its path goes to port 4500. */
export const messageRoomAnywhere = (remote: IpAddress, packet: number): number =>
  packet - ipAndUdp(remote) - NON_ESP_MARKER_LEN

/** Octets of an IP packet that no way is too small for. */
export const smallestPacket = (remote: IpAddress): number => (isIpv4(remote) ? SMALLEST_IPV4 : SMALLEST_IPV6)
