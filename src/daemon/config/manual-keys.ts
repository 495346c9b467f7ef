import { wipe } from '../../bytes/octets.js'
import { decodeHex, secretLines, secretWords } from './secret-text.js'

/** Keys of one manual SA. */
export interface ManualKeys {
  readonly spi: number
  encryption?: Uint8Array
  integrity?: Uint8Array
}

/**
 * Reads a file of manual keys: a line `SPI encryption HEX` or `SPI integrity HEX` for each key, `#` begins a comment. Both
 * hosts of a pair can have the same file. Returns the keys by SPI, which the caller wipes, or what is wrong.
 */
export function parseManualKeys(content: Uint8Array): Map<number, ManualKeys> | string {
  const keys = new Map<number, ManualKeys>()
  for (const line of secretLines(content)) {
    const fault = addLine(keys, secretWords(line.octets))
    if (fault === undefined) continue
    wipeManualKeys(keys)
    return `line ${line.number}: ${fault}`
  }
  return keys
}

export function wipeManualKeys(keys: ReadonlyMap<number, ManualKeys>): void {
  for (const k of keys.values()) wipe(k.encryption, k.integrity)
}

function addLine(keys: Map<number, ManualKeys>, words: readonly Uint8Array[]): string | undefined {
  const [spiText, kindText, keyText] = words
  if (!spiText || !kindText || !keyText || words.length !== 3)
    return 'expected three words: SPI, encryption or integrity, and the key in hexadecimal'
  const spi = parseSpi(spiText)
  if (spi === undefined) return 'expected an SPI from 256 to 0xffffffff as the first word'
  const kind = ascii(kindText)
  if (kind !== 'encryption' && kind !== 'integrity')
    return 'expected encryption or integrity as the second word'
  const key = decodeHex(keyText)
  if (!key) return 'the key is not an even number of hexadecimal digits'
  const entry = keys.get(spi) ?? { spi }
  if (entry[kind]) {
    wipe(key)
    return `SPI 0x${spi.toString(16)} has two ${kind} keys`
  }
  entry[kind] = key
  keys.set(spi, entry)
  return undefined
}

function parseSpi(word: Uint8Array): number | undefined {
  const text = ascii(word)
  if (!/^(0x[0-9a-fA-F]{1,8}|\d{1,10})$/.test(text)) return undefined
  const spi = Number(text)
  return spi >= 256 && spi <= 0xffff_ffff ? spi : undefined
}

/** Words that hold no secret; longer ones are none of those. */
const ascii = (word: Uint8Array): string => (word.length <= 16 ? String.fromCharCode(...word) : '')
