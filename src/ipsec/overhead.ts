import { encryptionInfo, integrityInfo } from '../crypto/algorithms.js'
import { InternalError } from '../errors.js'
import type { SaMode, SaProtocol } from '../sadb/sa-spec.js'

/** What decides how much an SA adds to a packet. */
export interface EncapsulationShape {
  readonly protocol: SaProtocol
  readonly mode: SaMode
  /** IANA ENCR id; ignored for AH. */
  readonly encryption: number
  /** IANA INTEG id; 0 with an AEAD. */
  readonly integrity: number
  /** RFC 3948 encapsulation. */
  readonly udp: boolean
  /** Octets of an address of the outer header: 4 or 16. */
  readonly addressLength: number
}

/**
 * Largest inner packet, IP header included, that fits one outer packet of `mtu` octets after protection: what the
 * TUN's MTU may be (RFC 4303 section 2.4 for the padding, RFC 4302 section 3.3.3.2.1 for AH's).
 */
export function innerMtu(mtu: number, s: EncapsulationShape): number {
  const ipHeader = s.addressLength === 16 ? 40 : 20
  // In transport mode the inner packet's own IP header is the outer one.
  const kept = s.mode === 'transport' ? ipHeader : 0
  const room = mtu - ipHeader - (s.udp ? 8 : 0)
  const integrity = s.integrity === 0 ? 0 : icvOf(s.integrity)
  if (s.protocol === 'ah') {
    const align = ipHeader === 40 ? 8 : 4
    return room - Math.ceil((12 + integrity) / align) * align + kept
  }
  const cipher = encryptionInfo(s.encryption)
  if (!cipher) throw new InternalError(`no encryption algorithm ${s.encryption}`)
  const align = Math.max(4, cipher.blockLength)
  const body = room - 8 - cipher.ivLength - cipher.icvLength - integrity
  return Math.floor(body / align) * align - 2 + kept
}

function icvOf(id: number): number {
  const info = integrityInfo(id)
  if (!info) throw new InternalError(`no integrity algorithm ${id}`)
  return info.icvLength
}
