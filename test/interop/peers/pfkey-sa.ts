import { hex } from '../../../src/bytes/octets.js'
import { ENCR, INTEG } from '../../../src/crypto/algorithms.js'
import type { RecordedSa } from './recorded-sas.js'
import { AF_INET6, addressAt, known } from './xfrm-sa.js'

// RFC 2367 and linux/pfkeyv2.h. It says nothing of the length of an ICV and of extended sequence numbers.

const PF_KEY = {
  UPDATE: 2,
  ADD: 3,
  SA: 1,
  ADDRESS_SRC: 5,
  ADDRESS_DST: 6,
  KEY_AUTH: 8,
  KEY_ENCRYPT: 9,
  SA2: 19,
  NAT_T_TYPE: 20,
  NAT_T_SPORT: 21,
  NAT_T_DPORT: 22,
}
const SATYPE_AH = 2

const CIPHERS: Readonly<Record<number, number>> = {
  0: 0,
  11: ENCR.NULL,
  12: ENCR.AES_CBC,
  13: ENCR.AES_CTR,
}
const CHECKS: Readonly<Record<number, number>> = {
  0: 0,
  3: INTEG.HMAC_SHA1_96,
  5: INTEG.HMAC_SHA2_256_128,
  6: INTEG.HMAC_SHA2_384_192,
  7: INTEG.HMAC_SHA2_512_256,
}

/** An SADB_ADD or UPDATE: a head of 16 octets and extensions. @throws Error for an algorithm that it does not know */
export function pfKeySa(m: Uint8Array): RecordedSa | undefined {
  if (m[1] !== PF_KEY.UPDATE && m[1] !== PF_KEY.ADD) return undefined
  const view = new DataView(m.buffer, m.byteOffset, m.length)
  const found = new Map<number, number>()
  for (let at = 16; at + 8 <= m.length; ) {
    const length = view.getUint16(at, true) * 8
    if (length === 0) break
    found.set(view.getUint16(at + 2, true), at)
    at += length
  }
  const key = (extension: number): string => {
    const at = found.get(extension)
    return at === undefined ? '' : hex(m.subarray(at + 8, at + 8 + view.getUint16(at + 4, true) / 8))
  }
  /** struct sadb_address: 8 octets and a struct sockaddr_in or sockaddr_in6. */
  const address = (extension: number): string => {
    const at = found.get(extension)
    if (at === undefined) throw new Error('an SA without addresses')
    const family = view.getUint16(at + 8, true)
    return addressAt(m, at + (family === AF_INET6 ? 16 : 12), family)
  }
  const port = (extension: number): number => view.getUint16((found.get(extension) ?? 0) + 4)
  const sa = found.get(PF_KEY.SA)
  if (sa === undefined) return undefined
  const mode = m[(found.get(PF_KEY.SA2) ?? 0) + 4]
  return {
    protocol: m[3] === SATYPE_AH ? 'ah' : 'esp',
    spi: view.getUint32(sa + 4),
    mode: mode === 2 ? 'tunnel' : 'transport',
    source: address(PF_KEY.ADDRESS_SRC),
    destination: address(PF_KEY.ADDRESS_DST),
    ...(found.has(PF_KEY.NAT_T_TYPE) && {
      udp: { sourcePort: port(PF_KEY.NAT_T_SPORT), destinationPort: port(PF_KEY.NAT_T_DPORT) },
    }),
    encryption: known(CIPHERS, m[sa + 11]!),
    integrity: known(CHECKS, m[sa + 10]!),
    encryptionKey: key(PF_KEY.KEY_ENCRYPT),
    integrityKey: key(PF_KEY.KEY_AUTH),
    replayWindow: m[sa + 8]!,
  }
}
