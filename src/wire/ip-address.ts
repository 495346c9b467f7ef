import { equalOctets } from '../bytes/octets.js'

/** An IP address in network order: 4 octets for IPv4, 16 for IPv6. */
export type IpAddress = Uint8Array

/**
 * Parses dotted IPv4 or RFC 4291 IPv6 text (an IPv4 tail allowed, no zone). Returns undefined when the text is neither.
 */
export function parseIp(text: string): IpAddress | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text)
}

function parseIpv4(text: string): IpAddress | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const out = new Uint8Array(4)
  for (const [i, part] of parts.entries()) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    out[i] = Number(part)
  }
  return out
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const groups = (half: string, last: boolean): number[] | undefined => {
    if (half === '') return []
    const out: number[] = []
    const parts = half.split(':')
    for (const [i, part] of parts.entries()) {
      if (part.includes('.')) {
        const v4 = parseIpv4(part)
        if (!v4 || !last || i !== parts.length - 1) return undefined
        out.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!)
      } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) out.push(Number.parseInt(part, 16))
      else return undefined
    }
    return out
  }
  const head = groups(halves[0]!, halves.length === 1)
  const tail = halves.length === 2 ? groups(halves[1]!, true) : []
  if (!head || !tail) return undefined
  const zeros = 8 - head.length - tail.length
  if (halves.length === 2 ? zeros < 1 : zeros !== 0) return undefined
  const out = new Uint8Array(16)
  for (const [i, g] of [...head, ...new Array<number>(zeros).fill(0), ...tail].entries()) {
    out[i * 2] = g >>> 8
    out[i * 2 + 1] = g & 0xff
  }
  return out
}

/** Canonical text (RFC 5952 for IPv6). */
export function formatIp(ip: IpAddress): string {
  if (ip.length === 4) return ip.join('.')
  const groups: number[] = []
  for (let i = 0; i < 16; i += 2) groups.push((ip[i]! << 8) | ip[i + 1]!)
  let best = -1
  let bestLength = 1
  for (let i = 0; i < 8; i++) {
    let n = 0
    while (i + n < 8 && groups[i + n] === 0) n++
    if (n > bestLength) {
      best = i
      bestLength = n
    }
  }
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':')
  return best < 0 ? text(0, 8) : `${text(0, best)}::${text(best + bestLength, 8)}`
}

export const sameIp = (a: IpAddress, b: IpAddress): boolean => equalOctets(a, b)

/** Orders addresses of one family; negative, zero or positive. */
export function compareIp(a: IpAddress, b: IpAddress): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return 0
}

/** An address block: the address has no bit set behind `length` bits. */
export interface Prefix {
  readonly address: IpAddress
  readonly length: number
}

/** Parses "address/length" (a bare address is a host prefix). Undefined when malformed or when host bits are set. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/')
  const address = parseIp(slash < 0 ? text : text.slice(0, slash))
  if (!address) return undefined
  const lengthText = slash < 0 ? String(address.length * 8) : text.slice(slash + 1)
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText)) return undefined
  const length = Number(lengthText)
  if (length > address.length * 8) return undefined
  if (compareIp(address, firstAddress({ address, length })) !== 0) return undefined
  return { address, length }
}

export const formatPrefix = (p: Prefix): string => `${formatIp(p.address)}/${p.length}`

/** Lowest address of the block. */
export function firstAddress(p: Prefix): IpAddress {
  return p.address.map((v, i) => v & maskOctet(p.length, i))
}

/** Highest address of the block. */
export function lastAddress(p: Prefix): IpAddress {
  return p.address.map((v, i) => v | (0xff ^ maskOctet(p.length, i)))
}

function maskOctet(length: number, i: number): number {
  const bits = Math.min(8, Math.max(0, length - i * 8))
  return (0xff << (8 - bits)) & 0xff
}
