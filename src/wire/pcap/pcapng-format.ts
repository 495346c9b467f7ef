import { WireError } from '../../errors.js'
import { CAPTURED_MAX, type CapturedPacket, INTERFACES_MAX } from './captured-packet.js'
import type { OctetWindow } from './octet-window.js'
import { type CaptureFormat, tooLong } from './pcap-format.js'

// draft-ietf-opsawg-pcapng: blocks of type, total length, body, total length again, in multiples of four octets, everything in
// the byte order of their section, which its header tells.

export const BLOCK = {
  SECTION_HEADER: 0x0a0d0d0a,
  INTERFACE_DESCRIPTION: 1,
  /** Obsolete, and still met. */
  PACKET: 2,
  SIMPLE_PACKET: 3,
  ENHANCED_PACKET: 6,
} as const
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d
export const OPT_END = 0
export const IF_TSRESOL = 9
export const IF_TSOFFSET = 14
/** Type and total length in front of a body, the total length behind it. */
export const BLOCK_HEAD_LEN = 8
export const BLOCK_FRAME_LEN = 12
const SECTION_BLOCK_MIN = BLOCK_FRAME_LEN + 16
/** An interface description has to fit the window: names, filters and comments beside what is needed. */
const INTERFACE_BLOCK_MAX = 65_536

interface Interface {
  readonly linkType: number
  /** 0 = no limit. */
  readonly snapLength: number
  /** A time of `ticks` is ticks * multiplier / divisor + offset nanoseconds. */
  readonly multiplier: bigint
  readonly divisor: bigint
  readonly offsetNs: bigint
}

/** A reader of pcapng, or undefined when the window does not begin with a section header. @throws WireError */
export function pcapngFormat(window: OctetWindow): CaptureFormat | undefined {
  window.need(4, 'capture file')
  return window.view.getUint32(window.at) === BLOCK.SECTION_HEADER ? new Pcapng(window) : undefined
}

class Pcapng implements CaptureFormat {
  readonly name = 'pcapng'
  private readonly window: OctetWindow
  private little = false
  private interfaces: Interface[] = []
  /** The block that is being read. */
  private open: { readonly total: number; readonly from: number } | undefined

  constructor(window: OctetWindow) {
    this.window = window
  }

  next(packet: CapturedPacket): boolean {
    const w = this.window
    // What the previous call handed out is left behind only now: until then its octets were the caller's.
    this.closeBlock()
    while (!w.empty) {
      const offset = w.offset
      w.need(BLOCK_FRAME_LEN, 'block')
      const type = w.view.getUint32(w.at, this.little)
      if (type === BLOCK.SECTION_HEADER) this.beginSection()
      const total = w.view.getUint32(w.at + 4, this.little)
      if (total < BLOCK_FRAME_LEN || total % 4 !== 0)
        throw new WireError(
          'block length',
          offset + 4,
          `${total} is no multiple of 4 from 12: the file is damaged`,
        )
      this.open = { total, from: offset }
      switch (type) {
        case BLOCK.SECTION_HEADER:
          break
        case BLOCK.INTERFACE_DESCRIPTION:
          this.describeInterface(total)
          break
        case BLOCK.ENHANCED_PACKET:
          this.timedPacket(packet, total, true)
          return true
        case BLOCK.PACKET:
          this.timedPacket(packet, total, false)
          return true
        case BLOCK.SIMPLE_PACKET:
          this.simplePacket(packet, total)
          return true
      }
      this.closeBlock()
    }
    return false
  }

  /** Passes over what is left of the block, and compares the length behind it with that in front. */
  private closeBlock(): void {
    const w = this.window
    const { open } = this
    if (!open) return
    this.open = undefined
    w.skip(open.from + open.total - 4 - w.offset, 'block')
    w.need(4, 'block length')
    const again = w.view.getUint32(w.at, this.little)
    if (again !== open.total)
      throw new WireError(
        'block length',
        w.offset,
        `${again} behind the block, ${open.total} in front of it: the file is damaged`,
      )
    w.at += 4
  }

  /** Learns the byte order, in which the length of this very block is. */
  private beginSection(): void {
    const w = this.window
    w.need(BLOCK_HEAD_LEN + 8, 'section header')
    const magic = w.at + BLOCK_HEAD_LEN
    if (w.view.getUint32(magic, true) === BYTE_ORDER_MAGIC) this.little = true
    else if (w.view.getUint32(magic, false) === BYTE_ORDER_MAGIC) this.little = false
    else
      throw new WireError('byte order', w.offset + BLOCK_HEAD_LEN, 'no byte-order magic: the file is damaged')
    const major = w.view.getUint16(magic + 4, this.little)
    if (major !== 1) throw new WireError('version', w.offset + 12, `pcapng ${major} is not known, only 1`)
    if (w.view.getUint32(w.at + 4, this.little) < SECTION_BLOCK_MIN)
      throw new WireError('section header', w.offset, 'too short: the file is damaged')
    this.interfaces = []
  }

