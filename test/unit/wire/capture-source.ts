import { CaptureReader } from '../../../src/wire/pcap/capture-reader.js'
import type { OctetSource } from '../../../src/wire/pcap/octet-window.js'

/** A file in memory that gives at most `piece` octets a read. */
export function sourceOf(file: Uint8Array, piece = 65_536): OctetSource {
  let from = 0
  return {
    read(into, at, length) {
      const n = Math.min(length, piece, file.length - from)
      into.set(file.subarray(from, from + n), at)
      from += n
      return n
    },
  }
}

export interface Seen {
  readonly octets: string
  readonly originalLength: number
  readonly linkType: number
  readonly interfaceId: number
  readonly timeNs: bigint | undefined
}

/** Every packet of a capture. @throws WireError */
export function readCapture(file: Uint8Array, piece?: number): Seen[] {
  const reader = new CaptureReader(sourceOf(file, piece))
  const seen: Seen[] = []
  while (reader.next()) {
    const { bytes, at, length, originalLength, linkType, interfaceId, timeNs } = reader.packet
    const octets = Buffer.from(bytes.subarray(at, at + length)).toString('hex')
    seen.push({ octets, originalLength, linkType, interfaceId, timeNs })
  }
  return seen
}
