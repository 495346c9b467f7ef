import type { Slab } from '../bytes/slab.js'
import { AH_FIXED_LEN, ahHeaderLength, ahLength, ahSequence } from '../wire/ah.js'
import { ipVersion } from '../wire/ipv4.js'
import { DROP } from './drop.js'
import { muteIpv4, muteIpv6 } from './ip-headers.js'
import type { InboundSa, OutboundSa } from './sa.js'
import { ipsecScratch, SAVED_HEADERS } from './scratch.js'

/**
 * Fills in the AH header of a packet with the SA's next sequence number and its ICV (RFC 4302 section 3.3).
 * @param at the packet: its IP header and extension headers, `headers` octets, are final; room for the AH header follows, then
 *   the payload
 * @param length octets of the whole packet
 * @param nextHeader what follows the AH header
 * @returns 0, or DROP.UNSUPPORTED_HEADER, DROP.SEQUENCE_EXHAUSTED
 */
export function sealAh(
  sa: OutboundSa,
  slab: Slab,
  at: number,
  headers: number,
  length: number,
  nextHeader: number,
): number {
  const t = sa.ah!
  const b = slab.bytes
  const v = slab.view
  const ah = at + headers
  const ahOctets = ahHeaderLength(t.icvLength, sa.outer.version)
  const saved = ipsecScratch(slab) + SAVED_HEADERS
  b.copyWithin(saved, at, ah)
  const verdict = mute(b, at, headers)
  if (verdict === 0 && sa.nextSequence()) {
    b[ah] = nextHeader
    b[ah + 1] = (ahOctets >>> 2) - 2
    b[ah + 2] = 0
    b[ah + 3] = 0
    v.setUint32(ah + 4, sa.spi)
    v.setUint32(ah + 8, sa.sequenceLow)
    b.fill(0, ah + AH_FIXED_LEN, ah + ahOctets)
    t.seal(at, length, ah + AH_FIXED_LEN, sa.sequenceHigh, sa.sequenceLow)
    b.copyWithin(at, saved, saved + headers)
    return 0
  }
  b.copyWithin(at, saved, saved + headers)
  return verdict === 0 ? DROP.SEQUENCE_EXHAUSTED : verdict
}

/**
 * Checks a packet with AH (RFC 4302 section 3.4): length, replay, ICV, replay update. Its headers are unchanged afterwards, its ICV
 * field is zero, and `sa.nextHeader` says what follows AH.
 * @param at the packet; AH stands behind `headers` octets of IP header and extension headers
 * @param length octets of the whole packet
 * @returns octets of the AH header, or a negative DROP code: BAD_LENGTH, REPLAYED, TOO_OLD, UNSUPPORTED_HEADER, BAD_ICV
 */
export function openAh(sa: InboundSa, slab: Slab, at: number, headers: number, length: number): number {
  const t = sa.ah!
  const b = slab.bytes
  const ah = at + headers
  const ahOctets = ahHeaderLength(t.icvLength, ipVersion(b, at) === 4 ? 4 : 6)
  if (headers + ahOctets > length || ahLength(b, ah) !== ahOctets) return DROP.BAD_LENGTH
  const verdict = sa.replay.check(ahSequence(b, ah))
  if (verdict !== 0) return verdict
  const saved = ipsecScratch(slab) + SAVED_HEADERS
  b.copyWithin(saved, at, ah)
  const muted = mute(b, at, headers)
  const authentic = muted === 0 && t.open(at, length, ah + AH_FIXED_LEN, sa.replay.high)
  b.copyWithin(at, saved, saved + headers)
  if (!authentic) return muted === 0 ? DROP.BAD_ICV : muted
  sa.commitSequence()
  sa.nextHeader = b[ah]!
  return ahOctets
}

function mute(b: Uint8Array, at: number, headers: number): number {
  return ipVersion(b, at) === 4 ? muteIpv4(b, at) : muteIpv6(b, at, headers)
}
