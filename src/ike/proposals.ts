import { ENCR, encryptionInfo, hasOwnIntegrity, INTEG, integrityInfo, KE, PRF } from '../crypto/algorithms.js'
import { ConfigError, InternalError } from '../errors.js'
import type { SaProtocol } from '../sadb/sa-spec.js'

// Proposals by IANA IKEv2 transform ids, written as strongSwan writes them: "aes128-sha256-x25519", "aes128gcm16".

export interface CipherChoice {
  /** IANA ENCR id. */
  readonly id: number
  /** Bits; 0 where the algorithm has no Key Length attribute. */
  readonly keyBits: number
}

/** One way to protect the IKE SA. */
export interface IkeProposal {
  readonly encryption: CipherChoice
  /** IANA INTEG id, 0 with an AEAD. */
  readonly integrity: number
  /** IANA PRF id. In IKEv1 it also names the hash. */
  readonly prf: number
  /** IANA key exchange (Diffie-Hellman group) id. */
  readonly group: number
  /** A second key exchange (RFC 9370), IKEv2 only. */
  readonly additional?: number
}

/** One way to protect a CHILD_SA. */
export interface ChildProposal {
  readonly protocol: SaProtocol
  /** Absent for AH. */
  readonly encryption?: CipherChoice
  /** IANA INTEG id; 0 with an AEAD. */
  readonly integrity: number
  /** Group for PFS; 0 = none. */
  readonly group: number
  /** A second key exchange for PFS (RFC 9370), IKEv2 only. */
  readonly additional?: number
  /** Extended sequence numbers. */
  readonly esn: boolean
  /** With `esn`: 32-bit numbers are accepted too, if the peer cannot do better. */
  readonly esnOptional?: boolean
}

type Kind = 'encryption' | 'integrity' | 'prf' | 'group' | 'additional' | 'esn'
interface Keyword {
  readonly kind: Kind
  readonly id: number
  /** Cipher key length in bits, 0 where none is said. */
  readonly bits: number
}

const keywords = new Map<string, Keyword>()
/** What in AH means an integrity algorithm, and in ESP a cipher that encrypts nothing. */
const ahKeywords = new Map<string, Keyword>()
/** Spellings that are understood but not written. */
const aliases = new Map<string, string>([
  ['aes', 'aes128'],
  ['aes128gcm', 'aes128gcm16'],
  ['aes192gcm', 'aes192gcm16'],
  ['aes256gcm', 'aes256gcm16'],
  ['aes128gcm128', 'aes128gcm16'],
  ['aes192gcm128', 'aes192gcm16'],
  ['aes256gcm128', 'aes256gcm16'],
  ...[128, 192, 256].flatMap((bits) =>
    [8, 12, 16].map((octets) => [`aes${bits}ccm${octets * 8}`, `aes${bits}ccm${octets}`] as const),
  ),
  ['chacha20poly1305compat', 'chacha20poly1305'],
  ['sha', 'sha1'],
  ['sha2_256', 'sha256'],
  ['sha2_384', 'sha384'],
  ['sha2_512', 'sha512'],
  ['curve25519', 'x25519'],
])
const add = (word: string, kind: Kind, id: number, bits = 0): void => {
  keywords.set(word, { kind, id, bits })
}
for (const bits of [128, 192, 256]) {
  add(`aes${bits}`, 'encryption', ENCR.AES_CBC, bits)
  add(`aes${bits}gcm16`, 'encryption', ENCR.AES_GCM_16, bits)
  add(`aes${bits}ccm8`, 'encryption', ENCR.AES_CCM_8, bits)
  add(`aes${bits}ccm12`, 'encryption', ENCR.AES_CCM_12, bits)
  add(`aes${bits}ccm16`, 'encryption', ENCR.AES_CCM_16, bits)
  add(`aes${bits}ctr`, 'encryption', ENCR.AES_CTR, bits)
  add(`aes${bits}gmac`, 'encryption', ENCR.NULL_AUTH_AES_GMAC, bits)
}
const gmacs = [
  ['aes128gmac', INTEG.AES_128_GMAC],
  ['aes192gmac', INTEG.AES_192_GMAC],
  ['aes256gmac', INTEG.AES_256_GMAC],
] as const
for (const [word, id] of gmacs) ahKeywords.set(word, { kind: 'integrity', id, bits: 0 })
add('chacha20poly1305', 'encryption', ENCR.CHACHA20_POLY1305)
add('null', 'encryption', ENCR.NULL)
const hashes = [
  ['sha1', INTEG.HMAC_SHA1_96, PRF.HMAC_SHA1],
  ['sha256', INTEG.HMAC_SHA2_256_128, PRF.HMAC_SHA2_256],
  ['sha384', INTEG.HMAC_SHA2_384_192, PRF.HMAC_SHA2_384],
  ['sha512', INTEG.HMAC_SHA2_512_256, PRF.HMAC_SHA2_512],
  ['aesxcbc', INTEG.AES_XCBC_96, PRF.AES128_XCBC],
  ['aescmac', INTEG.AES_CMAC_96, PRF.AES128_CMAC],
] as const
for (const [word, integ, prf] of hashes) {
  add(word, 'integrity', integ)
  add(`prf${word}`, 'prf', prf)
}
add('modp2048', 'group', KE.MODP2048)
add('modp3072', 'group', KE.MODP3072)
add('modp4096', 'group', KE.MODP4096)
add('ecp256', 'group', KE.ECP256)
add('ecp384', 'group', KE.ECP384)
add('ecp521', 'group', KE.ECP521)
add('x25519', 'group', KE.CURVE25519)
add('ke1_mlkem768', 'additional', KE.ML_KEM_768)
add('esn', 'esn', 1)
add('noesn', 'esn', 0)

