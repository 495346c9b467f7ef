import type { Slab } from '../bytes/slab.js'
import { ENCR, encryptionInfo, GMAC_SALT_LEN, INTEG, integrityInfo } from '../crypto/algorithms.js'
import type { CryptoEngine, Mac } from '../crypto/types.js'
import { CryptoError, InternalError } from '../errors.js'
import type { SaSpec } from '../sadb/sa-spec.js'
import { type AhTransform, GmacAhTransform, MacAhTransform } from './ah-transform.js'
import { AeadTransform, GmacTransform } from './esp-aead.js'
import { CbcTransform, CtrTransform, EspMac, NullTransform } from './esp-ciphers.js'
import type { EspTransform } from './esp-transform.js'

/**
 * Binds the algorithms of a checked ESP SA to its keys, each by the first engine that has it.
 * @param ivSalt two u32 that begin the block an IV is made of (CBC only)
 * @throws CryptoError when no engine has an algorithm
 */
export function createEspTransform(
  spec: SaSpec,
  engines: readonly CryptoEngine[],
  slab: Slab,
  ivSalt: readonly [number, number],
): EspTransform {
  const info = encryptionInfo(spec.encryption?.id ?? ENCR.NULL)
  if (!info) throw new InternalError(`no encryption algorithm ${spec.encryption?.id}`)
  const key = spec.encryption?.key ?? new Uint8Array(0)
  const cipherKey = key.subarray(0, key.length - info.saltLength)
  const salt = key.subarray(cipherKey.length)
  switch (info.kind) {
    case 'aead': {
      const aead = first(engines, info.name, (e) => e.aead(info.id, cipherKey, slab))
      return new AeadTransform(slab, aead, salt, spec.esn)
    }
    case 'gmac': {
      const aead = first(engines, info.name, (e) => e.aead(ENCR.AES_GCM_16, cipherKey, slab))
      return new GmacTransform(slab, aead, salt, spec.esn)
    }
    case 'ctr': {
      const mac = new EspMac(slab, createMac(spec, engines, slab), spec.esn)
      const cipher = first(engines, info.name, (e) => e.cipher(info.id, cipherKey, slab))
      return new CtrTransform(slab, cipher, mac, salt)
    }
    case 'cbc': {
      const mac = new EspMac(slab, createMac(spec, engines, slab), spec.esn)
      const cipher = first(engines, info.name, (e) => e.cipher(info.id, cipherKey, slab))
      return new CbcTransform(slab, cipher, mac, ivSalt)
    }
    case 'null':
      return new NullTransform(slab, new EspMac(slab, createMac(spec, engines, slab), spec.esn))
  }
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
