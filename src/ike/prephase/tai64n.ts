import type { WallTime } from '../environment.js'

// TAI64N labels: 8 octets 2^62 + 10 + Unix seconds, 4 octets nanoseconds, big-endian, so that the order of the octets is
// the order of time. The 10 is TAI's distance from UTC in 1970; leap seconds since then are of no matter here, because
// labels are only compared with each other.

export const LABEL_LEN = 12
const TAI_EPOCH = 2n ** 62n + 10n
/** Labels from here on are reserved (TAI64). */
const TAI_END = 2n ** 63n
const NANOSECONDS = 1_000_000_000n

/** The label of a moment. Seconds before 1970 count as 1970, as a host without a clock battery may say. */
export function labelOf(time: WallTime): Uint8Array {
  const seconds = BigInt(Math.max(0, Math.floor(time.unixSeconds)))
  return pack(TAI_EPOCH + seconds, Math.min(999_999_999, Math.max(0, Math.floor(time.nanoseconds))))
}

/** Whether 12 octets are a label: seconds below 2^63, less than 10^9 nanoseconds. */
export function isLabel(octets: Uint8Array): boolean {
  if (octets.length !== LABEL_LEN) return false
  const view = new DataView(octets.buffer, octets.byteOffset, LABEL_LEN)
  return view.getBigUint64(0) < TAI_END && view.getUint32(8) < Number(NANOSECONDS)
}

/** Negative, zero or positive as `a` is before, at or after `b`. Both have LABEL_LEN octets. */
export function compareLabels(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < LABEL_LEN; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return 0
}

/**
 * The label to send now: max(now, last sent + 1 ns), so that a clock that was set back does not make the peer refuse us.
 * @returns undefined when the last label is the highest there is, which only a damaged store can say
 */
export function nextLabel(now: WallTime, lastSent: Uint8Array | undefined): Uint8Array | undefined {
  const label = labelOf(now)
  if (lastSent === undefined || compareLabels(label, lastSent) > 0) return label
  return successor(lastSent)
}

function successor(label: Uint8Array): Uint8Array | undefined {
  const view = new DataView(label.buffer, label.byteOffset, LABEL_LEN)
  const seconds = view.getBigUint64(0)
  const nanoseconds = BigInt(view.getUint32(8)) + 1n
  if (nanoseconds < NANOSECONDS) return pack(seconds, Number(nanoseconds))
  return seconds + 1n >= TAI_END ? undefined : pack(seconds + 1n, 0)
}

function pack(seconds: bigint, nanoseconds: number): Uint8Array {
  const out = new Uint8Array(LABEL_LEN)
  const view = new DataView(out.buffer)
  view.setBigUint64(0, seconds)
  view.setUint32(8, nanoseconds)
  return out
}
