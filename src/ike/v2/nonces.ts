// Of two SAs that both ends made at once for the same purpose, the one whose exchange has the lowest of the four nonces goes
// (RFC 7296 section 2.8.1).

/** Octet by octet; of two that begin alike the shorter one is lower. Negative, zero or positive. */
export function compareNonces(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}

/** A copy of the lower one. */
export const lowerNonce = (a: Uint8Array, b: Uint8Array): Uint8Array =>
  new Uint8Array(compareNonces(a, b) <= 0 ? a : b)
