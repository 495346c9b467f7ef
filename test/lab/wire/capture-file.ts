import { closeSync, openSync, writeSync } from 'node:fs'
import { PcapngWriter } from '../../../src/wire/pcap/capture-writer.js'
import { LINKTYPE } from '../../../src/wire/pcap/link-layer.js'

const BILLION = 1_000_000_000n

/** Writes a capture file of frames with nanosecond timestamps, up to a bound; what comes later is only counted. */
export class CaptureFile {
  /** Frames that were not written because of the bound. */
  left = 0
  written = 0
  private readonly fd: number
  private readonly limit: number
  private readonly writer: PcapngWriter

  /**
   * @param interfaces their names, in the order of the indexes that `frame` takes
   * @param limit octets of file at most
   */
  constructor(
    path: string,
    interfaces: readonly string[],
    limit = 64 * 1024 * 1024,
    linkType: number = LINKTYPE.ETHERNET,
  ) {
    this.limit = limit
    const fd = openSync(path, 'w', 0o600)
    this.fd = fd
    this.writer = new PcapngWriter(
      (octets) => {
        for (let at = 0; at < octets.length; ) at += writeSync(fd, octets, at)
      },
      interfaces.map((name) => ({ name, linkType })),
    )
  }

  /**
   * @param iface index of the interface that the frame came in by
   * @param seconds since 1970
   */
  frame(
    iface: number,
    seconds: number,
    nanoseconds: number,
    b: Uint8Array,
    at: number,
    length: number,
  ): void {
    if (this.writer.octets + PcapngWriter.sizeOf(length) > this.limit) {
      this.left++
      return
    }
    this.writer.packet(iface, BigInt(seconds) * BILLION + BigInt(nanoseconds), b, at, length)
    this.written++
  }

  flush(): void {
    this.writer.flush()
  }

  close(): void {
    this.flush()
    closeSync(this.fd)
  }
}
