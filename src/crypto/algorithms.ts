// The algorithms by their IANA IKEv2 transform ids, which name them everywhere inside sallyport; IKEv1 maps its own
// numbers to these. Levels and lengths: RFC 8221, RFC 8247.

export const ENCR = {
  NULL: 11,
  AES_CBC: 12,
  AES_CTR: 13,
  AES_CCM_8: 14,
  AES_CCM_12: 15,
  AES_CCM_16: 16,
  AES_GCM_16: 20,
  NULL_AUTH_AES_GMAC: 21,
  CHACHA20_POLY1305: 28,
} as const
export const INTEG = {
  NONE: 0,
  HMAC_SHA1_96: 2,
  AES_XCBC_96: 5,
  AES_CMAC_96: 8,
  AES_128_GMAC: 9,
  AES_192_GMAC: 10,
  AES_256_GMAC: 11,
  HMAC_SHA2_256_128: 12,
  HMAC_SHA2_384_192: 13,
  HMAC_SHA2_512_256: 14,
} as const
export const PRF = {
  HMAC_SHA1: 2,
  AES128_XCBC: 4,
  HMAC_SHA2_256: 5,
  HMAC_SHA2_384: 6,
  HMAC_SHA2_512: 7,
  AES128_CMAC: 8,
} as const
export const KE = {
  MODP2048: 14,
  MODP3072: 15,
  MODP4096: 16,
  ECP256: 19,
  ECP384: 20,
  ECP521: 21,
  CURVE25519: 31,
  ML_KEM_768: 36,
} as const

export interface EncryptionInfo {
  readonly id: number
  /** IANA name. */
  readonly name: string
  /** `aead` and `gmac` bring their own integrity; `gmac` encrypts nothing (RFC 4543). */
  readonly kind: 'null' | 'cbc' | 'ctr' | 'aead' | 'gmac'
  /** Permitted key lengths in octets, salt excluded. Only AES carries a Key Length attribute. */
  readonly keyLengths: readonly number[]
  readonly hasKeyLengthAttribute: boolean
  /** Octets of KEYMAT that follow the key (RFC 3686 section 5.1, RFC 4106 section 8.1, RFC 4309 section 7.1, RFC 7634 section 2). */
  readonly saltLength: number
  /** Octets of IV on the wire. */
  readonly ivLength: number
  /** The plaintext with its trailer is padded to a multiple of this (and of 4). */
  readonly blockLength: number
  /** ICV of an algorithm that has its own; 0 otherwise. */
  readonly icvLength: number
}

const AES_KEYS = [16, 24, 32]

/** AES in a mode that makes its nonce of a salt and an IV of 8 octets. */
const counterMode = (
  id: number,
  name: string,
  kind: 'ctr' | 'aead' | 'gmac',
  saltLength: number,
  icvLength: number,
): EncryptionInfo => ({
  ...{ id, name, kind, keyLengths: AES_KEYS, hasKeyLengthAttribute: true },
  ...{ saltLength, ivLength: 8, blockLength: 1, icvLength },
})

const encryption: ReadonlyMap<number, EncryptionInfo> = new Map(
  (
    [
      {
        ...{ id: ENCR.NULL, name: 'NULL', kind: 'null', keyLengths: [0], hasKeyLengthAttribute: false },
        ...{ saltLength: 0, ivLength: 0, blockLength: 1, icvLength: 0 },
      },
      {
        ...{
          id: ENCR.AES_CBC,
          name: 'AES_CBC',
          kind: 'cbc',
          keyLengths: AES_KEYS,
          hasKeyLengthAttribute: true,
        },
        ...{ saltLength: 0, ivLength: 16, blockLength: 16, icvLength: 0 },
      },
      counterMode(ENCR.AES_CTR, 'AES_CTR', 'ctr', 4, 0),
      counterMode(ENCR.AES_CCM_8, 'AES_CCM_8', 'aead', 3, 8),
      counterMode(ENCR.AES_CCM_12, 'AES_CCM_12', 'aead', 3, 12),
      counterMode(ENCR.AES_CCM_16, 'AES_CCM_16', 'aead', 3, 16),
      counterMode(ENCR.AES_GCM_16, 'AES_GCM_16', 'aead', 4, 16),
      counterMode(ENCR.NULL_AUTH_AES_GMAC, 'NULL_AUTH_AES_GMAC', 'gmac', 4, 16),
      {
        ...counterMode(ENCR.CHACHA20_POLY1305, 'CHACHA20_POLY1305', 'aead', 4, 16),
        ...{ keyLengths: [32], hasKeyLengthAttribute: false },
      },
    ] satisfies EncryptionInfo[]
  ).map((e) => [e.id, e]),
)

