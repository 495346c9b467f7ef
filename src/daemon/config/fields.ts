import { type IpAddress, type Prefix, parseIp, parsePrefix } from '../../wire/ip-address.js'

// Readers of single values. Each returns undefined for what it does not take; the schema says what was expected.

/** Names of peers and children appear in logs, file names and on the control socket: a safe character set, bounded. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
export const NAME_EXPECTED =
  'a name of at most 63 letters, digits, dots, dashes and underscores, a letter or digit first'

/** IFNAMSIZ is 16 with the closing zero octet. */
export const DEVICE_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/
export const DEVICE_EXPECTED = 'a device name of at most 15 letters, digits, dots, dashes and underscores'

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86400 }
const OCTETS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** "30s", "10m", "8h", "1d" in seconds. */
export function parseDuration(text: string): number | undefined {
  const m = /^(\d{1,9})([smhd])$/.exec(text)
  return m ? Number(m[1]) * SECONDS[m[2]!]! : undefined
}

/** "1GiB", "500MB", "4096B" in octets. */
export function parseSize(text: string): number | undefined {
  const m = /^(\d{1,12}) ?([A-Za-z]{1,3})$/.exec(text)
  const unit = m ? OCTETS[m[2]!] : undefined
  if (!m || unit === undefined) return undefined
  const octets = Number(m[1]) * unit
  return Number.isSafeInteger(octets) ? octets : undefined
}

/** An address that a packet can have as its source: not unspecified, multicast, broadcast or link-local. */
export function parseUnicast(text: string): IpAddress | undefined {
  const ip = parseIp(text)
  if (!ip) return undefined
  if (ip.length === 4) {
    const first = ip[0]!
    const linkLocal = first === 169 && ip[1] === 254
    return first === 0 || first >= 224 || linkLocal ? undefined : ip
  }
  const multicast = ip[0] === 0xff
  const linkLocal = ip[0] === 0xfe && (ip[1]! & 0xc0) === 0x80
  // An IPv4-mapped address names an IPv4 socket: RFC 4291 section 2.5.5.2.
  const mapped = ip.subarray(0, 10).every((v) => v === 0) && ip[10] === 0xff && ip[11] === 0xff
  const unspecified = ip.every((v) => v === 0)
  return multicast || linkLocal || mapped || unspecified ? undefined : ip
}

/** An address with the length of its network, as an interface has it: host bits may be set. */
export interface InterfaceAddress {
  readonly address: IpAddress
  readonly prefixLength: number
}

/** "10.88.1.1/24"; a bare address has the full length. */
export function parseInterfaceAddress(text: string): InterfaceAddress | undefined {
  const slash = text.indexOf('/')
  const address = parseUnicast(slash < 0 ? text : text.slice(0, slash))
  if (!address) return undefined
  const lengthText = slash < 0 ? String(address.length * 8) : text.slice(slash + 1)
  if (!/^([1-9]\d{0,2})$/.test(lengthText)) return undefined
  const prefixLength = Number(lengthText)
  return prefixLength <= address.length * 8 ? { address, prefixLength } : undefined
}

/** True when the text is a block in which host bits are set: worth an error of its own. */
export function hasHostBits(text: string): boolean {
  const [address, length] = text.split('/')
  return (
    address !== undefined &&
    length !== undefined &&
    parseIp(address) !== undefined &&
    parsePrefix(text) === undefined &&
    /^\d{1,3}$/.test(length) &&
    Number(length) <= (address.includes(':') ? 128 : 32)
  )
}

export const isHostPrefix = (p: Prefix): boolean => p.length === p.address.length * 8
