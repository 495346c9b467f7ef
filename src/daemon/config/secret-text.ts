import { concat, wipe } from '../../bytes/octets.js'

// Key files are read as octets all the way: a string cannot be wiped.

const LF = 10
const CR = 13
const HASH = 0x23

/** A line of a key file that says something. `octets` aliases the file's content, blanks around it left out. */
export interface SecretLine {
  /** From 1. */
  readonly number: number
  readonly octets: Uint8Array
}

/** The lines that are neither empty nor comments (`#`). */
export function secretLines(content: Uint8Array): SecretLine[] {
  const lines: SecretLine[] = []
  let number = 0
  for (let start = 0; start < content.length; ) {
    let end = content.indexOf(LF, start)
    if (end < 0) end = content.length
    number++
    const octets = trim(content.subarray(start, end))
    if (octets.length > 0 && octets[0] !== HASH) lines.push({ number, octets })
    start = end + 1
  }
  return lines
}

/** The words of a line, each aliasing it. */
export function secretWords(line: Uint8Array): Uint8Array[] {
  const words: Uint8Array[] = []
  let start = 0
  for (let i = 0; i <= line.length; i++) {
    if (i < line.length && !isBlank(line[i]!)) continue
    if (i > start) words.push(line.subarray(start, i))
    start = i + 1
  }
  return words
}

/** Octets of hexadecimal text, with or without "0x" in front. Undefined when it is none, or has an odd digit. */
export function decodeHex(text: Uint8Array): Uint8Array | undefined {
  const digits = startsWith(text, '0x') ? text.subarray(2) : text
  if (digits.length === 0 || digits.length % 2 !== 0) return undefined
  const out = new Uint8Array(digits.length / 2)
  for (let i = 0; i < out.length; i++) {
    const high = hexDigit(digits[i * 2]!)
    const low = hexDigit(digits[i * 2 + 1]!)
    if (high < 0 || low < 0) {
      wipe(out)
      return undefined
    }
    out[i] = (high << 4) | low
  }
  return out
}

/** Octets of base64 text (RFC 4648 section 4, padding required). Undefined when it is none. */
export function decodeBase64(text: Uint8Array): Uint8Array | undefined {
  if (text.length === 0 || text.length % 4 !== 0) return undefined
  const padding = text[text.length - 1] !== 0x3d ? 0 : text[text.length - 2] !== 0x3d ? 1 : 2
  const out = new Uint8Array((text.length / 4) * 3 - padding)
  let bits = 0
  let at = 0
  for (let i = 0; i < text.length; i++) {
    const value = i < text.length - padding ? base64Digit(text[i]!) : 0
    if (value < 0) {
      wipe(out)
      return undefined
    }
    bits = ((bits << 6) | value) & 0xff_ffff
    if (i % 4 === 3)
      for (let shift = 16; shift >= 0 && at < out.length; shift -= 8) out[at++] = bits >>> shift
  }
  return out
}

/** True when the octets begin with the ASCII text. */
export function startsWith(octets: Uint8Array, ascii: string): boolean {
  if (octets.length < ascii.length) return false
  for (let i = 0; i < ascii.length; i++) if (octets[i] !== ascii.charCodeAt(i)) return false
  return true
}

/** A copy without blanks at either end. */
export const trimmed = (octets: Uint8Array): Uint8Array => concat(trim(octets))

function trim(octets: Uint8Array): Uint8Array {
  let start = 0
  let end = octets.length
  while (start < end && isBlank(octets[start]!)) start++
  while (end > start && isBlank(octets[end - 1]!)) end--
  return octets.subarray(start, end)
}

const isBlank = (c: number): boolean => c === 0x20 || c === 9 || c === CR

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30
  const lower = c | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1
}

function base64Digit(c: number): number {
  if (c >= 0x41 && c <= 0x5a) return c - 0x41
  if (c >= 0x61 && c <= 0x7a) return c - 0x61 + 26
  if (c >= 0x30 && c <= 0x39) return c - 0x30 + 52
  if (c === 0x2b) return 62
  return c === 0x2f ? 63 : -1
}
