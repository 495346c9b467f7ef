import type { Random } from '../random.js'

// Mutations that know nothing of a format. None of them changes its arguments.

/** Longest result, so that repeated growth stays cheap. */
const OCTETS_MAX = 8_192

/** One to four mutations, one after another. @param others what to splice with; may be empty */
export function mutateOctets(
  random: Random,
  octets: Uint8Array,
  others: readonly Uint8Array[] = [],
): Uint8Array<ArrayBuffer> {
  let b = Uint8Array.from(octets)
  for (let n = 1 + random.below(4); n > 0; n--) b = mutateOnce(random, b, others)
  return b
}

function mutateOnce(
  random: Random,
  b: Uint8Array<ArrayBuffer>,
  others: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const at = random.below(b.length)
  switch (random.below(12)) {
    case 0:
    case 1:
      if (b.length > 0) b[at]! ^= 1 << random.below(8)
      return b
    case 2:
      if (b.length > 0) b[at] = random.edge(8, b[at])
      return b
    case 3:
      return putNumber(random, b, at, 2)
    case 4:
      return putNumber(random, b, at, 4)
    case 5:
      return b.slice(0, at)
    case 6:
      return cut(b, at, random.length(64))
    case 7:
      return insert(b, at, random.octets(random.length(64)))
    case 8:
      return insert(b, at, repeat(b.subarray(at, at + random.length(64)), 1 + random.below(3)))
    case 9:
      return insert(b, b.length, random.octets(random.length(64)))
    case 10: {
      const end = Math.min(b.length, at + random.length(64))
      b.fill(random.pick([0, 0xff, 0x80, random.below(256)]), at, end)
      return b
    }
    default: {
      if (others.length === 0) return b
      const other = random.pick(others)
      return insert(b.slice(0, at), at, other.subarray(random.below(other.length)))
    }
  }
}

/** An edge, in either byte order. */
function putNumber(
  random: Random,
  b: Uint8Array<ArrayBuffer>,
  at: number,
  size: 2 | 4,
): Uint8Array<ArrayBuffer> {
  if (at + size > b.length) return b
  const view = new DataView(b.buffer, b.byteOffset)
  const little = random.oneIn(4)
  const near = size === 2 ? view.getUint16(at, little) : view.getUint32(at, little)
  if (size === 2) view.setUint16(at, random.edge(16, near), little)
  else view.setUint32(at, random.edge(32, near), little)
  return b
}

function cut(b: Uint8Array, at: number, length: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(b.length - Math.min(length, b.length - at))
  out.set(b.subarray(0, at))
  out.set(b.subarray(Math.min(b.length, at + length)), at)
  return out
}

function insert(b: Uint8Array<ArrayBuffer>, at: number, piece: Uint8Array): Uint8Array<ArrayBuffer> {
  if (b.length + piece.length > OCTETS_MAX) return b
  const out = new Uint8Array(b.length + piece.length)
  out.set(b.subarray(0, at))
  out.set(piece, at)
  out.set(b.subarray(at), at + piece.length)
  return out
}

function repeat(piece: Uint8Array, times: number): Uint8Array {
  const out = new Uint8Array(piece.length * times)
  for (let i = 0; i < times; i++) out.set(piece, i * piece.length)
  return out
}
