import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EngineName } from '../../src/crypto/types.js'
import { type ReplaySummary, replayFile } from '../../src/replay/replay-file.js'
import { formatIp } from '../../src/wire/ip-address.js'
import { IpPacket } from '../../src/wire/ip-packet.js'
import { CaptureReader } from '../../src/wire/pcap/capture-reader.js'
import { PcapngWriter } from '../../src/wire/pcap/capture-writer.js'
import { ipOffset, LINKTYPE } from '../../src/wire/pcap/link-layer.js'
import { sourceOf } from '../unit/wire/capture-source.js'

export interface ArrivedPacket {
  /** Host that it arrived at. */
  readonly side: 'a' | 'b'
  readonly octets: Buffer
}

export const CAPTURES = join(import.meta.dirname, 'captures')

/** IP packets of a capture file. */
export function ipPackets(file: Uint8Array): Buffer[] {
  const reader = new CaptureReader(sourceOf(file))
  const found: Buffer[] = []
  while (reader.next()) {
    const { bytes, at, length, linkType } = reader.packet
    const offset = ipOffset(linkType, bytes, at, length)
    const packet = new IpPacket()
    if (offset < 0 || !packet.parse(bytes, at + offset, length - offset)) continue
    found.push(Buffer.from(bytes.subarray(at + offset, at + offset + packet.length)))
  }
  return found
}

const addresses = (packet: Buffer): readonly [string, string] => {
  const p = new IpPacket()
  p.parse(packet, 0, packet.length)
  const octets = p.version === 4 ? 4 : 16
  const at = (from: number): string => formatIp(new Uint8Array(packet.subarray(from, from + octets)))
  return [at(p.sourceAt), at(p.destinationAt)]
}

/** Packets of a capture between two addresses, in one direction. */
export function packetsOf(
  file: Uint8Array,
  only: { readonly source: string; readonly destination: string; readonly side: 'a' | 'b' },
): ArrivedPacket[] {
  return ipPackets(file)
    .filter((p) => {
      const [source, destination] = addresses(p)
      return source === only.source && destination === only.destination
    })
    .map((octets) => ({ side: only.side, octets }))
}

/** Packets as text, by the address that they come from: the order of one direction says nothing of the other's. */
export function bySource(packets: readonly Buffer[]): Record<string, string[]> {
  const sorted: Record<string, string[]> = {}
  for (const p of packets) {
    const [source] = addresses(p)
    sorted[source] = [...(sorted[source] ?? []), p.toString('hex')]
  }
  return sorted
}

/** Plays a capture and gives what came out. */
export function replayed(
  wire: string,
  keys: string,
  output: string,
  engine: EngineName | 'auto' = 'auto',
  outbound = false,
): { packets: Buffer[]; summary: ReplaySummary } {
  const { summary, broken, warnings } = replayFile({ capture: wire, keys, output, engine, outbound })
  if (broken) throw broken
  if (warnings.length > 0) throw new Error(warnings.join('\n'))
  return { packets: ipPackets(readFileSync(output)), summary }
}

/** Writes what arrived beside a recorded capture, and reads it. Interface 0 is dom0-a's, 1 is dom0-b's. */
export function writeArrived(path: string, packets: readonly ArrivedPacket[]): void {
  const pieces: Buffer[] = []
  const writer = new PcapngWriter(
    (b) => pieces.push(Buffer.from(b)),
    ['a', 'b'].map((name) => ({ name, linkType: LINKTYPE.RAW })),
  )
  for (const { side, octets } of packets) writer.packet(side === 'a' ? 0 : 1, 0n, octets, 0, octets.length)
  writer.flush()
  writeFileSync(path, Buffer.concat(pieces))
}

export const recordedNames = (): string[] =>
  readdirSync(CAPTURES, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
