import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { getSystemErrorMap } from 'node:util'
import { SystemError } from '../errors.js'

/** Behind the name of a file that is being written: what a crash leaves of it is to be removed. */
export const HALF_WRITTEN = '.new'

/** New file, fsync, rename over the old one, fsync of the folder: after a crash there is the old content or the new one. */
export function writeDurably(path: string, folder: string, text: string): void {
  const temporary = `${path}${HALF_WRITTEN}`
  const fd = system('open', temporary, () => openSync(temporary, 'w', 0o600))
  try {
    system('write', temporary, () => writeSync(fd, text))
    system('fsync', temporary, () => fsyncSync(fd))
  } finally {
    closeSync(fd)
  }
  system('rename', path, () => renameSync(temporary, path))
  const directory = system('open', folder, () => openSync(folder, 'r'))
  try {
    system('fsync', folder, () => fsyncSync(directory))
  } finally {
    closeSync(directory)
  }
}

/** Runs a system call of node:fs and gives its failure our shape. */
export function system<T>(call: string, argument: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    const errno = Math.abs((error as NodeJS.ErrnoException).errno ?? 0)
    const said = getSystemErrorMap().get(-errno)?.[1] ?? String(error)
    throw new SystemError(call, errno, `${call} ${argument}: ${said}`, { cause: error })
  }
}
