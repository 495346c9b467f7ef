import { CAPTURED_MAX } from './captured-packet.js'
import { PCAP_HEADER_LEN, PCAP_MAGIC_NANOSECONDS, PCAP_RECORD_LEN } from './pcap-format.js'
import {
  BLOCK,
  BLOCK_FRAME_LEN,
  BLOCK_HEAD_LEN,
  BYTE_ORDER_MAGIC,
  IF_TSRESOL,
  OPT_END,
} from './pcapng-format.js'

/** Takes octets that are valid within the call only. */
export type OctetSink = (b: Uint8Array) => void

/** Writes a capture file, nanosecond timestamps, little-endian. Nothing reaches the sink for sure before `flush`. */
export interface CaptureWriter {
  /** Octets written so far, with those that wait for `flush`. */
  readonly octets: number
  /**
   * @param interfaceId index of the interface; 0 in a pcap file
   * @param timeNs nanoseconds since 1970
   * @param length at most CAPTURED_MAX
   * @param originalLength octets on the wire; default `length`
   */
  packet(
    interfaceId: number,
    timeNs: bigint,
    b: Uint8Array,
    at: number,
    length: number,
    originalLength?: number,
  ): void
  flush(): void
}

export interface WrittenInterface {
  readonly name: string
  readonly linkType: number
}

const FLUSH_AT = 1 << 20
const IF_NAME = 2
const NANOSECONDS = 9
const BILLION = 1_000_000_000n

const padded = (n: number): number => (n + 3) & ~3

/** What both formats have in common: a buffer in front of the sink. */
abstract class BufferedWriter {
  protected readonly bytes = new Uint8Array(FLUSH_AT + CAPTURED_MAX + 1024)
  protected readonly view = new DataView(this.bytes.buffer)
  protected used = 0
  private flushed = 0
  private readonly sink: OctetSink

  constructor(sink: OctetSink) {
    this.sink = sink
  }

  get octets(): number {
    return this.flushed + this.used
  }

  flush(): void {
    this.sink(this.bytes.subarray(0, this.used))
    this.flushed += this.used
    this.used = 0
  }

  protected wrote(octets: number): void {
    this.used += octets
    if (this.used >= FLUSH_AT) this.flush()
  }
}

/** pcapng: one section, the interfaces given, enhanced packet blocks. */
export class PcapngWriter extends BufferedWriter implements CaptureWriter {
  constructor(sink: OctetSink, interfaces: readonly WrittenInterface[]) {
    super(sink)
    this.sectionHeader()
    for (const i of interfaces) this.interfaceDescription(i)
  }

  /** Octets that `packet` adds for a packet of this length. */
  static sizeOf(length: number): number {
    return BLOCK_FRAME_LEN + 20 + padded(length)
  }

  packet(
    interfaceId: number,
    timeNs: bigint,
    b: Uint8Array,
    at: number,
    length: number,
    originalLength = length,
  ): void {
    const v = this.view
    const size = PcapngWriter.sizeOf(length)
    const body = this.block(BLOCK.ENHANCED_PACKET, size)
    v.setUint32(body, interfaceId, true)
    v.setUint32(body + 4, Number(timeNs >> 32n), true)
    v.setUint32(body + 8, Number(timeNs & 0xffff_ffffn), true)
    v.setUint32(body + 12, length, true)
    v.setUint32(body + 16, originalLength, true)
    this.bytes.set(b.subarray(at, at + length), body + 20)
    this.bytes.fill(0, body + 20 + length, body + 20 + padded(length))
    this.wrote(size)
  }

  private sectionHeader(): void {
    const size = BLOCK_FRAME_LEN + 16
    const body = this.block(BLOCK.SECTION_HEADER, size)
    this.view.setUint32(body, BYTE_ORDER_MAGIC, true)
    this.view.setUint32(body + 4, 1, true) // version 1.0
    this.view.setBigInt64(body + 8, -1n, true) // length of the section: not said
    this.wrote(size)
  }

  private interfaceDescription({ name, linkType }: WrittenInterface): void {
    const v = this.view
    const text = new TextEncoder().encode(name)
    const options = (text.length > 0 ? 4 + padded(text.length) : 0) + 8 + 4
    const size = BLOCK_FRAME_LEN + 8 + options
    const body = this.block(BLOCK.INTERFACE_DESCRIPTION, size)
    this.bytes.fill(0, body, body + 8 + options)
    v.setUint16(body, linkType, true) // snap length 0: no limit
    let at = body + 8
    if (text.length > 0) {
      v.setUint16(at, IF_NAME, true)
      v.setUint16(at + 2, text.length, true)
      this.bytes.set(text, at + 4)
      at += 4 + padded(text.length)
    }
    v.setUint16(at, IF_TSRESOL, true)
    v.setUint16(at + 2, 1, true)
    this.bytes[at + 4] = NANOSECONDS
    v.setUint16(at + 8, OPT_END, true)
    this.wrote(size)
  }

  /** Writes both lengths and the type; gives where the body begins. */
  private block(type: number, size: number): number {
    const start = this.used
    this.view.setUint32(start, type, true)
    this.view.setUint32(start + 4, size, true)
    this.view.setUint32(start + size - 4, size, true)
    return start + BLOCK_HEAD_LEN
  }
}

/** The classic format, for tools that read no pcapng. */
export class PcapWriter extends BufferedWriter implements CaptureWriter {
  constructor(sink: OctetSink, linkType: number) {
    super(sink)
    const v = this.view
    v.setUint32(0, PCAP_MAGIC_NANOSECONDS, true)
    v.setUint32(4, 2 | (4 << 16), true) // version 2.4
    v.setUint32(16, CAPTURED_MAX, true)
    v.setUint32(20, linkType, true)
    this.wrote(PCAP_HEADER_LEN)
  }

  packet(
    _interfaceId: number,
    timeNs: bigint,
    b: Uint8Array,
    at: number,
    length: number,
    originalLength = length,
  ): void {
    const v = this.view
    const start = this.used
    v.setUint32(start, Number((timeNs / BILLION) & 0xffff_ffffn), true)
    v.setUint32(start + 4, Number(timeNs % BILLION), true)
    v.setUint32(start + 8, length, true)
    v.setUint32(start + 12, originalLength, true)
    this.bytes.set(b.subarray(at, at + length), start + PCAP_RECORD_LEN)
    this.wrote(PCAP_RECORD_LEN + length)
  }
}
