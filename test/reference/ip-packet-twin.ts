// What policy reads of an IP packet, once more and without haste: plain objects, copies, no offsets kept. From RFC 791,
// RFC 8200 and RFC 4301 section 4.4.1.1.

export interface IpFacts {
  readonly version: 4 | 6
  readonly length: number
  readonly protocol: number
  readonly headerLength: number
  readonly fragment: boolean
  readonly source: string
  readonly destination: string
  /** A number, 'none' where it is not to be seen, 'any' where the protocol has no port of this end. */
  readonly sourcePort: number | 'none' | 'any'
  readonly destinationPort: number | 'none' | 'any'
}

const u16 = (b: readonly number[], at: number): number => b[at]! * 256 + b[at + 1]!
const text = (b: readonly number[]): string => b.join('.')

/** Undefined for what is no whole IP packet. */
export function ipFacts(octets: Uint8Array): IpFacts | undefined {
  const b = [...octets]
  if (b.length < 20) return undefined
  const version = b[0]! >>> 4
  if (version === 4) {
    const headerLength = (b[0]! & 15) * 4
    const length = u16(b, 2)
    if (headerLength < 20 || length < headerLength || length > b.length) return undefined
    const offset = (u16(b, 6) & 0x1fff) * 8
    const more = (u16(b, 6) & 0x2000) !== 0
    return {
      version: 4,
      length,
      protocol: b[9]!,
      headerLength,
      fragment: offset > 0 || more,
      source: text(b.slice(12, 16)),
      destination: text(b.slice(16, 20)),
      ...ports(b[9]!, offset > 0 ? [] : b.slice(headerLength, length)),
    }
  }
  if (version !== 6 || b.length < 40) return undefined
  const length = 40 + u16(b, 4)
  if (length > b.length) return undefined
  let protocol = b[6]!
  let rest = b.slice(40, length)
  let fragment = false
  let later = false
  while ([0, 43, 44, 60].includes(protocol) && !later) {
    if (rest.length < 8) return undefined
    const size = protocol === 44 ? 8 : (rest[1]! + 1) * 8
    if (rest.length < size) return undefined
    if (protocol === 44) {
      later = u16(rest, 2) >= 8 || later
      fragment ||= later || (rest[3]! & 1) === 1
    }
    protocol = rest[0]!
    rest = rest.slice(size)
  }
  return {
    version: 6,
    length,
    protocol,
    headerLength: length - rest.length,
    fragment,
    source: text(b.slice(8, 24)),
    destination: text(b.slice(24, 40)),
    ...ports(protocol, later ? [] : rest),
  }
}

function ports(protocol: number, b: readonly number[]): Pick<IpFacts, 'sourcePort' | 'destinationPort'> {
  if (b.length >= 4) {
    if ([6, 17, 33, 132, 136].includes(protocol)) return { sourcePort: u16(b, 0), destinationPort: u16(b, 2) }
    if (protocol === 1 || protocol === 58) return { sourcePort: u16(b, 0), destinationPort: 'any' }
    if (protocol === 135) return { sourcePort: b[2]! * 256, destinationPort: 'any' }
  }
  return { sourcePort: 'none', destinationPort: 'none' }
}
