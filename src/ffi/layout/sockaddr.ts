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

export const AF_INET = 2
export const AF_INET6 = 10

export const SOCKADDR_IN_LEN = 16
export const SOCKADDR_IN6_LEN = 28
/** Room for either, and the distance of entries in an array of them. */
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

/** A socket address as an octet string of its own. */
export function sockaddr(address: Uint8Array, port: number): Uint8Array {
  const out = new Uint8Array(address.length === 4 ? SOCKADDR_IN_LEN : SOCKADDR_IN6_LEN)
  writeSockaddr(out, 0, address, port)
  return out
}
