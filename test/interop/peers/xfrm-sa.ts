import { hex } from '../../../src/bytes/octets.js'
import { ENCR, INTEG } from '../../../src/crypto/algorithms.js'
import { formatIp } from '../../../src/wire/ip-address.js'
import type { RecordedSa } from './recorded-sas.js'

// linux/xfrm.h. Numbers are in the order of the machine, as everywhere in netlink; SPIs, addresses and ports in that of the network.

const XFRM = {
  NEWSA: 0x10,
  UPDSA: 0x1a,
  ALG_AUTH: 1,
  ALG_CRYPT: 2,
  ENCAP: 4,
  ALG_AEAD: 18,
  ALG_AUTH_TRUNC: 20,
  REPLAY_ESN_VAL: 23,
  STATE_ESN: 128,
}
const NETLINK_HEAD = 16
const ALGORITHM_NAME = 64

/** struct xfrm_usersa_info, from its beginning: the selector is first. */
const INFO = {
  SELECTOR: 0,
  DESTINATION: 56,
  SPI: 72,
  PROTOCOL: 76,
  SOURCE: 80,
  FAMILY: 212,
  MODE: 214,
  REPLAY_WINDOW: 215,
  FLAGS: 216,
  LENGTH: 224,
}
/** struct xfrm_selector. */
const SELECTOR = { DESTINATION: 0, SOURCE: 16, FAMILY: 40, DESTINATION_PREFIX: 42, SOURCE_PREFIX: 43 }

/** Names of the kernel's. AEADs are told apart by the length of their ICV as well. */
const AEAD: Readonly<Record<string, number>> = {
  'rfc4106(gcm(aes))/16': ENCR.AES_GCM_16,
  'rfc4309(ccm(aes))/8': ENCR.AES_CCM_8,
  'rfc4309(ccm(aes))/12': ENCR.AES_CCM_12,
  'rfc4309(ccm(aes))/16': ENCR.AES_CCM_16,
  'rfc4543(gcm(aes))/16': ENCR.NULL_AUTH_AES_GMAC,
  'rfc7539esp(chacha20,poly1305)/16': ENCR.CHACHA20_POLY1305,
}
const CIPHERS: Readonly<Record<string, number>> = {
  'cbc(aes)': ENCR.AES_CBC,
  aes: ENCR.AES_CBC,
  'rfc3686(ctr(aes))': ENCR.AES_CTR,
  'ecb(cipher_null)': ENCR.NULL,
  cipher_null: ENCR.NULL,
}
const CHECKS: Readonly<Record<string, number>> = {
  'hmac(sha1)/12': INTEG.HMAC_SHA1_96,
  'sha1/12': INTEG.HMAC_SHA1_96,
  'hmac(sha256)/16': INTEG.HMAC_SHA2_256_128,
  'hmac(sha384)/24': INTEG.HMAC_SHA2_384_192,
  'hmac(sha512)/32': INTEG.HMAC_SHA2_512_256,
  'xcbc(aes)/12': INTEG.AES_XCBC_96,
  'cmac(aes)/12': INTEG.AES_CMAC_96,
}
/** Octets of the ICV where the message does not say: the kernel's own default. */
const DEFAULT_ICV: Readonly<Record<string, number>> = {
  'hmac(sha1)': 12,
  sha1: 12,
  'hmac(sha384)': 24,
  'hmac(sha512)': 32,
  'xcbc(aes)': 12,
  'cmac(aes)': 12,
}

