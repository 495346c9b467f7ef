// IMB_JOB and IMB_MGR of libIPSec_MB (intel-ipsec-mb.h). The fields below stand at the same place in 1.3, 2.0 and 2.0.2. Behind
// them releases differ, and so does the length of a job: it is asked of the library.
//
//   octet  0               8               16              24              32
//          +---------------+---------------+---------------+---------------+
//       0  | enc_keys      | dec_keys      | key length    | src           |
//      32  | dst           | cipher offset | cipher length | hash offset   |
//      64  | hash length   | iv            | iv length     | tag           |
//      96  | tag length    | of the hash algorithm: three pointers or lengths |
//     128  | status | mode | dir.  | hash   | order |  pad  | not used here ...
//          +---------------+---------------+---------------+---------------+

export const JOB_ENC_KEYS = 0
export const JOB_DEC_KEYS = 8
export const JOB_KEY_LEN = 16
export const JOB_SRC = 24
export const JOB_DST = 32
export const JOB_CIPHER_OFFSET = 40
export const JOB_CIPHER_LEN = 48
export const JOB_HASH_OFFSET = 56
export const JOB_HASH_LEN = 64
export const JOB_IV = 72
export const JOB_IV_LEN = 80
export const JOB_TAG = 88
export const JOB_TAG_LEN = 96
/** AEAD: AAD and its length. HMAC: states after ipad and opad. XCBC: K1 expanded, K2, K3. CMAC: key expanded, two subkeys. */
export const JOB_HASH_FIELDS = 104
export const JOB_STATUS = 128
export const JOB_CIPHER_MODE = 132
export const JOB_DIRECTION = 136
export const JOB_HASH_ALG = 140
export const JOB_ORDER = 144
/** No release has a shorter or a longer one. */
export const JOB_LEN_MIN = 200
export const JOB_LEN_MAX = 512

export const STATUS_COMPLETED = 3

export const CIPHER = { CBC: 1, CNTR: 2, NULL: 3, GCM: 5, CCM: 9, CHACHA20_POLY1305: 19 } as const
export const HASH = {
  HMAC_SHA1: 1,
  HMAC_SHA256: 3,
  HMAC_SHA384: 4,
  HMAC_SHA512: 5,
  XCBC: 6,
  GMAC: 9,
  CCM: 11,
  CMAC: 12,
  CHACHA20_POLY1305: 29,
} as const
export const DIRECTION = { ENCRYPT: 1, DECRYPT: 2 } as const
export const ORDER = { CIPHER_HASH: 1, HASH_CIPHER: 2 } as const

/** IMB_MGR: the number of the architecture chosen (u32), the last error (int), and pointers to functions. */
export const MGR_ARCHITECTURE = 56
export const MGR_ERROR = 60
export const MGR_FUNCTIONS = {
  keyexp128: 112,
  keyexp192: 120,
  keyexp256: 128,
  cmacSubkeys: 136,
  xcbcKeys: 144,
  sha1Block: 160,
  sha256Block: 176,
  sha384Block: 184,
  sha512Block: 192,
  gcm128Encrypt: 256,
  gcm192Encrypt: 264,
  gcm256Encrypt: 272,
  gcm128Decrypt: 280,
  gcm192Decrypt: 288,
  gcm256Decrypt: 296,
  gcm128Pre: 448,
  gcm192Pre: 456,
  gcm256Pre: 464,
  getNextBurst: 952,
  submitBurst: 960,
  submitBurstNocheck: 968,
  flushBurst: 976,
} as const