export interface IntegrityInfo {
  readonly id: number
  readonly name: string
  /** `cbc-mac` is AES-XCBC and AES-CMAC. `gmac` is for AH alone, where ESP has ENCR.NULL_AUTH_AES_GMAC (RFC 4543). */
  readonly kind: 'hmac' | 'cbc-mac' | 'gmac'
  /** Of an HMAC: hash name as node:crypto spells it. */
  readonly hash?: string
  /** With the salt, for GMAC (RFC 4543 section 5.4). */
  readonly keyLength: number
  /** Octets in the packet, for GMAC with the IV. */
  readonly icvLength: number
}

/** Octets of salt at the end of a GMAC key. */
export const GMAC_SALT_LEN = 4

const hmac = (
  id: number,
  name: string,
  hash: string,
  keyLength: number,
  icvLength: number,
): IntegrityInfo => ({
  ...{ id, name, kind: 'hmac', hash, keyLength, icvLength },
})
const cbcMac = (id: number, name: string): IntegrityInfo => ({
  ...{ id, name, kind: 'cbc-mac', keyLength: 16, icvLength: 12 },
})
const gmac = (id: number, name: string, keyLength: number): IntegrityInfo => ({
  ...{ id, name, kind: 'gmac', keyLength: keyLength + GMAC_SALT_LEN, icvLength: 8 + 16 },
})

const integrity: ReadonlyMap<number, IntegrityInfo> = new Map(
  [
    hmac(INTEG.HMAC_SHA1_96, 'HMAC_SHA1_96', 'sha1', 20, 12),
    cbcMac(INTEG.AES_XCBC_96, 'AES_XCBC_96'),
    cbcMac(INTEG.AES_CMAC_96, 'AES_CMAC_96'),
    gmac(INTEG.AES_128_GMAC, 'AES_128_GMAC', 16),
    gmac(INTEG.AES_192_GMAC, 'AES_192_GMAC', 24),
    gmac(INTEG.AES_256_GMAC, 'AES_256_GMAC', 32),
    hmac(INTEG.HMAC_SHA2_256_128, 'HMAC_SHA2_256_128', 'sha256', 32, 16),
    hmac(INTEG.HMAC_SHA2_384_192, 'HMAC_SHA2_384_192', 'sha384', 48, 24),
    hmac(INTEG.HMAC_SHA2_512_256, 'HMAC_SHA2_512_256', 'sha512', 64, 32),
  ].map((i) => [i.id, i]),
)

/** Undefined for an algorithm that sallyport does not have. */
export const encryptionInfo = (id: number): EncryptionInfo | undefined => encryption.get(id)
export const integrityInfo = (id: number): IntegrityInfo | undefined => integrity.get(id)

/** Whether an encryption algorithm brings its own integrity: no other may stand beside it (RFC 8221 section 4). */
export const hasOwnIntegrity = (encr: number): boolean => (encryptionInfo(encr)?.icvLength ?? 0) > 0

/**
 * Whether one of the two makes its nonces by counting. Such a key must never see a second packet with the same number,
 * so it may not be a manual one (RFC 8221 section 4).
 */
export function countsNonces(encr: number, integ: number): boolean {
  const kind = encryptionInfo(encr)?.kind
  return kind === 'ctr' || kind === 'aead' || kind === 'gmac' || integrityInfo(integ)?.kind === 'gmac'
}