/** An XFRM_MSG_NEWSA or UPDSA: struct xfrm_usersa_info and attributes. @throws Error for an algorithm that it does not know */
export function xfrmSa(m: Uint8Array): RecordedSa | undefined {
  const view = new DataView(m.buffer, m.byteOffset, m.length)
  const type = view.getUint16(4, true)
  if (type !== XFRM.NEWSA && type !== XFRM.UPDSA) return undefined
  const info = NETLINK_HEAD
  const found = attributes(m, info + INFO.LENGTH)
  const family = view.getUint16(info + INFO.FAMILY, true)
  const aead = algorithm(found.get(XFRM.ALG_AEAD), true)
  const cipher = algorithm(found.get(XFRM.ALG_CRYPT), false)
  const check = algorithm(found.get(XFRM.ALG_AUTH_TRUNC), true) ?? algorithm(found.get(XFRM.ALG_AUTH), false)
  const encap = found.get(XFRM.ENCAP)
  const esn = found.get(XFRM.REPLAY_ESN_VAL)
  return {
    protocol: protocolOf(m[info + INFO.PROTOCOL]),
    spi: view.getUint32(info + INFO.SPI),
    mode: m[info + INFO.MODE] === 1 ? 'tunnel' : 'transport',
    source: addressAt(m, info + INFO.SOURCE, family),
    destination: addressAt(m, info + INFO.DESTINATION, family),
    ...(encap && { udp: { sourcePort: u16(encap, 2), destinationPort: u16(encap, 4) } }),
    encryption: aead ? known(AEAD, `${aead.name}/${aead.icv}`) : cipher ? known(CIPHERS, cipher.name) : 0,
    integrity: check ? known(CHECKS, `${check.name}/${check.icv}`) : 0,
    encryptionKey: (aead ?? cipher)?.key ?? '',
    integrityKey: check?.key ?? '',
    icv: (aead ?? check)?.icv ?? 0,
    esn: (m[info + INFO.FLAGS]! & XFRM.STATE_ESN) !== 0,
    replayWindow: esn
      ? new DataView(esn.buffer, esn.byteOffset).getUint32(20, true)
      : m[info + INFO.REPLAY_WINDOW]!,
    ...selectorsAt(m, info + INFO.SELECTOR),
  }
}

function attributes(m: Uint8Array, from: number): Map<number, Uint8Array> {
  const view = new DataView(m.buffer, m.byteOffset, m.length)
  const found = new Map<number, Uint8Array>()
  for (let at = from; at + 4 <= m.length; ) {
    const length = view.getUint16(at, true)
    found.set(view.getUint16(at + 2, true), m.subarray(at + 4, at + length))
    if (length < 4) break
    at += (length + 3) & ~3
  }
  return found
}

/** struct xfrm_algo, or xfrm_algo_auth and xfrm_algo_aead, which say how long the ICV is, between the key's length and the key. */
function algorithm(a: Uint8Array | undefined, withIcv: boolean) {
  if (!a) return undefined
  const view = new DataView(a.buffer, a.byteOffset)
  const name = Buffer.from(a.subarray(0, ALGORITHM_NAME)).toString('latin1').replace(/\0.*/s, '')
  const key = ALGORITHM_NAME + (withIcv ? 8 : 4)
  const octets = view.getUint32(ALGORITHM_NAME, true) / 8
  const icv = withIcv ? view.getUint32(ALGORITHM_NAME + 4, true) / 8 : DEFAULT_ICV[name]
  return { name, icv, key: hex(a.subarray(key, key + octets)) }
}

/** Absent where the SA may carry anything. */
function selectorsAt(m: Uint8Array, at: number): Pick<RecordedSa, 'selectors'> {
  const family = new DataView(m.buffer, m.byteOffset).getUint16(at + SELECTOR.FAMILY, true)
  const [to, from] = [m[at + SELECTOR.DESTINATION_PREFIX]!, m[at + SELECTOR.SOURCE_PREFIX]!]
  if (to === 0 && from === 0) return {}
  return {
    selectors: [
      `${addressAt(m, at + SELECTOR.SOURCE, family)}/${from}`,
      `${addressAt(m, at + SELECTOR.DESTINATION, family)}/${to}`,
    ],
  }
}

export const AF_INET6 = 10

export const addressAt = (m: Uint8Array, at: number, family: number): string =>
  formatIp(new Uint8Array(m.subarray(at, at + (family === AF_INET6 ? 16 : 4))))

const u16 = (m: Uint8Array, at: number): number => (m[at]! << 8) | m[at + 1]!

export function known<K extends string | number>(table: Readonly<Record<K, number>>, name: K): number {
  const id = table[name]
  if (id === undefined) throw new Error(`an algorithm that this test does not know: ${name}`)
  return id
}

const ESP = 50
const AH = 51

function protocolOf(number: number | undefined): 'esp' | 'ah' {
  if (number === ESP) return 'esp'
  if (number === AH) return 'ah'
  throw new Error(`neither ESP nor AH: ${number}`)
}
