import { closeSync, fstatSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { ConfigError, SystemError } from '../errors.js'
import { type CaptureWriter, PcapngWriter, PcapWriter } from '../wire/pcap/capture-writer.js'
import { LINKTYPE } from '../wire/pcap/link-layer.js'
import type { OctetSource } from '../wire/pcap/octet-window.js'

/** A file that is read from its beginning. */
export class InputFile implements OctetSource {
  readonly path: string
  private readonly fd: number

  /** @throws ConfigError when it cannot be opened */
  constructor(path: string) {
    this.path = path
    try {
      this.fd = openSync(path, 'r')
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw new ConfigError(code === 'ENOENT' ? `${path}: no such file` : `${path}: cannot be read: ${code}`)
    }
    if (fstatSync(this.fd).isDirectory()) {
      closeSync(this.fd)
      throw new ConfigError(`${path}: a directory; give a capture file`)
    }
  }

  read(into: Uint8Array, at: number, length: number): number {
    try {
      return readSync(this.fd, into, at, length, null)
    } catch (error) {
      throw systemError('read', this.path, error)
    }
  }

  /** True when the path leads to the same file. */
  isAt(path: string): boolean {
    const other = statSync(path, { throwIfNoEntry: false })
    const own = fstatSync(this.fd)
    return other !== undefined && other.dev === own.dev && other.ino === own.ino
  }

  close(): void {
    closeSync(this.fd)
  }
}

/** A capture of raw IP packets that is written: pcap when its name ends so, else pcapng. Only its owner can read it. */
export class OutputFile {
  readonly path: string
  private readonly fd: number
  private readonly writer: CaptureWriter

  /** @param name of the one interface, in pcapng @throws SystemError */
  constructor(path: string, name: string) {
    this.path = path
    try {
      this.fd = openSync(path, 'w', 0o600)
    } catch (error) {
      throw systemError('open', path, error)
    }
    const sink = (octets: Uint8Array): void => this.write(octets)
    this.writer = path.endsWith('.pcap')
      ? new PcapWriter(sink, LINKTYPE.RAW)
      : new PcapngWriter(sink, [{ name, linkType: LINKTYPE.RAW }])
  }

  packet(timeNs: bigint, b: Uint8Array, at: number, length: number): void {
    this.writer.packet(0, timeNs, b, at, length)
  }

  /** Writes what is left. */
  close(): void {
    this.writer.flush()
    closeSync(this.fd)
  }

  private write(octets: Uint8Array): void {
    try {
      for (let at = 0; at < octets.length; ) at += writeSync(this.fd, octets, at)
    } catch (error) {
      throw systemError('write', this.path, error)
    }
  }
}

function systemError(call: string, path: string, error: unknown): SystemError {
  const { errno = 0, code } = error as NodeJS.ErrnoException
  return new SystemError(call, Math.abs(errno), `${path}: ${call} failed: ${code ?? String(error)}`, {
    cause: error,
  })
}
