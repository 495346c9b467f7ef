import { fold } from '../bytes/checksum.js'
import type { SumKernel } from '../bytes/simd/sum-kernel.js'
import type { IpPacket } from '../wire/ip-packet.js'
import { TCP, UDP } from '../wire/ip-protocol.js'
import { UDP_HEADER_LEN } from '../wire/udp.js'

// Transport mode through a NAT: the sender's TCP or UDP checksum covers the addresses that it knows, and the packet gets those
// that are known here (RFC 3948 section 3.1.2).

const TCP_HEADER_LEN = 20
const TCP_CHECKSUM = 16
const UDP_CHECKSUM = 6

/**
 * Makes the TCP or UDP checksum of a whole packet hold with the addresses in its header. Its payload has been authenticated, so what
 * a checksum would notice cannot have happened since it was sealed. Fragments, UDP without a checksum, other protocols and what
 * is cut short stay as they are.
 * @param sum over the memory of `b`
 * @param p the packet at `at`, parsed
 */
export function repairTransportChecksum(b: Uint8Array, sum: SumKernel, at: number, p: IpPacket): void {
  const { protocol } = p
  if (p.fragment || (protocol !== TCP && protocol !== UDP)) return
  const octets = p.length - p.headerLength
  if (octets < (protocol === TCP ? TCP_HEADER_LEN : UDP_HEADER_LEN)) return
  const payload = at + p.headerLength
  const field = payload + (protocol === TCP ? TCP_CHECKSUM : UDP_CHECKSUM)
  const before = (b[field]! << 8) | b[field + 1]!
  if (protocol === UDP && before === 0) return
  // A UDP datagram may be shorter than the packet, and its checksum covers what it is itself (RFC 768).
  const covered = protocol === UDP ? (b[payload + 4]! << 8) | b[payload + 5]! : octets
  if (covered < UDP_HEADER_LEN || covered > octets) return
  const addresses = sum(p.sourceAt, p.version === 4 ? 8 : 32, protocol + covered)
  const whole = sum(payload, covered, addresses)
  if (whole === 0xffff) return
  const after = ~fold(whole + (~before & 0xffff)) & 0xffff
  // Zero means that there is none, in UDP.
  const written = protocol === UDP && after === 0 ? 0xffff : after
  b[field] = written >>> 8
  b[field + 1] = written
}
