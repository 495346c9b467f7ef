import type { Kind } from './frame.js'
import type { Direction, Impairment } from './impairments.js'

// What the lab and the process of the wire say to each other.

export interface WireOptions {
  /** Names of the devices in the wire's namespace, towards dom0-a and towards dom0-b. */
  readonly devices: readonly [string, string]
  readonly mtu: number
  /** False: a bridge carries the frames, this process only looks at them. */
  readonly forward: boolean
}

/** What passed since the watch began. Times are nanoseconds since 1970, as decimal text. */
export interface WireReport {
  readonly frames: Readonly<Partial<Record<Kind, number>>>
  readonly octets: Readonly<Partial<Record<Kind, number>>>
  /** When the first and the last frame of a kind came. */
  readonly first: Readonly<Partial<Record<Kind, string>>>
  readonly last: Readonly<Partial<Record<Kind, string>>>
  /** Different planted secrets that could be read. */
  readonly secrets: number
  readonly tampered: number
  readonly lost: number
  readonly duplicated: number
  readonly reordered: number
  readonly delayed: number
  /** Frames that the wire itself could not take or pass on, which is not meant to happen. */
  readonly overrun: number
  /** Frames written to the capture file, and frames beyond its bound. */
  readonly captured: number
  readonly notCaptured: number
}

export interface WatchOptions {
  /** Tag of the planted secrets to look for. */
  readonly secretTag?: string
  /** Where to write a pcapng file of what passes, up to `captureLimit` octets. */
  readonly capture?: string
  readonly captureLimit?: number
  /** How many frames of each kind are kept, to be asked for with `frames`. */
  readonly keep?: number
}

export type Request =
  | { readonly op: 'watch'; readonly options: WatchOptions }
  | { readonly op: 'report' }
  | { readonly op: 'impair'; readonly impairments: readonly Impairment[]; readonly seed: number }
  | { readonly op: 'frames'; readonly kind: Kind; readonly direction: Direction }
  /** Frames in base64, put on the wire as if they came from it. */
  | { readonly op: 'inject'; readonly direction: Direction; readonly frames: readonly string[] }

export interface Answers {
  readonly watch: null
  readonly report: WireReport
  readonly impair: null
  readonly frames: readonly string[]
  readonly inject: number
}

export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string }
