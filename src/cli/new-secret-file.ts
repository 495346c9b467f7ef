import { closeSync, constants, fchmodSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { ConfigError, SystemError } from '../errors.js'

/** Writes a file that was not there before, and that only its owner can read from its first moment on. */
export function writeNewSecretFile(path: string, text: string): void {
  let fd: number
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  } catch (error) {
    const e = error as NodeJS.ErrnoException
    if (e.code === 'EEXIST')
      throw new ConfigError(`${path} exists and is not overwritten; remove it first, or name another file`)
    throw new SystemError(
      'open',
      Math.abs(e.errno ?? 0),
      `${path} cannot be written: ${e.code ?? e.message}`,
      { cause: e },
    )
  }
  try {
    fchmodSync(fd, 0o600)
    const octets = Buffer.from(text)
    for (let at = 0; at < octets.length; ) at += writeSync(fd, octets, at)
    octets.fill(0)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
