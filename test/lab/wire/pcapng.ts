import { closeSync, openSync, writeSync } from 'node:fs'

// pcapng, as IETF's draft-ietf-opsawg-pcapng has it: blocks of type, total length, body, total length again, everything
// in the writer's byte order and in multiples of four octets.

const SECTION_HEADER = 0x0a0d0d0a
const INTERFACE_DESCRIPTION = 1
const ENHANCED_PACKET = 6
const BYTE_ORDER_MAGIC = 0x1a2b3c4d
export const LINKTYPE_ETHERNET = 1
export const LINKTYPE_RAW = 101
const OPT_END = 0
const IF_NAME = 2
const IF_TSRESOL = 9
const NANOSECONDS = 9
const FLUSH_AT = 1 << 20

const padded = (n: number): number => (n + 3) & ~3

/** Writes a capture file of frames with nanosecond timestamps, up to a bound; what comes later is only counted. */
export class PcapngWriter {
  /** Frames that were not written because of the bound. */
  left = 0
  written = 0
  private readonly fd: number
  private readonly limit: number
  private readonly buffer = Buffer.alloc(FLUSH_AT + (1 << 17))
  private used = 0
  private octets = 0

  /**
   * @param interfaces their names, in the order of the indexes that `frame` takes
   * @param limit octets of file at most
   */
  constructor(
    path: string,
    interfaces: readonly string[],
    limit = 64 * 1024 * 1024,
    linkType = LINKTYPE_ETHERNET,
  ) {
    this.limit = limit
    this.fd = openSync(path, 'w', 0o600)
    const header = Buffer.alloc(16)
    header.writeUInt32LE(BYTE_ORDER_MAGIC, 0)
    header.writeUInt16LE(1, 4)
    header.writeBigInt64LE(-1n, 8) // length of the section: unknown
    this.block(SECTION_HEADER, header)
    for (const name of interfaces) this.block(INTERFACE_DESCRIPTION, interfaceBody(name, linkType))
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
    const size = 32 + padded(length)
    if (this.octets + this.used + size > this.limit) {
      this.left++
      return
    }
    if (this.used + size > this.buffer.length) this.flush()
    const out = this.buffer
    const start = this.used
    const time = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
    out.writeUInt32LE(ENHANCED_PACKET, start)
    out.writeUInt32LE(size, start + 4)
    out.writeUInt32LE(iface, start + 8)
    out.writeUInt32LE(Number(time >> 32n), start + 12)
    out.writeUInt32LE(Number(time & 0xffffffffn), start + 16)
    out.writeUInt32LE(length, start + 20)
    out.writeUInt32LE(length, start + 24)
    out.set(b.subarray(at, at + length), start + 28)
    out.fill(0, start + 28 + length, start + 28 + padded(length))
    out.writeUInt32LE(size, start + size - 4)
    this.used += size
    this.written++
    if (this.used >= FLUSH_AT) this.flush()
  }

  flush(): void {
    writeSync(this.fd, this.buffer, 0, this.used)
    this.octets += this.used
    this.used = 0
  }

  close(): void {
    this.flush()
    closeSync(this.fd)
  }

  private block(type: number, body: Buffer): void {
    const size = 12 + body.length
    this.buffer.writeUInt32LE(type, this.used)
    this.buffer.writeUInt32LE(size, this.used + 4)
    body.copy(this.buffer, this.used + 8)
    this.buffer.writeUInt32LE(size, this.used + size - 4)
    this.used += size
  }
}

function interfaceBody(name: string, linkType: number): Buffer {
  const text = Buffer.from(name)
  const body = Buffer.alloc(8 + 4 + padded(text.length) + 4 + 4 + 4)
  body.writeUInt16LE(linkType, 0)
  let at = 8 // snap length 0: no limit
  at = body.writeUInt16LE(IF_NAME, at)
  at = body.writeUInt16LE(text.length, at)
  text.copy(body, at)
  at += padded(text.length)
  at = body.writeUInt16LE(IF_TSRESOL, at)
  at = body.writeUInt16LE(1, at)
  body[at] = NANOSECONDS
  body.writeUInt16LE(OPT_END, at + 4)
  return body
}
