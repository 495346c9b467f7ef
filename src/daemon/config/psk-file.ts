import { ConfigError } from '../../errors.js'
import { parseKeyText } from '../../ike/prephase/key.js'
import { decodeBase64, decodeHex, secretLines, startsWith, trimmed } from './secret-text.js'

/** With `dynamic_psk: off` the key is only as good as its entropy; shorter ones are found offline. */
export const PSK_MIN = 16
export const PSK_MAX = 1024

/**
 * Reads a plain pre-shared key, as other IKE daemons use it (`dynamic_psk: off`). The file has one line besides comments
 * (`#`): `psk: TEXT` stands for the octets of the text, `0xHEX` and `0sBASE64` for the octets that they spell, as in
 * strongSwan's and libreswan's files. A file made by genkey stands for its 32 octets. Returns the key, which the caller
 * wipes, or what is wrong with the file.
 */
export function parsePskFile(content: Uint8Array): Uint8Array | string {
  const lines = secretLines(content)
  const line = lines[0]
  if (!line) return 'has no key in it'
  if (lines.length > 1) return `has more than one line (line ${lines[1]!.number}); expected one key`
  const key = decode(line.octets)
  if (!key)
    return `line ${line.number} is none of: psk: TEXT, 0xHEX, 0sBASE64, a key made by sallyport genkey`
  if (key.length >= PSK_MIN && key.length <= PSK_MAX) return key
  const length = key.length
  key.fill(0)
  return `holds a key of ${length} octets; expected ${PSK_MIN} to ${PSK_MAX}`
}

function decode(line: Uint8Array): Uint8Array | undefined {
  if (startsWith(line, 'psk:')) return trimmed(line.subarray(4))
  try {
    // First, as one key of genkey's in 2048 begins with 0x or 0s. Neither of those forms spells 32 octets in 44 characters.
    return parseKeyText(line)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
  }
  if (startsWith(line, '0x')) return decodeHex(line)
  return startsWith(line, '0s') ? decodeBase64(line.subarray(2)) : undefined
}
