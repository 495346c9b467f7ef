import { EINVAL } from './errno.js'
import { libc } from './libc.js'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const SOCK_NONBLOCK = 0o4000
const MSG_NOSIGNAL = 0x4000
/** Octets of sun_path. */
const SUN_PATH_LEN = 108

/**
 * Sends one datagram to a unix socket, which node has no call for.
 * @param path of the socket; a leading "@" stands for Linux's abstract name space
 * @returns octets sent, or -errno
 */
export function sendUnixDatagram(path: string, octets: Uint8Array): number {
  const name = new TextEncoder().encode(path)
  const abstract = path.startsWith('@')
  if (name.length === 0 || name.length > (abstract ? SUN_PATH_LEN : SUN_PATH_LEN - 1)) return -EINVAL
  // sockaddr_un: family (u16, host order), then the path. An abstract name starts with a zero octet and has no end but
  // the address's length; any other ends with one.
  const address = new Uint8Array(2 + name.length + (abstract ? 0 : 1))
  address[0] = AF_UNIX
  address.set(name, 2)
  if (abstract) address[2] = 0
  const c = libc()
  const fd = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
  if (fd < 0) return fd
  const sent = c.sendto(fd, octets, MSG_NOSIGNAL, address)
  c.close(fd)
  return sent
}
