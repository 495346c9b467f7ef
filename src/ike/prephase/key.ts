import { Buffer } from 'node:buffer'
import { hex, utf8, wipe } from '../../bytes/octets.js'
import { sha256 } from '../../crypto/sha256.js'
import { ConfigError } from '../../errors.js'

// K_ab, the initial pre-shared key of a pair of hosts: exactly 32 octets, random ones. As text it is one line, either 64
// hex digits or 44 characters of base64 (RFC 4648 section 4); empty lines and lines that begin with # do not count.
//
//   # sallyport key 0123456789abcdef: one pair of hosts, keep it secret
//   pvOjxm6Dn8k0Qm4h1wQmB8n4e0z5d0a1Qm9fJb7nq8s=

export const KEY_LEN = 32
/** Octets of a key's text; more is no key file. */
export const KEY_TEXT_MAX = 4096
/** Random octets have this many different values but for one key in 10^14; less is a pattern. */
const DISTINCT_MIN = 16
const FINGERPRINT_LABEL = utf8('sallyport key fingerprint 1\0')

/**
 * Reads a key's text.
 * @param text preferably the file's octets, which the caller can wipe, as it cannot wipe a string
 * @returns 32 octets, the caller's to wipe
 * @throws ConfigError that says what is wrong, without any octet of the key and without the file's name, which the
 *   caller adds
 */
export function parseKeyText(text: string | Uint8Array): Uint8Array {
  const octets = typeof text === 'string' ? utf8(text) : text
  if (octets.length > KEY_TEXT_MAX)
    throw new ConfigError(`too long for a key: more than ${KEY_TEXT_MAX} octets`)
  const line = keyLine(octets)
  const key = decode(line)
  if (typeof text === 'string') wipe(octets)
  const reason = key.length === KEY_LEN ? patternOf(key) : `${key.length} octets instead of ${KEY_LEN}`
  if (reason !== undefined) {
    wipe(key)
    throw new ConfigError(`not a key: ${reason}; make one with "sallyport genkey"`)
  }
  return key
}

/** The text of a key file, with its fingerprint in a comment. @param key 32 octets */
export function formatKeyText(key: Uint8Array): string {
  const base64 = Buffer.from(key.buffer, key.byteOffset, key.length).toString('base64')
  return `# sallyport key ${keyFingerprint(key)}: one pair of hosts, keep it secret\n${base64}\n`
}

/**
 * Names a key without giving it away: the first 8 octets of SHA-256("sallyport key fingerprint 1" | 0 | key), as 16 hex
 * digits. Safe to show because keys are 32 random octets: it helps no guess.
 */
export function keyFingerprint(key: Uint8Array): string {
  return hex(sha256(FINGERPRINT_LABEL, key).subarray(0, 8))
}

/** The one line that counts, blanks around it removed; aliases `octets`. */
function keyLine(octets: Uint8Array): Uint8Array {
  let found: Uint8Array | undefined
  for (let from = 0; from < octets.length; ) {
    const newline = octets.indexOf(0x0a, from)
    const to = newline < 0 ? octets.length : newline
    const line = trim(octets.subarray(from, to))
    from = to + 1
    if (line.length === 0 || line[0] === 0x23) continue
    if (found !== undefined) throw new ConfigError('not a key: more than one line besides comments')
    found = line
  }
  if (found === undefined) throw new ConfigError('not a key: empty')
  return found
}

function trim(line: Uint8Array): Uint8Array {
  const blank = (c: number | undefined): boolean => c === 0x20 || c === 0x09 || c === 0x0d
  let from = 0
  let to = line.length
  while (from < to && blank(line[from])) from++
  while (to > from && blank(line[to - 1])) to--
  return line.subarray(from, to)
}

function decode(line: Uint8Array): Uint8Array {
  const digits = line.every((c) => hexDigit(c) >= 0)
  if (digits && line.length % 2 === 0) {
    const out = new Uint8Array(line.length / 2)
    for (let i = 0; i < out.length; i++) out[i] = (hexDigit(line[2 * i]!) << 4) | hexDigit(line[2 * i + 1]!)
    return out
  }
  return decodeBase64(line)
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30
  if (c >= 0x41 && c <= 0x46) return c - 0x41 + 10
  if (c >= 0x61 && c <= 0x66) return c - 0x61 + 10
  return -1
}

function base64Digit(c: number): number {
  if (c >= 0x41 && c <= 0x5a) return c - 0x41
  if (c >= 0x61 && c <= 0x7a) return c - 0x61 + 26
  if (c >= 0x30 && c <= 0x39) return c - 0x30 + 52
  if (c === 0x2b) return 62
  return c === 0x2f ? 63 : -1
}

/** Strict: whole groups of four, padding only at the end, unused bits zero. */
function decodeBase64(line: Uint8Array): Uint8Array {
  let padding = 0
  while (padding < 2 && line[line.length - 1 - padding] === 0x3d) padding++
  const digits = line.length - padding
  const out = new Uint8Array(Math.floor((digits * 6) / 8))
  let bits = 0
  let have = 0
  for (let i = 0, at = 0; i < digits; i++) {
    const digit = base64Digit(line[i]!)
    if (digit < 0) {
      wipe(out)
      throw new ConfigError('not a key: neither 64 hex digits nor base64 of 32 octets')
    }
    bits = ((bits << 6) | digit) & 0xffff
    have += 6
    if (have >= 8) {
      have -= 8
      out[at++] = bits >>> have
    }
  }
  if (line.length % 4 !== 0 || (bits & ((1 << have) - 1)) !== 0) {
    wipe(out)
    throw new ConfigError('not a key: base64 that is cut off or damaged')
  }
  return out
}

/** What makes 32 octets no random key, undefined when nothing does. */
function patternOf(key: Uint8Array): string | undefined {
  if (key.every((c) => c >= 0x20 && c < 0x7f)) return 'readable text, which can be guessed'
  const seen = new Uint8Array(256)
  for (const octet of key) seen[octet] = 1
  const distinct = seen.reduce((sum, v) => sum + v, 0)
  wipe(seen)
  return distinct < DISTINCT_MIN ? 'a pattern, not random octets' : undefined
}
