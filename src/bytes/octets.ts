// Small helpers over octet strings. None of them keeps a reference to its arguments.

/** Joins octet strings into a new one. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const p of parts) length += p.length
  const out = new Uint8Array(length)
  let at = 0
  for (const p of parts) {
    out.set(p, at)
    at += p.length
  }
  return out
}

/**
 * Constant-time comparison of secrets: the time depends on the lengths alone. Octet strings of different length
 * are unequal.
 */
export function equalSecret(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let diff = 0
  for (let i = 0; i < a.length; i++) diff |= a[i]! ^ b[i]!
  return diff === 0
}

/** Comparison of public octets (addresses, cookies, identities). */
export function equalOctets(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length)
  for (let i = 0; i < a.length; i++) out[i] = a[i]! ^ b[i]!
  return out
}

export const isZero = (b: Uint8Array): boolean => b.every((v) => v === 0)

/** Overwrites key material. Whoever owns the key calls it, once, when the key is of no more use. */
export function wipe(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const s of secrets) s?.fill(0)
}

/** Lower-case hex. For public octets only: identifiers, cookies, SPIs, fingerprints. */
export function hex(b: Uint8Array): string {
  let s = ''
  for (const v of b) s += v.toString(16).padStart(2, '0')
  return s
}

/** @throws RangeError when the text is not an even number of hex digits. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || /[^0-9a-fA-F]/.test(text))
    throw new RangeError('not an even number of hex digits')
  const out = new Uint8Array(text.length / 2)
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16)
  return out
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
