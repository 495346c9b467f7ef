import { WireError } from '../../errors.js'
import { CAPTURED_MAX, type CapturedPacket } from './captured-packet.js'
import type { OctetWindow } from './octet-window.js'

// The classic format (draft-ietf-opsawg-pcap): a header of 24 octets, then records. Everything is in the writer's byte order.
//   header | magic (u32) | major, minor (u16) | reserved (2 x u32) | snap length (u32) | link type (u32) |
//   record | seconds (u32) | fraction (u32) | captured length (u32) | original length (u32) | octets ... |

export const PCAP_HEADER_LEN = 24
export const PCAP_RECORD_LEN = 16
export const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4
export const PCAP_MAGIC_NANOSECONDS = 0xa1b23c4d
/** Writers of Linux 2.2 with longer record headers. */
const PCAP_MAGIC_MODIFIED = 0xa1b2cd34

/** Reads one format of capture file from a window that stands at its first octet. */
export interface CaptureFormat {
  readonly name: 'pcap' | 'pcapng'
  /** Fills `packet` with the next one. @returns false at the end @throws WireError */
  next(packet: CapturedPacket): boolean
}

/** A reader of the classic format, or undefined when the window does not begin with its magic. @throws WireError */
export function pcapFormat(window: OctetWindow): CaptureFormat | undefined {
  window.need(4, 'capture file')
  for (const little of [false, true])
    switch (window.view.getUint32(window.at, little)) {
      case PCAP_MAGIC_MICROSECONDS:
        return new Pcap(window, little, 1000n)
      case PCAP_MAGIC_NANOSECONDS:
        return new Pcap(window, little, 1n)
      case PCAP_MAGIC_MODIFIED:
        throw new WireError('magic', 0, 'a modified pcap of old Linux; convert it with: editcap -F pcapng')
    }
  return undefined
}

class Pcap implements CaptureFormat {
  readonly name = 'pcap'
  private readonly window: OctetWindow
  private readonly little: boolean
  private readonly unitNs: bigint
  private readonly linkType: number

  constructor(window: OctetWindow, little: boolean, unitNs: bigint) {
    this.window = window
    this.little = little
    this.unitNs = unitNs
    window.need(PCAP_HEADER_LEN, 'pcap header')
    const { view, at } = window
    const major = view.getUint16(at + 4, little)
    const minor = view.getUint16(at + 6, little)
    if (major !== 2 || minor !== 4)
      throw new WireError(
        'version',
        4,
        `pcap ${major}.${minor} is not 2.4; convert it with: editcap -F pcapng`,
      )
    // The upper half tells of a frame check sequence, which lies behind what IP's own length covers.
    this.linkType = view.getUint32(at + 20, little) & 0xffff
    window.at += PCAP_HEADER_LEN
  }

  next(packet: CapturedPacket): boolean {
    const w = this.window
    if (w.empty) return false
    packet.offset = w.offset
    w.need(PCAP_RECORD_LEN, 'record header')
    const { view, at } = w
    const seconds = view.getUint32(at, this.little)
    const fraction = view.getUint32(at + 4, this.little)
    const length = view.getUint32(at + 8, this.little)
    const originalLength = view.getUint32(at + 12, this.little)
    if (length > CAPTURED_MAX) throw new WireError('captured length', w.offset + 8, tooLong(length))
    w.at += PCAP_RECORD_LEN
    w.need(length, 'packet')
    packet.bytes = w.bytes
    packet.at = w.at
    packet.length = length
    packet.originalLength = originalLength
    packet.linkType = this.linkType
    packet.interfaceId = 0
    packet.timeNs = BigInt(seconds) * 1_000_000_000n + BigInt(fraction) * this.unitNs
    w.at += length
    return true
  }
}

export const tooLong = (length: number): string =>
  `${length} octets in one packet, at most ${CAPTURED_MAX} are possible: the file is damaged`
