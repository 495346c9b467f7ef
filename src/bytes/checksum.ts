// The Internet checksum, RFC 1071. Sums are of big-endian 16-bit words, folded to 16 bits and not complemented; the
// checksum field holds the complement.

/**
 * Ones'-complement sum of `length` octets at `at` of `b`, plus `seed`; an odd last octet is padded by zero (RFC 1071
 * section 1). Plain TypeScript twin of the SIMD kernel.
 * @param seed a sum so far, for a pseudo-header or a packet in pieces (pieces of even length)
 */
export function onesComplementSum(b: Uint8Array, at: number, length: number, seed: number): number {
  let sum = seed
  const end = at + (length & ~1)
  // A packet has at most 32 768 words: their sum stays far below 2^53.
  for (let i = at; i < end; i += 2) sum += (b[i]! << 8) | b[i + 1]!
  if ((length & 1) !== 0) sum += b[end]! << 8
  return fold(sum)
}

/** Folds a sum of non-negative numbers below 2^48 to 16 bits. Zero stays zero, and nothing else becomes zero. */
export function fold(sum: number): number {
  let s = sum
  if (s > 0xffff_ffff) s = (s % 0x1_0000_0000) + Math.floor(s / 0x1_0000_0000)
  if (s > 0xffff_ffff) s = (s % 0x1_0000_0000) + 1
  s = (s & 0xffff) + (s >>> 16)
  s = (s & 0xffff) + (s >>> 16)
  return s
}

/**
 * Checksum after one 16-bit word of what it covers has changed (RFC 1624, equation 3).
 * @param checksum the field as it is in the packet
 * @returns the new field
 */
export function updateChecksum(checksum: number, before: number, after: number): number {
  return ~fold((~checksum & 0xffff) + (~before & 0xffff) + after) & 0xffff
}
