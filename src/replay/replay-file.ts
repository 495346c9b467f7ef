import { plainSlab } from '../bytes/slab.js'
import { selectEngines } from '../crypto/select.js'
import type { EngineName } from '../crypto/types.js'
import { ConfigError, WireError } from '../errors.js'
import { nativeCalls } from '../ffi/koffi.js'
import { nativeSlab } from '../ffi/slab.js'
import { DROP, DROP_NAMES } from '../ipsec/drop.js'
import { CaptureReader } from '../wire/pcap/capture-reader.js'
import { ipOffset, LINK } from '../wire/pcap/link-layer.js'
import { InputFile, OutputFile } from './files.js'
import { readKeySource, wipeKeys } from './keys/key-source.js'
import { REPLAY_SLAB_LEN, Replay, type SeenSa } from './replay.js'

export interface ReplayFileOptions {
  /** The capture, and a file or directory of keys. */
  readonly capture: string
  readonly keys: string
  /** Where the packets go that come out; absent: they are only counted. */
  readonly output?: string
  readonly engine: EngineName | 'auto'
  readonly outbound: boolean
  /** Replaces the windows that the keys come with. */
  readonly replayWindow?: number
}

/** What came of a replay. Every packet of the capture has exactly one verdict. */
export interface ReplaySummary {
  readonly capture: string
  readonly format: 'pcap' | 'pcapng'
  readonly keys: string
  readonly output: string | undefined
  readonly engine: string
  /** Of the capture. */
  readonly packets: number
  readonly octets: number
  /** Packets that came out, and their octets. */
  readonly accepted: number
  readonly acceptedOctets: number
  /** All others by cause: the names of `status`, and NOT_IP_CAUSES. */
  readonly refused: Readonly<Record<string, number>>
  /** Packets that were put together from fragments, each counted as one of those above. */
  readonly reassembled: number
  readonly sas: readonly SeenSa[]
  /** With `outbound`. */
  readonly outbound:
    | { readonly resealed: number; readonly identical: number; readonly plain: number }
    | undefined
  readonly seconds: number
  readonly packetsPerSecond: number
  /** Of what came in. */
  readonly gbitPerSecond: number
}

export interface ReplayResult {
  readonly summary: ReplaySummary
  /** What the user should know: lines of the key file that cannot be used. */
  readonly warnings: readonly string[]
  /** Why the capture was not read to its end; what came before it was replayed. */
  readonly broken: ConfigError | undefined
}

/** Causes that the pipeline never sees. */
const NOT_IP_CAUSES: Readonly<Record<number, string>> = {
  [LINK.NOT_IP]: 'not-ip',
  [LINK.SHORT]: 'cut-by-capture',
  [LINK.UNKNOWN]: 'unknown-link-type',
}

/**
 * Plays a capture through the pipeline.
 * @throws ConfigError for files that cannot be used, SystemError when the output cannot be written, CryptoError for the engine
 */
export function replayFile(options: ReplayFileOptions): ReplayResult {
  const input = new InputFile(options.capture)
  try {
    const reader = captureReader(input)
    if (options.output !== undefined && input.isAt(options.output))
      throw new ConfigError(`${options.output}: is the capture itself; give another file with -o`)
    const source = readKeySource(options.keys)
    try {
      return new Run(options, reader, source.file, source.skipped).play(source.sas)
    } finally {
      wipeKeys(source.sas)
    }
  } finally {
    input.close()
  }
}

function captureReader(input: InputFile): CaptureReader {
  try {
    return new CaptureReader(input)
  } catch (error) {
    throw error instanceof WireError ? new ConfigError(`${input.path}: ${error.message}`) : error
  }
}

type KeyedSas = ReturnType<typeof readKeySource>['sas']

class Run {
  private readonly options: ReplayFileOptions
  private readonly reader: CaptureReader
  private readonly keysFile: string
  private readonly warnings: readonly string[]
  private readonly refused = new Map<string, number>()
  private packets = 0
  private octets = 0
  private accepted = 0
  private acceptedOctets = 0

  constructor(
    options: ReplayFileOptions,
    reader: CaptureReader,
    keysFile: string,
    warnings: readonly string[],
  ) {
    this.options = options
    this.reader = reader
    this.keysFile = keysFile
    this.warnings = warnings
  }

  play(keys: KeyedSas): ReplayResult {
    const { outbound, replayWindow, engine, output } = this.options
    const slab = nativeCalls().available ? nativeSlab(REPLAY_SLAB_LEN) : plainSlab(REPLAY_SLAB_LEN)
    const { engines } = selectEngines(engine, slab)
    const window = replayWindow === undefined ? {} : { replayWindow }
    const replay = new Replay({ keys, engines, slab, outbound, ...window })
    try {
      const file = output === undefined ? undefined : new OutputFile(output, outbound ? 'outer' : 'inner')
      const began = performance.now()
      let broken: ConfigError | undefined
      try {
        broken = this.all(replay, file)
      } finally {
        file?.close()
      }
      const seconds = (performance.now() - began) / 1000
      const { sealer } = replay
      const summary: ReplaySummary = {
        capture: this.options.capture,
        format: this.reader.formatName,
        keys: this.keysFile,
        output,
        engine: engines[0]!.name,
        packets: this.packets,
        octets: this.octets,
        accepted: this.accepted,
        acceptedOctets: this.acceptedOctets,
        refused: Object.fromEntries([...this.refused].sort(([, a], [, b]) => b - a)),
        reassembled: replay.reassembled,
        sas: replay.seen(),
        outbound: sealer && {
          resealed: sealer.resealed,
          identical: sealer.identical,
          plain: sealer.sealedPlain,
        },
        seconds,
        packetsPerSecond: seconds > 0 ? this.packets / seconds : 0,
        gbitPerSecond: seconds > 0 ? (this.octets * 8) / seconds / 1e9 : 0,
      }
      return { summary, warnings: this.warnings, broken }
    } finally {
      replay.close()
    }
  }

  private all(replay: Replay, file: OutputFile | undefined): ConfigError | undefined {
    const { reader } = this
    try {
      while (reader.next()) this.one(replay, file)
      return undefined
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      return new ConfigError(
        `${this.options.capture}: ${error.message}; the ${this.packets} packets in front of it were replayed`,
      )
    }
  }

  private one(replay: Replay, file: OutputFile | undefined): void {
    const p = this.reader.packet
    this.packets++
    this.octets += p.length
    const offset = ipOffset(p.linkType, p.bytes, p.at, p.length)
    if (offset < 0) return this.refuse(NOT_IP_CAUSES[offset]!)
    const n = replay.play(p.bytes, p.at + offset, p.length - offset, p.timeNs)
    if (n < 0)
      return this.refuse(
        n === DROP.MALFORMED_OUTER && p.length < p.originalLength ? 'cut-by-capture' : DROP_NAMES[-n]!,
      )
    this.accepted++
    this.acceptedOctets += n
    file?.packet(p.timeNs ?? 0n, replay.bytes, replay.at, n)
  }

  private refuse(cause: string): void {
    this.refused.set(cause, (this.refused.get(cause) ?? 0) + 1)
  }
}
