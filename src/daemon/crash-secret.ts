import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex, hex } from '../bytes/octets.js'
import { system, writeDurably } from './durable-file.js'

// What quick crash detection (RFC 6290) makes its tokens from, in <state>/crash-secret: 64 hex digits. It has to outlive the
// daemon, as peers are to know the tokens of the one before. A new one costs nothing but that.

const SECRET_LEN = 32
const FILE = 'crash-secret'

/**
 * The host's secret, made where there is none, or none of use.
 * @param state the daemon's state directory, made if need be
 * @returns 32 octets, the caller's
 * @throws SystemError when it cannot be kept
 */
export function openCrashSecret(state: string, random: (length: number) => Uint8Array): Uint8Array {
  const path = join(state, FILE)
  system('mkdir', state, () => mkdirSync(state, { recursive: true, mode: 0o700 }))
  const known = read(path)
  if (known !== undefined) return known
  const secret = random(SECRET_LEN)
  writeDurably(path, state, `${hex(secret)}\n`)
  return secret
}

function read(path: string): Uint8Array | undefined {
  try {
    const text = readFileSync(path, 'latin1').trim()
    return /^[0-9a-f]{64}$/.test(text) ? fromHex(text) : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return system('read', path, () => {
      throw error
    })
  }
}
