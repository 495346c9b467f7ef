import { onesComplementSum } from '../../../src/bytes/checksum.js'

// Forging: takes frames that somebody on the wire has seen, and makes others of them. IPv4 without options only.

const ETHERNET = 14
const HEADER = 20
const UDP_HEADER = 8

/** Octets behind the IPv4 header; aliases the frame. */
export const ipPayload = (frame: Buffer): Buffer =>
  frame.subarray(ETHERNET + HEADER, ETHERNET + frame.readUInt16BE(ETHERNET + 2))

/** Octets behind the UDP header; aliases the frame. */
export const udpPayload = (frame: Buffer): Buffer => ipPayload(frame).subarray(UDP_HEADER)

/** The frame with another IP payload, and for that with another length and header checksum. */
export function withIpPayload(
  frame: Buffer,
  payload: Uint8Array,
  changes: { protocol?: number; source?: Uint8Array } = {},
): Buffer {
  const out = Buffer.concat([frame.subarray(0, ETHERNET + HEADER), payload])
  out.writeUInt16BE(HEADER + payload.length, ETHERNET + 2)
  out.writeUInt16BE(0, ETHERNET + 6) // no fragment
  if (changes.protocol !== undefined) out[ETHERNET + 9] = changes.protocol
  if (changes.source) out.set(changes.source, ETHERNET + 12)
  out.writeUInt16BE(0, ETHERNET + 10)
  out.writeUInt16BE(~onesComplementSum(out, ETHERNET, HEADER, 0) & 0xffff, ETHERNET + 10)
  return out
}

/** The frame with another UDP payload. It has no UDP checksum, which IPv4 allows. */
export function withUdpPayload(frame: Buffer, payload: Uint8Array, source?: Uint8Array): Buffer {
  const header = Buffer.from(ipPayload(frame).subarray(0, UDP_HEADER))
  header.writeUInt16BE(UDP_HEADER + payload.length, 4)
  header.writeUInt16BE(0, 6)
  return withIpPayload(frame, Buffer.concat([header, payload]), source ? { source } : {})
}

/** Repeatable randomness for attacks. */
export class Dice {
  private state: number

  constructor(seed: number) {
    this.state = seed | 1
  }

  /** A whole number from 0 to n - 1: xorshift32. */
  below(n: number): number {
    let x = this.state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state = x
    return (x >>> 0) % n
  }

  octets(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)))
  }

  pick<T>(from: readonly T[]): T {
    const value = from[this.below(from.length)]
    if (value === undefined) throw new Error('nothing to pick from')
    return value
  }

  /** A copy with one to eight octets changed at or behind `from`. */
  spoil(octets: Uint8Array, from = 0): Buffer {
    const out = Buffer.from(octets)
    if (out.length <= from) return out
    for (let i = this.below(8); i >= 0; i--) {
      const at = from + this.below(out.length - from)
      out[at] = out[at]! ^ (1 + this.below(255))
    }
    return out
  }

  /** The first octets, at least `from` and fewer than all. */
  cut(octets: Uint8Array, from = 0): Buffer {
    return Buffer.from(octets.subarray(0, from + this.below(Math.max(1, octets.length - from))))
  }
}
