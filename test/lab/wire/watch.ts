import { CaptureFile } from './capture-file.js'
import { type Frame, KINDS, type Kind } from './frame.js'
import type { WatchOptions, WireReport } from './messages.js'
import { SecretWatch } from './secrets.js'

/** Counts, searches and records what passes. */
export class Watch {
  readonly counts = { tampered: 0, lost: 0, duplicated: 0, reordered: 0, delayed: 0, overrun: 0 }
  private readonly frames = new Map<Kind, number>()
  private readonly octets = new Map<Kind, number>()
  private readonly first = new Map<Kind, string>()
  private readonly last = new Map<Kind, readonly [number, number]>()
  private readonly kept = new Map<string, string[]>()
  private readonly secrets: SecretWatch | undefined
  private readonly pcap: CaptureFile | undefined
  private readonly keep: number

  constructor(options: WatchOptions, devices: readonly string[]) {
    this.keep = options.keep ?? 0
    this.secrets = options.secretTag === undefined ? undefined : new SecretWatch(options.secretTag)
    this.pcap =
      options.capture === undefined
        ? undefined
        : new CaptureFile(options.capture, devices, options.captureLimit)
  }

  see(
    b: Buffer,
    at: number,
    length: number,
    frame: Frame,
    side: 0 | 1,
    seconds: number,
    nanoseconds: number,
  ): void {
    const { kind } = frame
    this.frames.set(kind, (this.frames.get(kind) ?? 0) + 1)
    this.octets.set(kind, (this.octets.get(kind) ?? 0) + length)
    if (!this.first.has(kind)) this.first.set(kind, nanosecondText(seconds, nanoseconds))
    this.last.set(kind, [seconds, nanoseconds])
    this.secrets?.look(b, frame, at, side)
    this.pcap?.frame(side, seconds, nanoseconds, b, at, length)
    if (this.keep > 0) this.keepOne(b.subarray(at, at + length), kind, side)
  }

  private keepOne(octets: Buffer, kind: Kind, side: 0 | 1): void {
    const key = `${kind} ${side}`
    const kept = this.kept.get(key) ?? []
    if (kept.length === 0) this.kept.set(key, kept)
    if (kept.length < this.keep) kept.push(octets.toString('base64'))
  }

  samples(kind: Kind, side: 0 | 1): readonly string[] {
    return this.kept.get(`${kind} ${side}`) ?? []
  }

  report(): WireReport {
    this.pcap?.flush()
    const table = <V>(values: ReadonlyMap<Kind, V>): Partial<Record<Kind, V>> =>
      Object.fromEntries(KINDS.flatMap((kind) => (values.has(kind) ? [[kind, values.get(kind)!]] : [])))
    return {
      frames: table(this.frames),
      octets: table(this.octets),
      first: table(this.first),
      last: table(new Map([...this.last].map(([kind, [s, ns]]) => [kind, nanosecondText(s, ns)]))),
      secrets: this.secrets?.seen.size ?? 0,
      ...this.counts,
      captured: this.pcap?.written ?? 0,
      notCaptured: this.pcap?.left ?? 0,
    }
  }

  close(): void {
    this.pcap?.close()
  }
}

const nanosecondText = (seconds: number, nanoseconds: number): string =>
  String(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds))
