// Plain builders and checkers of TCP and UDP packets, written without the product's own checksum or header code.

export interface PacketShape {
  readonly version: 4 | 6
  readonly protocol: 6 | 17
  readonly sourcePort: number
  readonly seq: number
  readonly flags: number
  readonly id: number
  readonly dontFragment: boolean
  readonly options: Uint8Array
  readonly payload: Uint8Array
  readonly ttl?: number
  readonly ack?: number
}

/** RFC 1071, a word at a time. */
export function slowSum(octets: readonly number[]): number {
  let sum = 0
  for (let i = 0; i < octets.length; i += 2) {
    sum += ((octets[i] ?? 0) << 8) | (octets[i + 1] ?? 0)
    sum = (sum & 0xffff) + (sum >>> 16)
  }
  return sum
}

const u16 = (v: number): number[] => [(v >>> 8) & 0xff, v & 0xff]
const u32 = (v: number): number[] => [...u16(v >>> 16), ...u16(v)]

export function buildPacket(s: PacketShape): Uint8Array {
  const addresses =
    s.version === 4
      ? [10, 88, 1, 1, 10, 88, 2, 1]
      : [0xfd, ...new Array<number>(14).fill(0), 1, 0xfd, ...new Array<number>(14).fill(0), 2]
  const transport =
    s.protocol === 6
      ? [
          ...u16(s.sourcePort),
          ...u16(5201),
          ...u32(s.seq),
          ...u32(s.ack ?? 77),
          ((20 + s.options.length) / 4) << 4,
          s.flags,
          ...u16(512),
          0,
          0,
          0,
          0,
          ...s.options,
          ...s.payload,
        ]
      : [...u16(s.sourcePort), ...u16(5201), ...u16(8 + s.payload.length), 0, 0, ...s.payload]
  const pseudo = [...addresses, ...u32(transport.length), 0, 0, 0, s.protocol]
  const checksumAt = s.protocol === 6 ? 16 : 6
  const checksum = ~slowSum([...pseudo, ...transport]) & 0xffff
  transport.splice(checksumAt, 2, ...u16(s.protocol === 17 && checksum === 0 ? 0xffff : checksum))
  if (s.version === 6) {
    const header = [0x60, 0, 0, 0, ...u16(transport.length), s.protocol, s.ttl ?? 64, ...addresses]
    return Uint8Array.from([...header, ...transport])
  }
  const fragment = s.dontFragment ? 0x40 : 0
  const header = [
    0x45,
    0,
    ...u16(20 + transport.length),
    ...u16(s.id),
    fragment,
    0,
    s.ttl ?? 64,
    s.protocol,
    0,
    0,
    ...addresses,
  ]
  header.splice(10, 2, ...u16(~slowSum(header) & 0xffff))
  return Uint8Array.from([...header, ...transport])
}

/** True when the IP length fields and every checksum of the packet are right. */
export function packetIsSound(p: Uint8Array): boolean {
  const v4 = p[0]! >>> 4 === 4
  const ipLength = v4 ? (p[0]! & 15) * 4 : 40
  const total = v4 ? (p[2]! << 8) | p[3]! : 40 + ((p[4]! << 8) | p[5]!)
  if (total !== p.length) return false
  if (v4 && slowSum([...p.subarray(0, ipLength)]) !== 0xffff) return false
  const transport = [...p.subarray(ipLength)]
  const addresses = v4 ? [...p.subarray(12, 20)] : [...p.subarray(8, 40)]
  const protocol = p[v4 ? 9 : 6]!
  return slowSum([...addresses, ...u32(transport.length), 0, 0, 0, protocol, ...transport]) === 0xffff
}
