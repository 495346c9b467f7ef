// The algorithms by their IANA IKEv2 transform ids, which name them everywhere inside sallyport; IKEv1 maps its own
// numbers to these. Levels and lengths: RFC 8221, RFC 8247.

export const ENCR = { NULL: 11, AES_CBC: 12, AES_GCM_16: 20, CHACHA20_POLY1305: 28 } as const
export const INTEG = {
  NONE: 0,
  HMAC_SHA1_96: 2,
  HMAC_SHA2_256_128: 12,
  HMAC_SHA2_384_192: 13,
  HMAC_SHA2_512_256: 14,
} as const
export const PRF = { HMAC_SHA1: 2, HMAC_SHA2_256: 5, HMAC_SHA2_384: 6, HMAC_SHA2_512: 7 } as const
export const KE = {
  MODP2048: 14,
  MODP3072: 15,
  MODP4096: 16,
  ECP256: 19,
  ECP384: 20,
  ECP521: 21,
  CURVE25519: 31,
} as const

export interface EncryptionInfo {
  readonly id: number
  /** IANA name. */
  readonly name: string
  readonly kind: 'null' | 'cbc' | 'aead'
  /** Permitted key lengths in octets, salt excluded. Only AES carries a Key Length attribute. */
  readonly keyLengths: readonly number[]
  readonly hasKeyLengthAttribute: boolean
  /** Octets of KEYMAT that follow the key (RFC 4106 section 8.1, RFC 7634 section 2). */
  readonly saltLength: number
  /** Octets of IV on the wire. */
  readonly ivLength: number
  /** The plaintext with its trailer is padded to a multiple of this (and of 4). */
  readonly blockLength: number
  /** ICV of an AEAD; 0 otherwise. */
  readonly icvLength: number
}

const encryption = new Map<number, EncryptionInfo>(
  (
    [
      {
        id: ENCR.NULL,
        name: 'NULL',
        kind: 'null',
        keyLengths: [0],
        hasKeyLengthAttribute: false,
        saltLength: 0,
        ivLength: 0,
        blockLength: 1,
        icvLength: 0,
      },
      {
        id: ENCR.AES_CBC,
        name: 'AES_CBC',
        kind: 'cbc',
        keyLengths: [16, 24, 32],
        hasKeyLengthAttribute: true,
        saltLength: 0,
        ivLength: 16,
        blockLength: 16,
        icvLength: 0,
      },
      {
        id: ENCR.AES_GCM_16,
        name: 'AES_GCM_16',
        kind: 'aead',
        keyLengths: [16, 24, 32],
        hasKeyLengthAttribute: true,
        saltLength: 4,
        ivLength: 8,
        blockLength: 1,
        icvLength: 16,
      },
      {
        id: ENCR.CHACHA20_POLY1305,
        name: 'CHACHA20_POLY1305',
        kind: 'aead',
        keyLengths: [32],
        hasKeyLengthAttribute: false,
        saltLength: 4,
        ivLength: 8,
        blockLength: 1,
        icvLength: 16,
      },
    ] satisfies EncryptionInfo[]
  ).map((e) => [e.id, e]),
)

export interface IntegrityInfo {
  readonly id: number
  readonly name: string
  /** Hash name as node:crypto spells it. */
  readonly hash: string
  readonly keyLength: number
  readonly icvLength: number
}

const integrity = new Map<number, IntegrityInfo>(
  (
    [
      { id: INTEG.HMAC_SHA1_96, name: 'HMAC_SHA1_96', hash: 'sha1', keyLength: 20, icvLength: 12 },
      {
        id: INTEG.HMAC_SHA2_256_128,
        name: 'HMAC_SHA2_256_128',
        hash: 'sha256',
        keyLength: 32,
        icvLength: 16,
      },
      {
        id: INTEG.HMAC_SHA2_384_192,
        name: 'HMAC_SHA2_384_192',
        hash: 'sha384',
        keyLength: 48,
        icvLength: 24,
      },
      {
        id: INTEG.HMAC_SHA2_512_256,
        name: 'HMAC_SHA2_512_256',
        hash: 'sha512',
        keyLength: 64,
        icvLength: 32,
      },
    ] satisfies IntegrityInfo[]
  ).map((e) => [e.id, e]),
)

/** Undefined for an algorithm that sallyport does not have. */
export const encryptionInfo = (id: number): EncryptionInfo | undefined => encryption.get(id)
export const integrityInfo = (id: number): IntegrityInfo | undefined => integrity.get(id)
