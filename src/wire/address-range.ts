import { compareIp, type IpAddress, lastAddress, type Prefix } from './ip-address.js'

/** The fewest blocks that make up the range, in ascending order; both ends belong to it. At most 2 x 128 of them. */
export function rangePrefixes(start: IpAddress, end: IpAddress): Prefix[] {
  const bits = BigInt(start.length * 8)
  const last = toBigInt(end)
  const out: Prefix[] = []
  for (let at = toBigInt(start); at <= last; ) {
    // As large as the alignment of its first address allows, and no larger than what is left.
    let size = 0n
    while (size < bits && (at & ((2n << size) - 1n)) === 0n && at + (2n << size) - 1n <= last) size++
    const prefix = { address: fromBigInt(at, start.length), length: Number(bits - size) }
    out.push(prefix)
    at = toBigInt(lastAddress(prefix)) + 1n
  }
  return out
}

/** The address behind this one; undefined behind the last of its family. */
export function successor(ip: IpAddress): IpAddress | undefined {
  const out = ip.slice()
  for (let i = out.length - 1; i >= 0; i--) {
    out[i] = out[i]! + 1
    if (out[i] !== 0) return out
  }
  return undefined
}

export interface AddressRange {
  readonly start: IpAddress
  readonly end: IpAddress
}

/** The same addresses of one family in the fewest ranges, ascending; both ends of each belong to it. */
export function mergedRanges(ranges: readonly AddressRange[]): AddressRange[] {
  const out: AddressRange[] = []
  for (const range of ranges.toSorted((a, b) => compareIp(a.start, b.start))) {
    const before = out.at(-1)
    const behind = before && successor(before.end)
    if (before === undefined || (behind !== undefined && compareIp(behind, range.start) < 0)) out.push(range)
    else if (compareIp(before.end, range.end) < 0) out.splice(-1, 1, { start: before.start, end: range.end })
  }
  return out
}

function toBigInt(ip: IpAddress): bigint {
  let value = 0n
  for (const octet of ip) value = (value << 8n) | BigInt(octet)
  return value
}

function fromBigInt(value: bigint, length: number): IpAddress {
  const out = new Uint8Array(length)
  for (let i = length - 1, rest = value; i >= 0; i--, rest >>= 8n) out[i] = Number(rest & 0xffn)
  return out
}