  private describeInterface(total: number): void {
    const w = this.window
    if (total < BLOCK_FRAME_LEN + 8 || total > INTERFACE_BLOCK_MAX)
      throw new WireError('interface description', w.offset, `${total} octets: the file is damaged`)
    if (this.interfaces.length >= INTERFACES_MAX)
      throw new WireError('interface description', w.offset, `more than ${INTERFACES_MAX} interfaces`)
    w.need(total, 'interface description')
    const { view, at } = w
    const times = this.times(at + BLOCK_HEAD_LEN + 8, at + total - 4)
    this.interfaces.push({
      linkType: view.getUint16(at + BLOCK_HEAD_LEN, this.little),
      snapLength: view.getUint32(at + BLOCK_HEAD_LEN + 4, this.little),
      ...times,
    })
  }

  /** The unit of the timestamps, from the options between `at` and `end`. */
  private times(at: number, end: number): Pick<Interface, 'multiplier' | 'divisor' | 'offsetNs'> {
    const { view } = this.window
    let resolution = 6
    let offsetNs = 0n
    for (let i = at; i + 4 <= end; ) {
      const code = view.getUint16(i, this.little)
      const length = view.getUint16(i + 2, this.little)
      if (code === OPT_END) break
      if (i + 4 + length > end)
        throw new WireError(
          'option',
          this.window.offset + i - this.window.at,
          `${length} octets do not fit the block`,
        )
      if (code === IF_TSRESOL && length === 1) resolution = view.getUint8(i + 4)
      if (code === IF_TSOFFSET && length === 8)
        offsetNs = view.getBigInt64(i + 4, this.little) * 1_000_000_000n
      i += 4 + ((length + 3) & ~3)
    }
    const exponent = BigInt(resolution & 0x7f)
    const divisor = (resolution & 0x80) !== 0 ? 2n ** exponent : 10n ** exponent
    return { multiplier: 1_000_000_000n, divisor, offsetNs }
  }

  /**
   *   enhanced | interface (u32) | time, high and low half (u32) | captured length | original length | octets ... |
   *   packet   | interface (u16) | drops (u16) | the same from here on
   */
  private timedPacket(packet: CapturedPacket, total: number, enhanced: boolean): void {
    const w = this.window
    const head = BLOCK_HEAD_LEN + 20
    if (total < head + 4)
      throw new WireError('packet block', w.offset, `${total} octets are too few: the file is damaged`)
    w.need(head, 'packet block')
    const { view, at } = w
    const first = at + BLOCK_HEAD_LEN
    const id = enhanced ? view.getUint32(first, this.little) : view.getUint16(first, this.little)
    const iface = this.interfaceOf(id)
    const ticks =
      (BigInt(view.getUint32(first + 4, this.little)) << 32n) | BigInt(view.getUint32(first + 8, this.little))
    const length = view.getUint32(first + 12, this.little)
    packet.originalLength = view.getUint32(first + 16, this.little)
    packet.timeNs = (ticks * iface.multiplier) / iface.divisor + iface.offsetNs
    this.take(packet, iface, id, head, length, total)
  }

  /** | original length (u32) | octets ... |, of the first interface. */
  private simplePacket(packet: CapturedPacket, total: number): void {
    const w = this.window
    const head = BLOCK_HEAD_LEN + 4
    if (total < head + 4)
      throw new WireError('packet block', w.offset, `${total} octets are too few: the file is damaged`)
    w.need(head, 'packet block')
    const iface = this.interfaceOf(0)
    const original = w.view.getUint32(w.at + BLOCK_HEAD_LEN, this.little)
    const room = total - head - 4
    const limit = iface.snapLength === 0 ? room : Math.min(room, iface.snapLength)
    packet.originalLength = original
    packet.timeNs = undefined
    this.take(packet, iface, 0, head, Math.min(original, limit), total)
  }

  private take(
    packet: CapturedPacket,
    iface: Interface,
    id: number,
    head: number,
    length: number,
    total: number,
  ): void {
    const w = this.window
    if (length > CAPTURED_MAX) throw new WireError('captured length', w.offset, tooLong(length))
    if (head + length + 4 > total)
      throw new WireError(
        'captured length',
        w.offset,
        `${length} octets do not fit a block of ${total}: the file is damaged`,
      )
    packet.offset = w.offset
    w.need(head + length, 'packet')
    packet.bytes = w.bytes
    packet.at = w.at + head
    packet.length = length
    packet.linkType = iface.linkType
    packet.interfaceId = id
    w.at += head + length
  }

  private interfaceOf(id: number): Interface {
    const iface = this.interfaces[id]
    if (!iface)
      throw new WireError(
        'interface',
        this.window.offset,
        `number ${id} is not described: the file is damaged`,
      )
    return iface
  }
}