const wordOf = (kind: Kind, id: number, bits = 0): string | undefined =>
  [...ahKeywords, ...keywords].find(([, k]) => k.kind === kind && k.id === id && k.bits === bits)?.[0]

/** Where a proposal belongs decides which words it may have, and what they mean. */
type Place = 'ike' | 'esp' | 'ah'
const PLACE_NAMES = { ike: 'an IKE proposal', esp: 'an ESP proposal', ah: 'an AH proposal' } as const
const PLACE_KINDS: Readonly<Record<Place, readonly Kind[]>> = {
  ike: ['encryption', 'integrity', 'prf', 'group', 'additional'],
  esp: ['encryption', 'integrity', 'group', 'additional', 'esn'],
  ah: ['integrity', 'group', 'additional', 'esn'],
}
const meaningOf = (word: string, place: Place): Keyword | undefined =>
  (place === 'ah' ? ahKeywords.get(word) : undefined) ?? keywords.get(word)
const wordsOf = (place: Place, ...kinds: readonly Kind[]): string =>
  [...(place === 'ah' ? ahKeywords : []), ...keywords]
    .filter(([, k]) => kinds.includes(k.kind))
    .map(([word]) => word)
    .join(', ')

/** The PRF with the same hash, or the same CBC-MAC, as an integrity algorithm. */
const prfOf = (integrity: number): number | undefined => hashes.find((h) => h[1] === integrity)?.[2]

/** Splits, refusing unknown words, words of other kinds and two words of one kind. */
function split(text: string, place: Place): Map<Kind, Keyword[]> {
  const kinds = PLACE_KINDS[place]
  const found = new Map<Kind, Keyword[]>()
  for (const raw of text.trim().toLowerCase().split('-')) {
    const word = aliases.get(raw) ?? raw
    const keyword = meaningOf(word, place)
    if (keyword === undefined)
      throw new ConfigError(
        `"${text}": no algorithm is called "${raw}"; there are ${wordsOf(place, ...kinds)}`,
      )
    if (!kinds.includes(keyword.kind))
      throw new ConfigError(
        `"${text}": "${raw}" has no place in ${PLACE_NAMES[place]}; it is made of ${wordsOf(place, ...kinds)}`,
      )
    const same = found.get(keyword.kind) ?? []
    if (same.length > 0 && !(keyword.kind === 'esn' && same.every((k) => k.id !== keyword.id)))
      throw new ConfigError(
        `"${text}": "${raw}" is the second ${keyword.kind} algorithm; write one proposal for each combination`,
      )
    found.set(keyword.kind, [...same, keyword])
  }
  return found
}

const cipherOf = (k: Keyword): CipherChoice => ({ id: k.id, keyBits: k.bits })

/**
 * Reads "aes128-sha256-modp2048", "aes256gcm16-prfsha384-ecp384", ... In IKE SAs an AEAD needs a PRF to be named.
 * @throws ConfigError that says what is wrong and what is possible
 */
export function parseIkeProposal(text: string): IkeProposal {
  const parts = split(text, 'ike')
  const encryption = parts.get('encryption')?.[0]
  const integrity = parts.get('integrity')?.[0]
  const group = parts.get('group')?.[0]
  if (encryption === undefined)
    throw new ConfigError(`"${text}" names no encryption; expected one of ${wordsOf('ike', 'encryption')}`)
  if (encryption.id === ENCR.NULL || encryption.id === ENCR.NULL_AUTH_AES_GMAC)
    throw new ConfigError(`"${text}": an IKE SA is always encrypted`)
  if (group === undefined)
    throw new ConfigError(`"${text}" names no key exchange; expected one of ${wordsOf('ike', 'group')}`)
  const prf = parts.get('prf')?.[0]?.id
  const second = parts.get('additional')?.[0]?.id
  const exchanges = { group: group.id, ...(second !== undefined && { additional: second }) }
  if (hasOwnIntegrity(encryption.id)) {
    if (integrity !== undefined)
      throw new ConfigError(`"${text}": an authenticated cipher has no integrity algorithm beside it`)
    if (prf === undefined)
      throw new ConfigError(
        `"${text}" names no PRF; with an authenticated cipher expected one of ${wordsOf('ike', 'prf')}`,
      )
    return { encryption: cipherOf(encryption), integrity: INTEG.NONE, prf, ...exchanges }
  }
  if (integrity === undefined)
    throw new ConfigError(
      `"${text}" names no integrity algorithm; expected one of ${wordsOf('ike', 'integrity')}`,
    )
  const ownPrf = prf ?? prfOf(integrity.id)
  if (ownPrf === undefined) throw new InternalError(`no PRF belongs to integrity algorithm ${integrity.id}`)
  return { encryption: cipherOf(encryption), integrity: integrity.id, prf: ownPrf, ...exchanges }
}

