// The Authentication Header, RFC 4302 section 2. Offsets in, numbers out, nothing allocated. The caller has checked that
// AH_FIXED_LEN octets follow `at`.
//
//  | next header | payload length | reserved (2) | SPI (4) | sequence number, low half (4) | ICV and its padding |

/** What stands before the ICV. */
export const AH_FIXED_LEN = 12

export const ahNextHeader = (b: Uint8Array, at: number): number => b[at]!
/** Octets of the whole header, from its length field (32-bit words minus 2). */
export const ahLength = (b: Uint8Array, at: number): number => (b[at + 1]! + 2) << 2
/** SPI, host order. */
export const ahSpi = (b: Uint8Array, at: number): number =>
  ((b[at + 4]! << 24) | (b[at + 5]! << 16) | (b[at + 6]! << 8) | b[at + 7]!) >>> 0
/** Low half of the sequence number, host order. */
export const ahSequence = (b: Uint8Array, at: number): number =>
  ((b[at + 8]! << 24) | (b[at + 9]! << 16) | (b[at + 10]! << 8) | b[at + 11]!) >>> 0

/**
 * Octets of an AH header with this ICV: padded to 4 octets under IPv4 and to 8 under IPv6 (RFC 4302 section 3.3.3.2.1).
 */
export function ahHeaderLength(icvLength: number, version: 4 | 6): number {
  const align = version === 4 ? 3 : 7
  return (AH_FIXED_LEN + icvLength + align) & ~align
}
