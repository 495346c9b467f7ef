import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'

// Linux errno numbers that the data path compares with; the rest is looked up by number.
export const EPERM = constants.errno.EPERM
export const ENOENT = constants.errno.ENOENT
export const EINTR = constants.errno.EINTR
export const EBADF = constants.errno.EBADF
export const EIO = constants.errno.EIO
export const ENXIO = constants.errno.ENXIO
export const EAGAIN = constants.errno.EAGAIN
export const EACCES = constants.errno.EACCES
export const EBUSY = constants.errno.EBUSY
export const EEXIST = constants.errno.EEXIST
export const ENODEV = constants.errno.ENODEV
export const EINVAL = constants.errno.EINVAL
export const EMSGSIZE = constants.errno.EMSGSIZE
export const EPROTONOSUPPORT = constants.errno.EPROTONOSUPPORT
export const EAFNOSUPPORT = constants.errno.EAFNOSUPPORT
export const EADDRINUSE = constants.errno.EADDRINUSE
export const EADDRNOTAVAIL = constants.errno.EADDRNOTAVAIL
export const EOPNOTSUPP = constants.errno.EOPNOTSUPP
export const ESRCH = constants.errno.ESRCH
export const ENETUNREACH = constants.errno.ENETUNREACH
export const EHOSTUNREACH = constants.errno.EHOSTUNREACH
export const ENETDOWN = constants.errno.ENETDOWN
export const ENOBUFS = constants.errno.ENOBUFS

const names = new Map<number, string>(Object.entries(constants.errno).map(([name, n]) => [n, name]))

/** Name of a positive errno, for example "EBUSY"; "errno 123" when it has none. */
export function errnoName(errno: number): string {
  // Two names share a number here, and the second one would win.
  if (errno === EAGAIN) return 'EAGAIN'
  return names.get(errno) ?? `errno ${errno}`
}

/** Name and text of a positive errno: "EBUSY, resource busy or locked". */
export function describeErrno(errno: number): string {
  const text = getSystemErrorMap().get(-errno)?.[1]
  return text ? `${errnoName(errno)}, ${text}` : errnoName(errno)
}
