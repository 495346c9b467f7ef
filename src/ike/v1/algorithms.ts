import { ENCR, INTEG, PRF } from '../../crypto/algorithms.js'

// IKEv1's numbers for what the rest of sallyport names by IANA IKEv2 transform ids.

const phase1Hashes = new Map<number, number>([
  [PRF.HMAC_SHA1, 2],
  [PRF.HMAC_SHA2_256, 4],
  [PRF.HMAC_SHA2_384, 5],
  [PRF.HMAC_SHA2_512, 6],
])

/** PRF id to phase 1 hash algorithm (RFC 2409 appendix A). */
export const phase1Hash = (prfId: number): number | undefined => phase1Hashes.get(prfId)
export const prfOfPhase1Hash = (hash: number): number | undefined => reverse(phase1Hashes, hash)

/** ENCR id to ESP transform (RFC 2407 section 4.4.4 and later). */
const espTransforms = new Map<number, number>([
  [ENCR.NULL, 11],
  [ENCR.AES_CBC, 12],
  [ENCR.AES_CTR, 13],
  [ENCR.AES_CCM_8, 14],
  [ENCR.AES_CCM_12, 15],
  [ENCR.AES_CCM_16, 16],
  [ENCR.AES_GCM_16, 20],
  [ENCR.NULL_AUTH_AES_GMAC, 23],
])
/** Undefined where IKEv1 has no number: ChaCha20-Poly1305 is an IKEv2 algorithm alone (RFC 7634 section 4). */
export const espTransform = (encr: number): number | undefined => espTransforms.get(encr)
export const encrOfEspTransform = (transform: number): number | undefined => reverse(espTransforms, transform)

/** INTEG id to authentication algorithm attribute (RFC 2407 section 4.5 and later). AES-CMAC has none. */
const authentications = new Map<number, number>([
  [INTEG.HMAC_SHA1_96, 2],
  [INTEG.HMAC_SHA2_256_128, 5],
  [INTEG.HMAC_SHA2_384_192, 6],
  [INTEG.HMAC_SHA2_512_256, 7],
  [INTEG.AES_XCBC_96, 9],
  [INTEG.AES_128_GMAC, 11],
  [INTEG.AES_192_GMAC, 12],
  [INTEG.AES_256_GMAC, 13],
])
export const authentication = (integ: number): number | undefined => authentications.get(integ)
export const integOfAuthentication = (value: number): number | undefined => reverse(authentications, value)

/** INTEG id to AH transform (RFC 2407 section 4.4.3); AH names its algorithm twice, here and in the attribute. */
const ahTransforms = new Map<number, number>([
  [INTEG.HMAC_SHA1_96, 3],
  [INTEG.HMAC_SHA2_256_128, 5],
  [INTEG.HMAC_SHA2_384_192, 6],
  [INTEG.HMAC_SHA2_512_256, 7],
  [INTEG.AES_XCBC_96, 9],
  [INTEG.AES_128_GMAC, 11],
  [INTEG.AES_192_GMAC, 12],
  [INTEG.AES_256_GMAC, 13],
])
export const ahTransform = (integ: number): number | undefined => ahTransforms.get(integ)
export const integOfAhTransform = (transform: number): number | undefined => reverse(ahTransforms, transform)

function reverse(map: ReadonlyMap<number, number>, value: number): number | undefined {
  for (const [key, v] of map) if (v === value) return key
  return undefined
}

// Names for what sallyport does not do, so that a log line about a peer's proposal can be read.

const encryptionNames = new Map([
  [1, 'des'],
  [2, 'idea'],
  [3, 'blowfish'],
  [5, '3des'],
  [6, 'cast128'],
  [8, 'camellia'],
])
export const phase1EncryptionName = (id: number): string => encryptionNames.get(id) ?? `encryption ${id}`
const espNames = new Map([
  [2, 'des'],
  [3, '3des'],
  [7, 'blowfish'],
  [18, 'aesgcm8'],
  [19, 'aesgcm12'],
  [22, 'camellia'],
])
export const espTransformName = (id: number): string => espNames.get(id) ?? `ESP transform ${id}`
const authNames = new Map([[1, 'md5']])
export const authenticationName = (id: number): string => authNames.get(id) ?? `authentication ${id}`
const methodNames = new Map([
  [1, 'psk'],
  [2, 'dss'],
  [3, 'rsa'],
  [4, 'rsa encryption'],
  [9, 'ecdsa256'],
  [10, 'ecdsa384'],
  [11, 'ecdsa521'],
  [65001, 'xauth psk'],
  [65005, 'xauth rsa'],
])
export const methodName = (id: number): string => methodNames.get(id) ?? `method ${id}`
