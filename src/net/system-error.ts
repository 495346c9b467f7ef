import { SystemError } from '../errors.js'
import { describeErrno } from '../ffi/errno.js'

/** "what: EBUSY, resource busy or locked", followed by what to do about it where that is known. */
export function systemError(call: string, errno: number, what: string, remedy?: string): SystemError {
  const message = `${what}: ${describeErrno(errno)}${remedy ? `. ${remedy}` : ''}`
  return new SystemError(call, errno, message)
}
