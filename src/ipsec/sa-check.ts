import { encryptionInfo, hasOwnIntegrity, INTEG, integrityInfo } from '../crypto/algorithms.js'
import type { SaLifetime, SaSpec } from '../sadb/sa-spec.js'
import { REPLAY_WINDOW_MAX } from './replay-window.js'
import { SELECTORS_MAX } from './selector-set.js'

/** SPIs 1 to 255 are reserved by IANA, 0 is never sent (RFC 4303 section 2.1). */
const SPI_MIN = 256

/**
 * Says what is wrong with an SA, or undefined when it can be installed. No key is named, only its length.
 * RFC 8221 section 4: no encryption without integrity; RFC 4302: AH is integrity alone.
 */
export function saFault(s: SaSpec): string | undefined {
  if (!Number.isInteger(s.spi) || s.spi < SPI_MIN || s.spi > 0xffff_ffff)
    return `SPI ${s.spi}: it must be from ${SPI_MIN} to 4294967295 (RFC 4303 section 2.1)`
  return (
    addressFault(s) ??
    (s.protocol === 'ah' ? ahFault(s) : espFault(s)) ??
    replayFault(s) ??
    lifetimeFault(s.lifetime)
  )
}

function addressFault(s: SaSpec): string | undefined {
  const { length } = s.local
  if ((length !== 4 && length !== 16) || s.remote.length !== length)
    return 'local and remote address must both be IPv4 or both IPv6'
  if (s.udp && !(isPort(s.udp.localPort) && isPort(s.udp.remotePort)))
    return `UDP ports ${s.udp.localPort} and ${s.udp.remotePort}: both must be from 1 to 65535`
  for (const [name, list] of [
    ['local', s.localTs],
    ['remote', s.remoteTs],
  ] as const) {
    if (list.length === 0 || list.length > SELECTORS_MAX)
      return `${list.length} ${name} traffic selectors: there must be from 1 to ${SELECTORS_MAX}`
    if (
      list.some(
        (ts) => ts.start.length !== ts.end.length || (ts.start.length !== 4 && ts.start.length !== 16),
      )
    )
      return `a ${name} traffic selector mixes address families`
    // In transport mode the SA's addresses are those of the packets.
    if (s.mode === 'transport' && !list.some((ts) => ts.start.length === length))
      return `transport mode between IPv${length === 4 ? 4 : 6} addresses, but no ${name} traffic selector of that family`
  }
  return undefined
}

const isPort = (n: number): boolean => Number.isInteger(n) && n > 0 && n <= 0xffff

function ahFault(s: SaSpec): string | undefined {
  if (s.encryption) return 'AH does not encrypt: an encryption algorithm was given'
  if (s.udp)
    return 'AH cannot be carried in UDP: it covers the addresses that a NAT would change (RFC 3948 section 1)'
  return integrityFault(s, 'AH')
}

function espFault(s: SaSpec): string | undefined {
  if (!s.encryption) return 'ESP without an encryption algorithm; NULL has to be said'
  const info = encryptionInfo(s.encryption.id)
  if (!info) return `encryption algorithm ${s.encryption.id} is not known`
  const cipherKey = s.encryption.key.length - info.saltLength
  if (!info.keyLengths.includes(cipherKey)) {
    const allowed = info.keyLengths.map((n) => n + info.saltLength).join(', ')
    const salt = info.saltLength === 0 ? '' : `, the last ${info.saltLength} of them the salt`
    return `${info.name} key of ${s.encryption.key.length} octets: it must have ${allowed}${salt}`
  }
  if (hasOwnIntegrity(info.id)) {
    if (s.integrity && s.integrity.id !== INTEG.NONE)
      return `${info.name} has its own integrity: another algorithm was given (RFC 8221 section 4)`
    return undefined
  }
  return integrityFault(s, info.name)
}

function integrityFault(s: SaSpec, what: string): string | undefined {
  const id = s.integrity?.id ?? INTEG.NONE
  if (!s.integrity || id === INTEG.NONE)
    return `${what} without an integrity algorithm is refused (RFC 8221 section 4)`
  const info = integrityInfo(id)
  if (!info) return `integrity algorithm ${id} is not known`
  if (info.kind === 'gmac' && s.protocol !== 'ah')
    return `${info.name} is an algorithm of AH; ESP has NULL_AUTH_AES_GMAC in its place (RFC 4543)`
  if (s.integrity.key.length !== info.keyLength)
    return `${info.name} key of ${s.integrity.key.length} octets: it must have ${info.keyLength}`
  return undefined
}

function replayFault(s: SaSpec): string | undefined {
  if (s.direction === 'outbound') return undefined
  const n = s.replayWindow
  if (!Number.isInteger(n) || n < 0 || n % 32 !== 0 || n > REPLAY_WINDOW_MAX)
    return `a replay window of ${n} packets: it must be a multiple of 32 up to ${REPLAY_WINDOW_MAX}, or 0`
  if (n === 0 && s.esn) return 'extended sequence numbers need a replay window (RFC 4303 section 2.2.1)'
  return undefined
}

function lifetimeFault(l: SaLifetime): string | undefined {
  for (const [unit, soft, hard] of [
    ['seconds', l.softSeconds, l.hardSeconds],
    ['octets', l.softOctets, l.hardOctets],
    ['packets', l.softPackets, l.hardPackets],
  ] as const) {
    if ((soft !== undefined && !(soft > 0)) || (hard !== undefined && !(hard > 0)))
      return `a lifetime in ${unit} must be more than zero`
    if (soft !== undefined && hard !== undefined && soft > hard)
      return `the soft lifetime of ${soft} ${unit} is longer than the hard one of ${hard}`
  }
  return undefined
}
