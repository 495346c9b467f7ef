import type { Slab } from '../bytes/slab.js'
import { ENCR, encryptionInfo, GMAC_SALT_LEN, INTEG, integrityInfo } from '../crypto/algorithms.js'
import type { CryptoEngine, Mac } from '../crypto/types.js'
import { CryptoError, InternalError } from '../errors.js'
import type { SaSpec } from '../sadb/sa-spec.js'
import { type AhTransform, GmacAhTransform, MacAhTransform } from './ah-transform.js'
import type { Burst } from './burst.js'
import { AeadInput, AeadTransform, GmacTransform } from './esp-aead.js'
import { BurstAead, BurstCipherMac } from './esp-burst.js'
import { CipherMacTransform, EspMac, NullTransform } from './esp-ciphers.js'
import { CbcIv, CtrIv, type EspIv, NO_IV } from './esp-iv.js'
import type { EspTransform } from './esp-transform.js'

const CCM: ReadonlySet<number> = new Set([ENCR.AES_CCM_8, ENCR.AES_CCM_12, ENCR.AES_CCM_16])

/** What the algorithms of an SA are made of. */
export interface TransformParts {
  /** In order of preference: each algorithm is taken from the first that has it. */
  readonly engines: readonly CryptoEngine[]
  readonly slab: Slab
  /** Two u32 that begin the block an IV is made of (CBC only). */
  readonly ivSalt: readonly [number, number]
  /** Where there is one, and the algorithms are faster in it, packets are sealed when it runs. */
  readonly burst?: Burst | undefined
}

/**
 * Binds the algorithms of a checked ESP SA to its keys, each by the first engine that has it.
 * @throws CryptoError when no engine has an algorithm
 */
export function createEspTransform(spec: SaSpec, parts: TransformParts): EspTransform {
  const { engines, slab } = parts
  const info = encryptionInfo(spec.encryption?.id ?? ENCR.NULL)
  if (!info) throw new InternalError(`no encryption algorithm ${spec.encryption?.id}`)
  const key = spec.encryption?.key ?? new Uint8Array(0)
  const cipherKey = key.subarray(0, key.length - info.saltLength)
  const salt = key.subarray(cipherKey.length)
  switch (info.kind) {
    case 'aead': {
      const input = new AeadInput(slab, salt, spec.esn)
      const aead = first(engines, info.name, (e) => e.aead(info.id, cipherKey, slab))
      const single = new AeadTransform(aead, input)
      // GCM and ChaCha20 gain less from a burst than it costs to bring the text to its place first.
      const burst = CCM.has(info.id) ? parts.burst : undefined
      const queued = burst?.queue.aead(info.id, cipherKey)
      return burst && queued ? new BurstAead(slab, burst, single, queued, input) : single
    }
    case 'gmac': {
      const aead = first(engines, info.name, (e) => e.aead(ENCR.AES_GCM_16, cipherKey, slab))
      return new GmacTransform(slab, aead, salt, spec.esn)
    }
    case 'ctr': {
      const mac = new EspMac(slab, createMac(spec, engines, slab), spec.esn)
      const cipher = first(engines, info.name, (e) => e.cipher(info.id, cipherKey, slab))
      const iv = new CtrIv(slab, salt)
      return inBursts(spec, cipherKey, parts, new CipherMacTransform(iv, cipher, mac, 4), iv)
    }
    case 'cbc': {
      const mac = new EspMac(slab, createMac(spec, engines, slab), spec.esn)
      const cipher = first(engines, info.name, (e) => e.cipher(info.id, cipherKey, slab))
      const iv = new CbcIv(slab, cipher, parts.ivSalt)
      return inBursts(spec, cipherKey, parts, new CipherMacTransform(iv, cipher, mac, 16), iv)
    }
    case 'null': {
      const mac = new EspMac(slab, createMac(spec, engines, slab), spec.esn)
      return inBursts(spec, cipherKey, parts, new NullTransform(slab, mac), NO_IV)
    }
  }
}

/** The same transform in bursts, where that can be. */
function inBursts(
  spec: SaSpec,
  cipherKey: Uint8Array,
  { slab, burst }: TransformParts,
  single: EspTransform,
  iv: EspIv,
): EspTransform {
  const { id = INTEG.NONE, key = new Uint8Array(0) } = spec.integrity ?? {}
  const encryption = spec.encryption?.id ?? ENCR.NULL
  const queued = burst?.queue.cipherMac(encryption, cipherKey, id, key, spec.esn ? 4 : 0)
  return burst && queued ? new BurstCipherMac(slab, burst, single, queued, iv) : single
}

/** Binds the algorithm of a checked AH SA to its key. @throws CryptoError when no engine has it */
export function createAhTransform(spec: SaSpec, engines: readonly CryptoEngine[], slab: Slab): AhTransform {
  const { id = INTEG.NONE, key = new Uint8Array(0) } = spec.integrity ?? {}
  const info = integrityInfo(id)
  if (info?.kind !== 'gmac') return new MacAhTransform(slab, createMac(spec, engines, slab), spec.esn)
  const length = key.length - GMAC_SALT_LEN
  const aead = first(engines, info.name, (e) => e.aead(ENCR.AES_GCM_16, key.subarray(0, length), slab))
  return new GmacAhTransform(slab, aead, key.subarray(length), spec.esn)
}

/** The integrity algorithm of a checked SA. @throws CryptoError when no engine has it */
function createMac(spec: SaSpec, engines: readonly CryptoEngine[], slab: Slab): Mac {
  const { id = INTEG.NONE, key = new Uint8Array(0) } = spec.integrity ?? {}
  const name = integrityInfo(id)?.name ?? `integrity algorithm ${id}`
  return first(engines, name, (e) => e.mac(id, key, slab))
}

function first<T>(
  engines: readonly CryptoEngine[],
  what: string,
  make: (e: CryptoEngine) => T | undefined,
): T {
  for (const engine of engines) {
    const made = make(engine)
    if (made) return made
  }
  throw new CryptoError(
    `no crypto engine has ${what}; there are: ${engines.map((e) => e.name).join(', ') || 'none'}`,
  )
}