/**
 * Reads "aes128gcm16", "aes256-sha256-modp2048-noesn" (ESP), "sha256", "aes128gmac" (AH), ... A group asks for PFS. Without `esn` or
 * `noesn` extended sequence numbers are preferred and 32-bit ones accepted; IKEv1 offers them then to another sallyport alone.
 * @throws ConfigError that says what is wrong and what is possible
 */
export function parseChildProposal(protocol: SaProtocol, text: string): ChildProposal {
  const parts = split(text, protocol)
  const encryption = parts.get('encryption')?.[0]
  const integrity = parts.get('integrity')?.[0]
  const numbers = parts.get('esn')?.map((k) => k.id)
  const group = parts.get('group')?.[0]?.id ?? 0
  const additional = parts.get('additional')?.[0]?.id
  if (additional !== undefined && group === 0)
    throw new ConfigError(
      `"${text}": a second key exchange needs a first one; expected one of ${wordsOf(protocol, 'group')} beside it`,
    )
  const common = {
    protocol,
    integrity: integrity?.id ?? INTEG.NONE,
    group,
    ...(additional !== undefined && { additional }),
    esn: numbers?.includes(1) ?? true,
    ...((numbers?.length ?? 2) === 2 && { esnOptional: true }),
  }
  if (protocol === 'esp' && encryption === undefined)
    throw new ConfigError(`"${text}" names no encryption; expected one of ${wordsOf(protocol, 'encryption')}`)
  const aead = encryption !== undefined && hasOwnIntegrity(encryption.id)
  if (aead && integrity !== undefined)
    throw new ConfigError(`"${text}": an authenticated cipher has no integrity algorithm beside it`)
  if (!aead && integrity === undefined)
    throw new ConfigError(
      `"${text}" names no integrity algorithm (RFC 8221 section 4 forbids ${protocol.toUpperCase()} without); expected one of ${wordsOf(protocol, 'integrity')}`,
    )
  return encryption === undefined ? common : { ...common, encryption: cipherOf(encryption) }
}

/** Keyword of a cipher, or "encryption 77". */
export const formatCipher = (c: CipherChoice): string =>
  wordOf('encryption', c.id, c.keyBits) ??
  `${encryptionInfo(c.id)?.name ?? `encryption ${c.id}`}/${c.keyBits}`
export const formatIntegrity = (id: number): string =>
  wordOf('integrity', id) ?? integrityInfo(id)?.name ?? `integrity ${id}`
export const formatPrf = (id: number): string => wordOf('prf', id) ?? `prf ${id}`
/** Keyword of a group, "none" for 0. */
export const formatGroup = (id: number): string =>
  id === 0 ? 'none' : (wordOf('group', id) ?? formatAdditional(id) ?? `group ${id}`)

const formatAdditional = (id: number): string | undefined => wordOf('additional', id)?.replace(/^ke1_/, '')

/** What parseIkeProposal reads. */
export function formatIkeProposal(p: IkeProposal): string {
  const words = [formatCipher(p.encryption)]
  if (p.integrity !== INTEG.NONE) words.push(formatIntegrity(p.integrity))
  if (prfOf(p.integrity) !== p.prf) words.push(formatPrf(p.prf))
  words.push(formatGroup(p.group))
  if (p.additional !== undefined) words.push(`ke1_${formatGroup(p.additional)}`)
  return words.join('-')
}

/** What parseChildProposal reads. */
export function formatChildProposal(p: ChildProposal): string {
  const words: string[] = []
  if (p.encryption !== undefined) words.push(formatCipher(p.encryption))
  if (p.integrity !== INTEG.NONE) words.push(formatIntegrity(p.integrity))
  if (p.group !== 0) words.push(formatGroup(p.group))
  if (p.additional !== undefined) words.push(`ke1_${formatGroup(p.additional)}`)
  if (p.esnOptional !== true) words.push(p.esn ? 'esn' : 'noesn')
  return words.join('-')
}
