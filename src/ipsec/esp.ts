import type { Slab } from '../bytes/slab.js'
import { ESP_HEADER_LEN, ESP_TRAILER_LEN } from '../wire/esp.js'
import { DROP } from './drop.js'
import type { EspTransform } from './esp-transform.js'
import type { InboundSa, OutboundSa } from './sa.js'
import { ipsecScratch, SAVED_TRAILER } from './scratch.js'

/** Octets in front of the payload: header and IV. */
export const espHeaderRoom = (t: EspTransform): number => ESP_HEADER_LEN + t.ivLength

/** Octets of padding that put the end of `length` octets and trailer on the boundary (RFC 4303 section 2.4). */
const paddingOf = (t: EspTransform, length: number): number => -(length + ESP_TRAILER_LEN) & (t.alignment - 1)

/** Octets from the SPI to the end of the ICV for `length` octets of payload, TFC padding included. */
export function espLength(t: EspTransform, length: number): number {
  return ESP_HEADER_LEN + t.ivLength + length + paddingOf(t, length) + ESP_TRAILER_LEN + t.icvLength
}

/**
 * Protects one payload with the SA's next sequence number (RFC 4303 section 3.3).
 *
 * The trailer is written behind the payload where it lies, as the cipher's input: up to 17 octets behind `src + length` are
 * changed during the call and are again what they were when it returns, unless the packet is sealed in place. With
 * traffic-flow-confidentiality padding the payload is moved to `esp` first, and the source is not touched.
 * @param src payload; either it is where the ciphertext will be, `esp + espHeaderRoom`, or it does not overlap the packet
 * @param esp where the packet begins; espLength octets
 * @param tfc octets of zeros between payload and padding (RFC 4303 section 2.7): the payload must tell its own length
 * @returns octets of the packet, or DROP.SEQUENCE_EXHAUSTED
 */
export function sealEsp(
  sa: OutboundSa,
  slab: Slab,
  src: number,
  length: number,
  esp: number,
  nextHeader: number,
  tfc = 0,
): number {
  if (!sa.nextSequence()) return DROP.SEQUENCE_EXHAUSTED
  const t = sa.esp!
  const b = slab.bytes
  const v = slab.view
  const low = sa.sequenceLow
  v.setUint32(esp, sa.spi)
  v.setUint32(esp + 4, low)
  const place = esp + ESP_HEADER_LEN + t.ivLength
  let from = src
  let n = length
  if (tfc > 0) {
    b.copyWithin(place, src, src + length)
    b.fill(0, place + length, place + length + tfc)
    from = place
    n += tfc
  }
  const padding = paddingOf(t, n)
  const trailer = from + n
  const end = padding + ESP_TRAILER_LEN
  const saved = ipsecScratch(slab) + SAVED_TRAILER
  const outOfPlace = from !== place
  if (outOfPlace) for (let i = 0; i < end; i++) b[saved + i] = b[trailer + i]!
  for (let i = 0; i < padding; i++) b[trailer + i] = i + 1
  b[trailer + padding] = padding
  b[trailer + padding + 1] = nextHeader
  t.seal(esp, from, n + end, sa.sequenceHigh, low)
  if (outOfPlace) for (let i = 0; i < end; i++) b[trailer + i] = b[saved + i]!
  return ESP_HEADER_LEN + t.ivLength + n + end + t.icvLength
}

/**
 * Announces a packet that `openEsp` will be given with its place as destination (see Burst). What it would refuse without looking at
 * the ICV is left out.
 */
export function announceEsp(sa: InboundSa, slab: Slab, esp: number, length: number): void {
  const t = sa.esp!
  const n = length - ESP_HEADER_LEN - t.ivLength - t.icvLength
  if (t.announce === undefined || n < ESP_TRAILER_LEN || (n & (t.alignment - 1)) !== 0) return
  if (sa.replay.check(slab.view.getUint32(esp + 4)) === 0) t.announce(esp, n, sa.replay.high)
}

/**
 * Opens one packet (RFC 4303 section 3.4): replay check, ICV, replay update, padding. `sa.nextHeader` then says what the payload is.
 * TFC padding is still part of it.
 * @param length octets from the SPI to the end of the ICV
 * @param dst where payload and trailer go: `esp + espHeaderRoom`, in place, or anywhere that does not overlap the packet, with room
 *   for `length` octets
 * @returns octets of payload, or a negative DROP code: BAD_LENGTH, REPLAYED, TOO_OLD, BAD_ICV, BAD_PADDING. After BAD_ICV
 *   the packet's octets mean nothing
 */
export function openEsp(sa: InboundSa, slab: Slab, esp: number, length: number, dst: number): number {
  const t = sa.esp!
  const b = slab.bytes
  const n = length - ESP_HEADER_LEN - t.ivLength - t.icvLength
  if (n < ESP_TRAILER_LEN || (n & (t.alignment - 1)) !== 0) return DROP.BAD_LENGTH
  const verdict = sa.replay.check(slab.view.getUint32(esp + 4))
  if (verdict !== 0) return verdict
  if (!t.open(esp, n, dst, sa.replay.high)) return DROP.BAD_ICV
  sa.commitSequence()
  const trailer = dst + n - ESP_TRAILER_LEN
  const padding = b[trailer]!
  const payload = n - ESP_TRAILER_LEN - padding
  if (payload < 0) return DROP.BAD_PADDING
  for (let i = 0; i < padding; i++) if (b[dst + payload + i] !== i + 1) return DROP.BAD_PADDING
  sa.nextHeader = b[trailer + 1]!
  return payload
}
