import { describe, expect, test } from 'vitest'
import { hex } from '../../../src/bytes/octets.js'
import { ConfigError } from '../../../src/errors.js'
import { formatKeyText, keyFingerprint, parseKeyText } from '../../../src/ike/prephase/key.js'
import { seededRandom } from '../../exchange/virtual-network.js'

const key = seededRandom('key')(32)
const base64 = Buffer.from(key).toString('base64')

function reason(text: string | Uint8Array): string {
  try {
    parseKeyText(text)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message
  }
  throw new Error('the key was accepted')
}

describe('a key’s text', () => {
  test('what genkey writes is read back', () => {
    const text = formatKeyText(key)
    expect(parseKeyText(text)).toEqual(key)
    expect(text).toMatch(/^# sallyport key [0-9a-f]{16}: .*\n[A-Za-z0-9+/]{43}=\n$/)
    expect(text).toContain(keyFingerprint(key))
  })

  test.each([
    ['base64', base64],
    ['hex', hex(key)],
    ['upper-case hex', hex(key).toUpperCase()],
    ['blanks and line ends of any kind', `\r\n  ${base64}\t\r\n\r\n`],
    ['comments around', `# one\n\n#two\n${base64}\n# three`],
  ])('%s', (_name, text) => {
    expect(parseKeyText(text)).toEqual(key)
    expect(parseKeyText(Buffer.from(text))).toEqual(key)
  })

  test.each([
    ['nothing', '', /empty/],
    ['only comments', '# nothing here\n', /empty/],
    ['31 octets in hex', hex(key.subarray(1)), /31 octets instead of 32/],
    ['33 octets in hex', `${hex(key)}00`, /33 octets instead of 32/],
    ['31 octets in base64', Buffer.from(key.subarray(1)).toString('base64'), /31 octets instead of 32/],
    [
      '48 octets in base64',
      Buffer.concat([key, key.subarray(16)]).toString('base64'),
      /48 octets instead of 32/,
    ],
    ['base64 cut off', base64.slice(0, -1), /cut off or damaged/],
    ['base64 with bits behind the end', `${base64.slice(0, -2)}B=`, /cut off or damaged/],
    ['base64url', `${base64.slice(0, 20)}-_${base64.slice(22)}`, /neither 64 hex digits nor base64/],
    ['a passphrase', 'correct horse battery staple', /neither/],
    ['two keys', `${base64}\n${base64}\n`, /more than one line/],
    ['two words', `${base64} ${base64}`, /neither/],
    ['a quoted key', `"${base64}"`, /neither/],
    ['zeros', '00'.repeat(32), /pattern/],
    ['a repeated octet pair', 'a55a'.repeat(16), /pattern/],
    [
      'a readable text in base64',
      Buffer.from('thirty-two readable characters!!').toString('base64'),
      /readable text/,
    ],
    ['a large file', `# ${'x'.repeat(5000)}\n${base64}`, /too long/],
  ])('refused: %s', (_name, text, why) => {
    const message = reason(text)
    expect(message).toMatch(why)
    // Nothing of the key is in the message.
    for (const part of text.match(/[0-9a-zA-Z+/]{8,}/g) ?? []) expect(message).not.toContain(part)
  })

  test('the fingerprint depends on every octet and shows none', () => {
    const seen = new Set([keyFingerprint(key)])
    for (let i = 0; i < 32; i++) {
      const other = new Uint8Array(key)
      other[i]! ^= 1
      seen.add(keyFingerprint(other))
    }
    expect(seen.size).toBe(33)
    expect(keyFingerprint(key)).toMatch(/^[0-9a-f]{16}$/)
  })
})
