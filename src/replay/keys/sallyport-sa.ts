import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../../crypto/algorithms.js'
import { formatIp, parseIp } from '../../wire/ip-address.js'
import { formatSelector, parseFormattedSelector, type TrafficSelector } from '../../wire/traffic-selector.js'
import type { LineResult } from './esp-sa.js'
import { keyOctets, keyText, spiOf, spiText } from './hex-text.js'
import type { KeyedSa } from './keyed-sa.js'

// Our own file "sallyport_sa": all that an SA is, AH too, a line for each. After the protocol come words NAME=VALUE in any order:
//   esp spi=0x00001001 source=192.0.2.1 destination=192.0.2.2 encryption=AES_GCM_16:0xKEY mode=tunnel esn=yes window=4096
//       udp=4500:4500 from=10.88.1.1/32 to=10.88.2.0/24,10.88.3.1/32[6/8002]
//   ah spi=0x00001002 source=* destination=192.0.2.2 integrity=HMAC_SHA2_256_128:0xKEY
// spi, source, destination and the algorithms of the protocol are required. A cipher key has its salt behind it.

/** Algorithms by their IANA names. */
const ENCRYPTION = new Map(Object.values(ENCR).map((id) => [encryptionInfo(id)?.name ?? '', id]))
const INTEGRITY = new Map(
  Object.values(INTEG)
    .filter((id) => id !== INTEG.NONE)
    .map((id) => [integrityInfo(id)?.name ?? '', id]),
)

/** The line without its end. */
export function formatSallyportSa(sa: KeyedSa): string {
  const { encryption, integrity, udp } = sa
  const words = [
    sa.protocol,
    `spi=${spiText(sa.spi)}`,
    `source=${sa.source ? formatIp(sa.source) : '*'}`,
    `destination=${sa.destination ? formatIp(sa.destination) : '*'}`,
  ]
  if (encryption) words.push(`encryption=${encryptionInfo(encryption.id)?.name}:${keyText(encryption.key)}`)
  if (integrity) words.push(`integrity=${integrityInfo(integrity.id)?.name}:${keyText(integrity.key)}`)
  if (sa.mode) words.push(`mode=${sa.mode}`)
  words.push(`esn=${sa.esn ? 'yes' : 'no'}`)
  if (sa.esnHigh !== 0) words.push(`esn_high=0x${sa.esnHigh.toString(16)}`)
  if (sa.replayWindow !== undefined) words.push(`window=${sa.replayWindow}`)
  if (udp) words.push(`udp=${udp.sourcePort}:${udp.destinationPort}`)
  if (sa.sourceTs) words.push(`from=${sa.sourceTs.map(formatSelector).join(',')}`)
  if (sa.destinationTs) words.push(`to=${sa.destinationTs.map(formatSelector).join(',')}`)
  return words.join(' ')
}

type Algorithm = { readonly id: number; readonly key: Uint8Array }

/** Reads a line. @returns the SA, or, as text, what is wrong. No value of a key is in it. */
export function parseSallyportSa(line: string): LineResult | string {
  const [protocol, ...words] = line.trim().split(/\s+/)
  if (protocol !== 'esp' && protocol !== 'ah') return 'expected esp or ah as the first word'
  const values = new Map<string, string>()
  for (const word of words) {
    const at = word.indexOf('=')
    const name = word.slice(0, at)
    if (at < 1 || !NAMES.has(name))
      return `expected words such as spi=0x1001; the names are ${[...NAMES].join(', ')}`
    if (values.has(name)) return `${name} is there twice`
    values.set(name, word.slice(at + 1))
  }
  try {
    return { sa: saOf(protocol, values) }
  } catch (error) {
    if (error instanceof Malformed) return error.message
    throw error
  }
}

const NAMES: ReadonlySet<string> = new Set([
  'spi',
  'source',
  'destination',
  'encryption',
  'integrity',
  'mode',
  'esn',
  'esn_high',
  'window',
  'udp',
  'from',
  'to',
])

/** Never leaves this file. */
class Malformed extends Error {}

function saOf(protocol: 'esp' | 'ah', values: ReadonlyMap<string, string>): KeyedSa {
  const given = <T>(
    name: string,
    expected: string,
    parse: (text: string) => T | undefined,
  ): T | undefined => {
    const text = values.get(name)
    if (text === undefined) return undefined
    const value = parse(text)
    if (value === undefined) throw new Malformed(`${name}: expected ${expected}`)
    return value
  }
  const required = <T>(name: string, expected: string, parse: (text: string) => T | undefined): T => {
    const value = given(name, expected, parse)
    if (value === undefined) throw new Malformed(`${name} is missing: expected ${expected}`)
    return value
  }
  const address = (name: string): Uint8Array | undefined => {
    const ip = required(name, 'an IP address or *', (t) => (t === '*' ? ('any' as const) : parseIp(t)))
    return ip === 'any' ? undefined : ip
  }
  const whole = (max: number) => (t: string) =>
    /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(t) && Number(t) <= max ? Number(t) : undefined
  const selectors = (t: string): TrafficSelector[] | undefined => {
    const list = t.split(',').map(parseFormattedSelector)
    return list.every((ts) => ts !== undefined) ? list : undefined
  }

  const spi = required('spi', 'a number such as 0x00001001', spiOf)
  const encryption = given('encryption', `NAME:0xKEY with one of ${[...ENCRYPTION.keys()].join(', ')}`, (t) =>
    algorithm(t, ENCRYPTION),
  )
  const integrity = given('integrity', `NAME:0xKEY with one of ${[...INTEGRITY.keys()].join(', ')}`, (t) =>
    algorithm(t, INTEGRITY),
  )
  const mode = given('mode', 'tunnel or transport', (t) =>
    t === 'tunnel' || t === 'transport' ? t : undefined,
  )
  const esn = given('esn', 'yes or no', (t) => (t === 'yes' ? true : t === 'no' ? false : undefined))
  const esnHigh = given('esn_high', 'a number of 32 bits', whole(0xffff_ffff))
  const window = given('window', 'a number of packets', whole(0xffff_ffff))
  const udp = given('udp', 'SOURCE:DESTINATION, two ports', (t) => {
    const m = /^(\d{1,5}):(\d{1,5})$/.exec(t)
    return m ? { sourcePort: Number(m[1]), destinationPort: Number(m[2]) } : undefined
  })
  return {
    protocol,
    spi,
    source: address('source'),
    destination: address('destination'),
    mode,
    ...(encryption && { encryption }),
    ...(integrity && { integrity }),
    esn: esn ?? false,
    esnHigh: esnHigh ?? 0,
    replayWindow: window,
    ...(udp && { udp }),
    sourceTs: given('from', 'traffic selectors such as 10.88.1.1/32', selectors),
    destinationTs: given('to', 'traffic selectors such as 10.88.2.0/24', selectors),
  }
}

function algorithm(text: string, names: ReadonlyMap<string, number>): Algorithm | undefined {
  const [name, digits] = text.split(':')
  const id = names.get(name ?? '')
  const key = digits === undefined ? undefined : keyOctets(digits)
  return id === undefined || !key ? undefined : { id, key }
}
