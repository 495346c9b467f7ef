import { updateChecksum } from '../bytes/checksum.js'
import type { IpPacket } from '../wire/ip-packet.js'
import { TCP } from '../wire/ip-protocol.js'

// The MSS of a TCP connection that goes through a tunnel is lowered to what fits: hosts behind the gateways cannot know what
// protection costs, and the ICMP messages that would tell them are often filtered.

const TCP_HEADER_LEN = 20
const SYN = 0x02
const OPTION_END = 0
const OPTION_NOP = 1
const OPTION_MSS = 2
const MSS_LEN = 4
/** Linux takes no less (TCP_MIN_MSS), and no path that is believed has so little room. */
const MSS_MIN = 88

/**
 * Lowers the MSS option of a SYN to `limit`; never raises it, and leaves every other packet alone. Options that are
 * cut short or nested wrongly end the search.
 * @param p the packet at `at`, parsed
 * @param limit largest MSS, 0 = no limit
 * @returns true when it was changed; the TCP checksum is right again then (RFC 1624)
 */
export function clampMss(b: Uint8Array, at: number, p: IpPacket, limit: number): boolean {
  if (p.protocol !== TCP || p.fragment || limit === 0) return false
  const tcp = at + p.headerLength
  const end = at + p.length
  if (tcp + TCP_HEADER_LEN > end || (b[tcp + 13]! & SYN) === 0) return false
  const optionsEnd = Math.min(end, tcp + ((b[tcp + 12]! >>> 4) << 2))
  for (let i = tcp + TCP_HEADER_LEN; i < optionsEnd; ) {
    const kind = b[i]!
    if (kind === OPTION_END) return false
    if (kind === OPTION_NOP) {
      i++
      continue
    }
    const length = i + 1 < optionsEnd ? b[i + 1]! : 0
    if (length < 2 || i + length > optionsEnd) return false
    if (kind === OPTION_MSS) return length === MSS_LEN && lower(b, tcp, i + 2, Math.max(MSS_MIN, limit))
    i += length
  }
  return false
}

function lower(b: Uint8Array, tcp: number, at: number, limit: number): boolean {
  const before = (b[at]! << 8) | b[at + 1]!
  if (before <= limit) return false
  let checksum = (b[tcp + 16]! << 8) | b[tcp + 17]!
  b[at] = limit >>> 8
  b[at + 1] = limit
  // At an odd offset the two octets belong to two words, in which the value stands with its halves exchanged.
  const swap = ((at - tcp) & 1) === 1
  checksum = updateChecksum(checksum, swap ? swapped(before) : before, swap ? swapped(limit) : limit)
  b[tcp + 16] = checksum >>> 8
  b[tcp + 17] = checksum
  return true
}

const swapped = (v: number): number => ((v & 0xff) << 8) | (v >>> 8)
