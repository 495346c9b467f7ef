import { fromHex } from '../bytes/octets.js'
import { ENCR, INTEG } from './algorithms.js'

// Known answers, one or more for every algorithm. Each has a short case from its specification, and a long one, so that
// the wide loops of a vectorised implementation are asked as well: over LONG_TEXT, with the same key, IV and AAD.

/** Octets 00 01 02 … ff 00 …; 63 AES blocks. An AEAD and a MAC take the first LONG_ODD of them, which fill no block. */
export const LONG_TEXT = Uint8Array.from({ length: 1008 }, (_, i) => i & 0xff)
export const LONG_ODD = 1003

export interface CipherAnswer {
  readonly name: string
  /** IANA ENCR id. */
  readonly id: number
  readonly key: Uint8Array
  /** Nonce or IV. */
  readonly iv: Uint8Array
  readonly aad: Uint8Array
  readonly plain: Uint8Array
  /** Ciphertext, and for an AEAD the ICV behind it. */
  readonly sealed: Uint8Array
  /** The last 16 octets of the long case's result, on which all the others bear: the ICV and, before a short one, ciphertext. */
  readonly long: Uint8Array
}

/** Of AES-GMAC: an AEAD over an AAD alone. */
export interface GmacAnswer {
  readonly name: string
  readonly key: Uint8Array
  readonly iv: Uint8Array
  readonly text: Uint8Array
  readonly icv: Uint8Array
  /** The same for the long case. */
  readonly long: Uint8Array
}

export interface MacAnswer {
  readonly name: string
  /** IANA INTEG id. */
  readonly id: number
  readonly key: Uint8Array
  readonly text: Uint8Array
  /** The whole MAC, of which an ICV is the beginning. */
  readonly mac: Uint8Array
  /** The same for the long case. */
  readonly long: Uint8Array
}

const hexOf = (...parts: string[]): Uint8Array => fromHex(parts.join(''))
const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))

