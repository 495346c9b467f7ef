import { ENCR, INTEG } from '../../crypto/algorithms.js'
import { formatIp, parseIp } from '../../wire/ip-address.js'
import { keyOctets, keyText, spiOf, spiText } from './hex-text.js'
import type { KeyedSa } from './keyed-sa.js'

// Wireshark's file "esp_sa" (Preferences, Protocols, ESP, "ESP SAs"): a line for each SA, eight fields in quotes. Ten since the
// versions that know extended sequence numbers; to those a line of eight means 32 bits, and older ones pass over the ninth field.
//   "IPv4","source","destination","0xspi","encryption","0xkey","authentication","0xkey"[,"64-bit","0xhigh"]

const ENCRYPTION: readonly (readonly [number, string])[] = [
  [ENCR.NULL, 'NULL'],
  [ENCR.AES_CBC, 'AES-CBC [RFC3602]'],
  [ENCR.AES_CTR, 'AES-CTR [RFC3686]'],
  [ENCR.AES_GCM_16, 'AES-GCM with 16 octet ICV [RFC4106]'],
  // Wireshark 4.0 does not know it: it says so and reads the other lines.
  [ENCR.CHACHA20_POLY1305, 'ChaCha20 with Poly1305 [RFC7634]'],
]
const AUTHENTICATION: readonly (readonly [number, string])[] = [
  [INTEG.HMAC_SHA1_96, 'HMAC-SHA-1-96 [RFC2404]'],
  [INTEG.HMAC_SHA2_256_128, 'HMAC-SHA-256-128 [RFC4868]'],
  [INTEG.HMAC_SHA2_384_192, 'HMAC-SHA-384-192 [RFC4868]'],
  [INTEG.HMAC_SHA2_512_256, 'HMAC-SHA-512-256 [RFC4868]'],
]
/** Wireshark knows the length of these ICVs, and cannot check them. */
const UNCHECKED_96 = 'ANY 96 bit authentication [no checking]'
const NO_AUTHENTICATION = 'NULL'

/** The line without its end, or undefined for what Wireshark has no name for: AH, AES-CCM, ESP with GMAC. */
export function formatEspSa(sa: KeyedSa): string | undefined {
  const { encryption, integrity } = sa
  if (sa.protocol !== 'esp' || !encryption || !sa.source || !sa.destination) return undefined
  const cipher = ENCRYPTION.find(([id]) => id === encryption.id)?.[1]
  const check = integrity ? authenticationName(integrity.id) : NO_AUTHENTICATION
  if (cipher === undefined || check === undefined) return undefined
  const fields = [
    sa.source.length === 4 ? 'IPv4' : 'IPv6',
    formatIp(sa.source),
    formatIp(sa.destination),
    spiText(sa.spi),
    cipher,
    encryption.key.length > 0 ? keyText(encryption.key) : '',
    check,
    integrity ? keyText(integrity.key) : '',
    ...(sa.esn ? ['64-bit', `0x${sa.esnHigh.toString(16)}`] : []),
  ]
  return fields.map((f) => `"${f}"`).join(',')
}

function authenticationName(id: number): string | undefined {
  if (id === INTEG.AES_XCBC_96 || id === INTEG.AES_CMAC_96) return UNCHECKED_96
  return AUTHENTICATION.find(([i]) => i === id)?.[1]
}

/** What came of a line: an SA, or why it is passed over. */
export type LineResult = { readonly sa: KeyedSa } | { readonly skipped: string }

/**
 * Reads a line.
 * @returns the SA; `skipped` for one that Wireshark can use and replay cannot, or the other way round; or, as text, what is wrong
 */
export function parseEspSa(line: string): LineResult | string {
  const fields = splitFields(line)
  if (!fields) return 'expected fields in double quotes with commas between them, as Wireshark’s esp_sa has'
  if (fields.length < 8 || fields.length > 10) return `expected 8 to 10 fields, found ${fields.length}`
  const [family, from, to, spi, cipherName, cipherKey, checkName, checkKey, bits, high] = fields
  if (family !== 'IPv4' && family !== 'IPv6' && family !== 'Any')
    return 'expected IPv4, IPv6 or Any as the first field'
  const source = address(from!, family)
  const destination = address(to!, family)
  if (source === 'malformed' || destination === 'malformed')
    return `expected ${family === 'Any' ? 'IP' : family} addresses, or *, as the second and third field`
  const number = spiOf(spi!)
  if (number === undefined) {
    if (spi!.includes('*')) return { skipped: 'one SPI is needed, not a pattern' }
    return 'expected an SPI such as 0x00001001 as the fourth field'
  }
  const key = octetsOf(cipherKey!)
  const authentication = octetsOf(checkKey!)
  if (!key || !authentication) return 'a key is not an even number of hexadecimal digits behind 0x'
  if (bits !== undefined && bits !== '32-bit' && bits !== '64-bit')
    return 'expected 32-bit or 64-bit as the ninth field'
  const esnHigh = high === undefined || high === '' ? 0 : Number(`0x${high.replace(/^0[xX]/, '')}`)
  if (!Number.isInteger(esnHigh) || esnHigh > 0xffff_ffff)
    return 'expected 32 bits in hexadecimal as the tenth field'

  const cipher = ENCRYPTION.find(([, name]) => name === cipherName)?.[0]
  if (cipher === undefined) return { skipped: `encryption ${printable(cipherName!)} is not among ours` }
  const check = AUTHENTICATION.find(([, name]) => name === checkName)?.[0]
  if (check === undefined && checkName !== NO_AUTHENTICATION) {
    if (/^ANY \d+ bit/.test(checkName!))
      return { skipped: 'which integrity algorithm it is has to be known; the key log’s sallyport_sa tells' }
    return { skipped: `authentication ${printable(checkName!)} is not among ours` }
  }
  return {
    sa: {
      protocol: 'esp',
      spi: number,
      source,
      destination,
      mode: undefined,
      encryption: { id: cipher, key },
      ...(check !== undefined && { integrity: { id: check, key: authentication } }),
      esn: bits === '64-bit',
      esnHigh: bits === '64-bit' ? esnHigh : 0,
      replayWindow: undefined,
      sourceTs: undefined,
      destinationTs: undefined,
    },
  }
}

/** Undefined = any. */
function address(text: string, family: string): Uint8Array | undefined | 'malformed' {
  if (text === '*') return undefined
  const ip = parseIp(text)
  if (!ip || (family !== 'Any' && (ip.length === 4) !== (family === 'IPv4'))) return 'malformed'
  return ip
}

/** A key is hexadecimal behind "0x", or the octets of the text itself. */
function octetsOf(text: string): Uint8Array | undefined {
  return /^0x/i.test(text) ? keyOctets(text) : new Uint8Array(Buffer.from(text, 'latin1'))
}

/** A name of the file's for a message. It may be anything, even a key in the wrong place. */
const printable = (name: string): string =>
  /^[\w .&[\]-]{1,60}$/.test(name) && !/[0-9a-f]{16}/i.test(name) ? name : '(unreadable)'

/** Fields in quotes; octets that have no place there are written \xHH. Undefined when malformed. */
function splitFields(line: string): string[] | undefined {
  const fields: string[] = []
  let rest = line
  for (;;) {
    const m = /^\s*"([^"]*)"\s*(,|$)/.exec(rest)
    if (!m) return undefined
    fields.push(
      m[1]!.replace(/\\x([0-9a-fA-F]{2})/g, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 16)),
      ),
    )
    if (m[2] === '') return fields
    if (fields.length > 10) return undefined
    rest = rest.slice(m[0].length)
  }
}
