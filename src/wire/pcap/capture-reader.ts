import { WireError } from '../../errors.js'
import { CAPTURED_MAX, type CapturedPacket } from './captured-packet.js'
import { type OctetSource, OctetWindow } from './octet-window.js'
import { type CaptureFormat, pcapFormat } from './pcap-format.js'
import { pcapngFormat } from './pcapng-format.js'

/** Holds the longest packet with its headers, and some more so that the source is read in large pieces. */
const WINDOW = CAPTURED_MAX + 1024 * 1024

/**
 * Reads a pcap (both byte orders, microseconds or nanoseconds) or a pcapng file (both byte orders, several sections and
 * interfaces), packet by packet, in memory of fixed size. Other blocks of a pcapng file are passed over.
 */
export class CaptureReader {
  /** The packet that `next` found last. */
  readonly packet: CapturedPacket = {
    bytes: new Uint8Array(0),
    at: 0,
    length: 0,
    originalLength: 0,
    linkType: 0,
    interfaceId: 0,
    timeNs: undefined,
    offset: 0,
  }
  private readonly format: CaptureFormat

  /** @throws WireError when the source is no capture; the offset is that in the source */
  constructor(source: OctetSource) {
    const window = new OctetWindow(source, WINDOW)
    const format = pcapngFormat(window) ?? pcapFormat(window)
    if (!format)
      throw new WireError('magic', 0, 'this is no capture: expected a pcap or pcapng file, not compressed')
    this.format = format
  }

  get formatName(): 'pcap' | 'pcapng' {
    return this.format.name
  }

  /**
   * Goes to the next packet.
   * @returns false at the end of the file
   * @throws WireError where the file is damaged or ends in the middle of something; no more can be read then
   */
  next(): boolean {
    return this.format.next(this.packet)
  }
}
