import { hex } from '../../bytes/octets.js'
import { ENCR, encryptionInfo, INTEG } from '../../crypto/algorithms.js'
import type { IkeV1Keys, IkeV2Keys } from '../../ike/environment.js'

// Wireshark's files of IKE keys (Preferences, Protocols, ISAKMP). Octets are hexadecimal without quotes, names stand in quotes.
//   ikev1_decryption_table | initiator cookie | encryption key |
//   ikev2_decryption_table | SPIi | SPIr | SK_ei | SK_er | "encryption" | SK_ai | SK_ar | "integrity" |

/** The line without its end. */
export const formatIkeV1 = (k: IkeV1Keys): string => `${hex(k.initiatorSpi)},${hex(k.encryptionKey)}`

/** Names of ciphers without the length of the key, which Wireshark has in them. */
const CIPHERS: Readonly<Record<number, readonly [string, string]>> = {
  [ENCR.AES_CBC]: ['AES-CBC-', ' [RFC3602]'],
  [ENCR.AES_CTR]: ['AES-CTR-', ' [RFC5930]'],
  [ENCR.AES_CCM_8]: ['AES-CCM-', ' with 8 octet ICV [RFC5282]'],
  [ENCR.AES_CCM_12]: ['AES-CCM-', ' with 12 octet ICV [RFC5282]'],
  [ENCR.AES_CCM_16]: ['AES-CCM-', ' with 16 octet ICV [RFC5282]'],
  [ENCR.AES_GCM_16]: ['AES-GCM-', ' with 16 octet ICV [RFC5282]'],
}
const INTEGRITY: Readonly<Record<number, string>> = {
  [INTEG.NONE]: 'NONE [RFC4306]',
  [INTEG.HMAC_SHA1_96]: 'HMAC_SHA1_96 [RFC2404]',
  [INTEG.HMAC_SHA2_256_128]: 'HMAC_SHA2_256_128 [RFC4868]',
  [INTEG.HMAC_SHA2_384_192]: 'HMAC_SHA2_384_192 [RFC4868]',
  [INTEG.HMAC_SHA2_512_256]: 'HMAC_SHA2_512_256 [RFC4868]',
  // It knows the length of these ICVs, and cannot check them.
  [INTEG.AES_XCBC_96]: 'ANY 96-bits of Authentication [No Checking]',
  [INTEG.AES_CMAC_96]: 'ANY 96-bits of Authentication [No Checking]',
}

/** The line without its end, or undefined for algorithms that Wireshark does not know: ChaCha20-Poly1305. */
export function formatIkeV2(k: IkeV2Keys): string | undefined {
  const name = CIPHERS[k.encryption]
  const check = INTEGRITY[k.integrity]
  if (!name || check === undefined) return undefined
  const salt = encryptionInfo(k.encryption)?.saltLength ?? 0
  const cipher = `${name[0]}${(k.ei.length - salt) * 8}${name[1]}`
  return [
    hex(k.initiatorSpi),
    hex(k.responderSpi),
    hex(k.ei),
    hex(k.er),
    `"${cipher}"`,
    hex(k.ai),
    hex(k.ar),
    `"${check}"`,
  ].join(',')
}
