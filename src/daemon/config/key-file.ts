import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** The largest file of keys: manual SAs of a host need some hundred octets each. */
export const KEY_FILE_MAX = 16_384

/** Why a key file is refused. The message names the path and what to do, and nothing of the content. */
export class KeyFileRefusal extends Error {}

/** A key file's path: relative to the configuration file that names it. */
export const keyFilePath = (configFile: string, path: string): string => resolve(dirname(configFile), path)

/**
 * Reads a file of secret keys. The file is judged by the descriptor that it is read from, so that it cannot be exchanged
 * in between. The caller wipes the result.
 * @throws KeyFileRefusal when the file is missing or unreadable, no regular file, empty or larger than KEY_FILE_MAX,
 *   readable by group or others, or owned by anyone but root and the caller
 */
export function readKeyFile(path: string): Buffer {
  let fd: number
  try {
    // O_NONBLOCK: a FIFO without a writer must not hold up the start.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    throw new KeyFileRefusal(openFailure(path, (error as NodeJS.ErrnoException).code))
  }
  try {
    const info = fstatSync(fd)
    if (info.isDirectory()) throw new KeyFileRefusal(`${path} is a directory; name the key file in it`)
    if (!info.isFile()) throw new KeyFileRefusal(`${path} is not a regular file`)
    if ((info.mode & 0o077) !== 0) {
      const mode = (info.mode & 0o777).toString(8).padStart(4, '0')
      throw new KeyFileRefusal(
        `${path} can be used by others than its owner (mode ${mode}); run: chmod 600 ${quote(path)}`,
      )
    }
    const self = process.geteuid?.() ?? 0
    if (info.uid !== 0 && info.uid !== self)
      throw new KeyFileRefusal(
        `${path} belongs to user ${info.uid}, who could change it; run: chown ${self} ${quote(path)}`,
      )
    if (info.size === 0)
      throw new KeyFileRefusal(`${path} is empty; make a key with: sallyport genkey -o FILE`)
    if (info.size > KEY_FILE_MAX)
      throw new KeyFileRefusal(`${path} has ${info.size} octets, more than ${KEY_FILE_MAX}: not a key file`)
    return readAll(fd, info.size)
  } finally {
    closeSync(fd)
  }
}

function readAll(fd: number, size: number): Buffer {
  // allocUnsafe would take from the pool that all small Buffers share, where copies of the key outlive its wiping.
  const content = Buffer.alloc(size)
  let length = 0
  while (length < size) {
    const n = readSync(fd, content, length, size - length, null)
    if (n === 0) break
    length += n
  }
  return content.subarray(0, length)
}

function openFailure(path: string, code: string | undefined): string {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return `${path} does not exist; make it on one host with: sallyport genkey -o ${quote(path)} and carry it to the other over a safe way`
    case 'EACCES':
    case 'EPERM':
      return `${path} cannot be read by this user; run as its owner or: chown ${process.geteuid?.() ?? 0} ${quote(path)}`
    default:
      return `${path} cannot be read: ${code ?? 'unknown error'}`
  }
}

/** A path as a shell takes it. */
function quote(path: string): string {
  return /^[A-Za-z0-9_./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