/** "The Galois/Counter Mode of Operation (GCM)", McGrew and Viega: test cases 4, 10 and 16 share all but the key's length. */
const gcm = (name: string, keyLength: number, sealed: Uint8Array, long: Uint8Array): CipherAnswer => ({
  name,
  id: ENCR.AES_GCM_16,
  key: hexOf('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308').slice(0, keyLength),
  iv: hexOf('cafebabefacedbaddecaf888'),
  aad: hexOf('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
  plain: hexOf(
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72',
    '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
  ),
  sealed,
  long,
})

/** RFC 4309 has no vectors, and those of RFC 3610 have longer nonces: made with two other implementations of CCM. */
const ccm = (
  name: string,
  id: number,
  keyLength: number,
  sealed: Uint8Array,
  long: Uint8Array,
): CipherAnswer => ({
  name,
  id,
  key: hexOf('c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf').slice(0, keyLength),
  iv: hexOf('a0a1a20000000302010001'),
  aad: hexOf('000102030405060708090a0b'),
  plain: hexOf('08090a0b0c0d0e0f101112131415161718191a1b1c1d1e'),
  sealed,
  long,
})

export const AEAD_ANSWERS: readonly CipherAnswer[] = [
  gcm(
    'AES-128-GCM',
    16,
    hexOf(
      '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e',
      '21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091',
      '5bc94fbc3221a5db94fae95ae7121a47',
    ),
    hexOf('ee9cac4c0dc5ee6e05b73ff4246779a5'),
  ),
  gcm(
    'AES-192-GCM',
    24,
    hexOf(
      '3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c',
      '7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710',
      '2519498e80f1478f37ba55bd6d27618c',
    ),
    hexOf('b050949d8cf442c199748e9544e6c4a7'),
  ),
  gcm(
    'AES-256-GCM',
    32,
    hexOf(
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa',
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662',
      '76fc6ece0f4e1768cddf8853bb2d551b',
    ),
    hexOf('b261a17632f07a7b3307129276e40008'),
  ),
  {
    // RFC 8439 section 2.8.2.
    name: 'ChaCha20-Poly1305',
    id: ENCR.CHACHA20_POLY1305,
    key: hexOf('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'),
    iv: hexOf('070000004041424344454647'),
    aad: hexOf('50515253c0c1c2c3c4c5c6c7'),
    plain: ascii(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
    ),
    sealed: hexOf(
      'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6',
      '3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36',
      '92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc',
      '3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691',
    ),
    long: hexOf('f9b00ef2a02d5a72e6545dd6f8e87826'),
  },
  ccm(
    'AES-128-CCM-8',
    ENCR.AES_CCM_8,
    16,
    hexOf('bbd6ede4d61bc4bae92267392ae6d899043bc679dcc0dc3229a03caca7eb3a'),
    hexOf('bf89d7accfa84b2c31a811ed896d1d7c'),
  ),
  ccm(
    'AES-192-CCM-8',
    ENCR.AES_CCM_8,
    24,
    hexOf('5da00b6a58c4a41670306307f2036b3e62fe554ae7f3891844e9023d34b88f'),
    hexOf('5b19d8c5aa75e2534debfee67b6f08f4'),
  ),
  ccm(
    'AES-256-CCM-8',
    ENCR.AES_CCM_8,
    32,
    hexOf('a56d5abe5a30d41d055d53ab06109adaed9572a0aea2913503fa76e5ed50b7'),
    hexOf('b0e848a78a59a3ab895d2511b40979ce'),
  ),
  ccm(
    'AES-128-CCM-12',
    ENCR.AES_CCM_12,
    16,
    hexOf('bbd6ede4d61bc4bae92267392ae6d899043bc679dcc0dcb31a1dad91679176ffed153f'),
    hexOf('cfa84b2c50b2c1a18c6d5cf844f236d8'),
  ),
  ccm(
    'AES-128-CCM-16',
    ENCR.AES_CCM_16,
    16,
    hexOf('bbd6ede4d61bc4bae92267392ae6d899043bc679dcc0dc61509fda79008139fde153ba02f0acab'),
    hexOf('c0423265be3437b8876245fd2750a958'),
  ),
  ccm(
    'AES-256-CCM-16',
    ENCR.AES_CCM_16,
    32,
    hexOf('a56d5abe5a30d41d055d53ab06109adaed9572a0aea29144d50a915873fe46a8d59608182b6ea2'),
    hexOf('738fbeecb0b8b2ed3940f971a0a8520e'),
  ),
]

/** draft-mcgrew-gcm-test-01 section 5 with its key of 128 bits; for longer ones that key comes twice. */
const gmac = (name: string, keyLength: number, icv: Uint8Array, long: Uint8Array): GmacAnswer => ({
  name,
  key: hexOf('4c80cdefbb5d10da906ac73c3613a634', '4c80cdefbb5d10da906ac73c3613a634').slice(0, keyLength),
  iv: hexOf('22433c640000000000000000'),
  text: hexOf(
    '0000432100000007000000000000000045000030da3a00008001df3bc0a80005',
    'c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201',
  ),
  icv,
  long,
})

export const GMAC_ANSWERS: readonly GmacAnswer[] = [
  gmac(
    'AES-128-GMAC',
    16,
    hexOf('f2a9a836e155106aa8dcd618e4099aaa'),
    hexOf('0384a724a70f438c30623ce2afd9c6d5'),
  ),
  gmac(
    'AES-192-GMAC',
    24,
    hexOf('c01422192463fd57b5043d35a5f1ca03'),
    hexOf('1839276a473127a8fbc2becb87924931'),
  ),
  gmac(
    'AES-256-GMAC',
    32,
    hexOf('2fb3f2d3725df4f4f2c8d2a89d2b771c'),
    hexOf('47d19883e0268186d7bdef456ea04606'),
  ),
]

/** NIST SP 800-38A appendix F.2: the plaintext of all its CBC cases. */
const SP800_38A = hexOf(
  '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51',
  '30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
)

/** RFC 3686 section 6, vectors 3, 6 and 9; the counter block as a whole. */
const ctr = (
  name: string,
  key: Uint8Array,
  iv: Uint8Array,
  sealed: Uint8Array,
  long: Uint8Array,
): CipherAnswer => ({
  name,
  id: ENCR.AES_CTR,
  key,
  iv,
  aad: new Uint8Array(0),
  plain: hexOf('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223'),
  sealed,
  long,
})

export const CIPHER_ANSWERS: readonly CipherAnswer[] = [
  {
    // RFC 3602 section 4, case 2.
    name: 'AES-128-CBC',
    id: ENCR.AES_CBC,
    key: hexOf('c286696d887c9aa0611bbb3e2025a45a'),
    iv: hexOf('562e17996d093d28ddb3ba695a2e6f58'),
    aad: new Uint8Array(0),
    plain: hexOf('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'),
    sealed: hexOf('d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1'),
    long: hexOf('73dff6dcae6049941018dd852f4f63ea'),
  },
  {
    // SP 800-38A, F.2.3.
    name: 'AES-192-CBC',
    id: ENCR.AES_CBC,
    key: hexOf('8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b'),
    iv: hexOf('000102030405060708090a0b0c0d0e0f'),
    aad: new Uint8Array(0),
    plain: SP800_38A,
    sealed: hexOf(
      '4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a',
      '571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd',
    ),
    long: hexOf('790704d4939238bdc6aabe2b9ffe3431'),
  },
  {
    // SP 800-38A, F.2.5.
    name: 'AES-256-CBC',
    id: ENCR.AES_CBC,
    key: hexOf('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4'),
    iv: hexOf('000102030405060708090a0b0c0d0e0f'),
    aad: new Uint8Array(0),
    plain: SP800_38A,
    sealed: hexOf(
      'f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d',
      '39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b',
    ),
    long: hexOf('c6a78ecb63135fa2c93badf2135c80d4'),
  },
  ctr(
    'AES-128-CTR',
    hexOf('7691be035e5020a8ac6e618529f9a0dc'),
    hexOf('00e0017b27777f3f4a1786f000000001'),
    hexOf('c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f'),
    hexOf('086668f05de02f41382dcee483257da5'),
  ),
  ctr(
    'AES-192-CTR',
    hexOf('02bf391ee8ecb159b959617b0965279bf59b60a786d3e0fe'),
    hexOf('0007bdfd5cbd60278dcc091200000001'),
    hexOf('96893fc55e5c722f540b7dd1ddf7e758d288bc95c69165884536c811662f2188abee0935'),
    hexOf('f4f70c6facd1fbed4df9526dd93ba497'),
  ),
  ctr(
    'AES-256-CTR',
    hexOf('ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d'),
    hexOf('001cc5b751a51d70a1c1114800000001'),
    hexOf('eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8'),
    hexOf('54b77612bcfd4bc6395ace121c74e36d'),
  ),
]

/** The key and the text of RFC 4231 test case 2, for SHA-2, and of RFC 2202 test case 2, for SHA-1. */
const hmac = (name: string, id: number, mac: Uint8Array, long: Uint8Array): MacAnswer => ({
  name,
  id,
  key: ascii('Jefe'),
  text: ascii('what do ya want for nothing?'),
  mac,
  long,
})

export const MAC_ANSWERS: readonly MacAnswer[] = [
  hmac(
    'HMAC-SHA1',
    INTEG.HMAC_SHA1_96,
    hexOf('effcdf6ae5eb2fa2d27416d5f184df9c259a7c79'),
    hexOf('cd4f3490d2fbde95368721ef41cbfa50b1cdbd05'),
  ),
  hmac(
    'HMAC-SHA2-256',
    INTEG.HMAC_SHA2_256_128,
    hexOf('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'),
    hexOf('58dd8743e15d0e9ce78cedd07b3abe27e572a37036eb219f87bb256ec117f846'),
  ),
  hmac(
    'HMAC-SHA2-384',
    INTEG.HMAC_SHA2_384_192,
    hexOf('af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649'),
    hexOf('aaefdfb6eaffeb13941230758b2fea612bd6bcd56515fa9cdc4f72d9e9bc05c02b5e6243684fed510ee5228b94e20f51'),
  ),
  hmac(
    'HMAC-SHA2-512',
    INTEG.HMAC_SHA2_512_256,
    hexOf(
      '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554',
      '9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737',
    ),
    hexOf(
      '2fce9abc6dd457e9e49ba95fd511c5ea8dbb60a72982e347c97b28b5e0adf9e7',
      '878a952f12ada1996ee77d1a67816328ca591df32f06d5993adb1f928c450a31',
    ),
  ),
  {
    // RFC 3566 section 4.6, test case 4.
    name: 'AES-XCBC',
    id: INTEG.AES_XCBC_96,
    key: hexOf('000102030405060708090a0b0c0d0e0f'),
    text: hexOf('000102030405060708090a0b0c0d0e0f10111213'),
    mac: hexOf('47f51b4564966215b8985c63055ed308'),
    long: hexOf('5f2d83f2a270144d9afb0cc2bbd484ec'),
  },
  {
    // RFC 4493 section 4, example 3.
    name: 'AES-CMAC',
    id: INTEG.AES_CMAC_96,
    key: hexOf('2b7e151628aed2a6abf7158809cf4f3c'),
    text: hexOf('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411'),
    mac: hexOf('dfa66747de9ae63030ca32611497c827'),
    long: hexOf('118b03cb41d19f47c72608701fed69dd'),
  },
]
