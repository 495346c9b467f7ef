// The ESP header, RFC 4303 section 2. Offsets in, numbers out, nothing allocated.
//
//  | SPI (4) | sequence number, low half (4) | IV | payload, padding 1 2 3 ..., pad length, next header | ICV |

export const ESP_HEADER_LEN = 8
/** Pad length and next header. */
export const ESP_TRAILER_LEN = 2
/** The encrypted part, and with it the whole packet, ends on this boundary (RFC 4303 section 2.4). */
export const ESP_ALIGNMENT = 4

/** SPI, host order. The caller has checked that ESP_HEADER_LEN octets follow `at`. */
export const espSpi = (b: Uint8Array, at: number): number =>
  ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0

/** Low half of the sequence number, host order. The caller has checked that ESP_HEADER_LEN octets follow `at`. */
export const espSequence = (b: Uint8Array, at: number): number =>
  ((b[at + 4]! << 24) | (b[at + 5]! << 16) | (b[at + 6]! << 8) | b[at + 7]!) >>> 0
