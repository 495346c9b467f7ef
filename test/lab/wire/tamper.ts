import { updateChecksum } from '../../../src/bytes/checksum.js'
import type { Frame } from './frame.js'

const TCP_CHECKSUM = 16
const UDP_CHECKSUM = 6

/**
 * Flips one bit of a frame's payload, in place, as a thoughtful attacker does it: where the checksum of TCP or UDP can be
 * seen it is put right, so that nothing but cryptography can notice.
 * @param random a number in [0, 1)
 * @returns false when the frame has no payload
 */
export function tamper(b: Uint8Array, frame: Frame, random: number): boolean {
  const bits = (frame.end - frame.payload) * 8
  if (bits <= 0) return false
  const bit = Math.floor(random * bits)
  const at = frame.payload + (bit >>> 3)
  const { transport } = frame
  const field =
    transport === 0 ? 0 : transport + (frame.transportProtocol === 6 ? TCP_CHECKSUM : UDP_CHECKSUM)
  const checksum = field === 0 ? 0 : word(b, field, frame.end)
  const even = at - ((at - transport) & 1)
  const before = word(b, even, frame.end)
  b[at] = b[at]! ^ (1 << (bit & 7))
  // A UDP checksum of zero says that there is none (RFC 768).
  if (field === 0 || (checksum === 0 && frame.transportProtocol === 17)) return true
  const after = updateChecksum(checksum, before, word(b, even, frame.end))
  b[field] = after >>> 8
  b[field + 1] = after & 0xff
  return true
}

/** A 16-bit word; an odd last octet is padded by zero. */
function word(b: Uint8Array, at: number, end: number): number {
  return (b[at]! << 8) | (at + 1 < end ? b[at + 1]! : 0)
}
