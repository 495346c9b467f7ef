import { type IpAddress, lastAddress, type Prefix } from './ip-address.js'

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
