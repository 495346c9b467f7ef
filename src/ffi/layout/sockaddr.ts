import { AF_PACKET } from '../constants.js'

// Socket addresses. Family is host order (little-endian), port and address are network order.
//
//   sockaddr_in    octet  0       2       4               8              16
//                         +-------+-------+---------------+---------------+
//                         |family | port  | address (4)   | zero (8)      |
//                         +-------+-------+---------------+---------------+
//
//   sockaddr_in6   octet  0       2       4               8              24              28
//                         +-------+-------+---------------+----- - - -----+---------------+
//                         |family | port  | flow info     | address (16)  | scope id  u32 |
//                         +-------+-------+---------------+----- - - -----+---------------+

//
//   sockaddr_ll    octet  0       2       4               8       10  11  12              20
//                         +-------+-------+---------------+-------+---+---+---------------+
//                         |family |protoc.| interface i32 | type  |pkt|len| address (8)   |
//                         +-------+-------+---------------+-------+---+---+---------------+
//                         The protocol is an Ethernet type in network order.

export const AF_INET = 2
export const AF_INET6 = 10

export const SOCKADDR_IN_LEN = 16
export const SOCKADDR_IN6_LEN = 28
export const SOCKADDR_LL_LEN = 20
/** Room for each of them, and the distance of entries in an array of them. */
export const SOCKADDR_STRIDE = 32

export const SIN_PORT = 2
export const SIN_ADDR = 4
export const SIN6_ADDR = 8

export const addressFamily = (family: 4 | 6): number => (family === 4 ? AF_INET : AF_INET6)
export const sockaddrLength = (family: 4 | 6): number => (family === 4 ? SOCKADDR_IN_LEN : SOCKADDR_IN6_LEN)

/**
 * Writes a whole socket address at `at`.
 * @param address 4 octets for IPv4, 16 for IPv6 (without scope: link-local addresses are not used as gateway addresses)
 * @returns octets written: 16 or 28
 */
export function writeSockaddr(b: Uint8Array, at: number, address: Uint8Array, port: number): number {
  const v4 = address.length === 4
  const length = v4 ? SOCKADDR_IN_LEN : SOCKADDR_IN6_LEN
  b.fill(0, at, at + length)
  b[at] = v4 ? AF_INET : AF_INET6
  b[at + SIN_PORT] = port >>> 8
  b[at + SIN_PORT + 1] = port & 0xff
  b.set(address, at + (v4 ? SIN_ADDR : SIN6_ADDR))
  return length
}

/** Writes the address of a station on the Ethernet of interface `index`, 20 octets at `at`. @param mac 6 octets */
export function writeLinkAddress(
  b: Uint8Array,
  at: number,
  protocol: number,
  index: number,
  mac: Uint8Array,
): void {
  b.fill(0, at, at + SOCKADDR_LL_LEN)
  b[at] = AF_PACKET
  b[at + 2] = protocol >>> 8
  b[at + 3] = protocol & 0xff
  for (let i = 0; i < 4; i++) b[at + 4 + i] = (index >>> (8 * i)) & 0xff
  b[at + 11] = mac.length
  b.set(mac, at + 12)
}

/** A socket address as an octet string of its own. */
export function sockaddr(address: Uint8Array, port: number): Uint8Array {
  const out = new Uint8Array(address.length === 4 ? SOCKADDR_IN_LEN : SOCKADDR_IN6_LEN)
  writeSockaddr(out, 0, address, port)
  return out
}
