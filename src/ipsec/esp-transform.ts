import type { Slab } from '../bytes/slab.js'
import { ENCR, encryptionInfo, INTEG } from '../crypto/algorithms.js'
import type { Aead, Cipher, CryptoEngine, Mac } from '../crypto/types.js'
import { CryptoError, InternalError } from '../errors.js'
import type { SaSpec } from '../sadb/sa-spec.js'
import { ESP_HEADER_LEN } from '../wire/esp.js'
import { AAD, ESN_TAIL, IV_BLOCK, ipsecScratch, NONCE, ZERO_BLOCK } from './scratch.js'

/**
 * The algorithms of one ESP SA, bound to its keys: how the IV is made, what is encrypted, what the ICV covers. Offsets are
 * into the SA's slab. The header (SPI and low half of the sequence number) stands at `esp` before either call; behind
 * it come the IV, the ciphertext and the ICV. Nothing is allocated and nothing is thrown.
 */
export interface EspTransform {
  /** Octets of IV on the wire. */
  readonly ivLength: number
  readonly icvLength: number
  /** Payload and trailer together are a multiple of this; a power of two, at least ESP_ALIGNMENT. */
  readonly alignment: number
  /**
   * Writes IV, ciphertext of the `length` octets at `src` (payload and trailer), and ICV. `src` is the ciphertext's own
   * place or does not overlap the packet.
   * @param high high half of the sequence number, 0 without ESN
   */
  seal(esp: number, src: number, length: number, high: number, low: number): void
  /**
   * Checks the ICV and decrypts the `length` octets of ciphertext to `dst`, which is their own place or does not overlap
   * the packet. On false what `dst` holds means nothing.
   */
  open(esp: number, length: number, dst: number, high: number): boolean
  /** Wipes the keys. */
  destroy(): void
}

/** AEAD with a salt and an 8-octet IV: AES-GCM-16 (RFC 4106), ChaCha20-Poly1305 (RFC 7634). */
class AeadTransform implements EspTransform {
  readonly ivLength = 8
  readonly icvLength = 16
  readonly alignment = 4
  private readonly slab: Slab
  private readonly aead: Aead
  private readonly esn: boolean
  private salt: number
  private readonly nonce: number
  private readonly aad: number

  constructor(slab: Slab, aead: Aead, salt: number, esn: boolean) {
    this.slab = slab
    this.aead = aead
    this.salt = salt
    this.esn = esn
    this.nonce = ipsecScratch(slab) + NONCE
    this.aad = ipsecScratch(slab) + AAD
  }

  /** The IV is the sequence number: unique under the key, which is all that these modes ask (RFC 4106 section 3.1). */
  seal(esp: number, src: number, length: number, high: number, low: number): void {
    const v = this.slab.view
    const iv = esp + ESP_HEADER_LEN
    v.setUint32(iv, high)
    v.setUint32(iv + 4, low)
    v.setUint32(this.nonce, this.salt)
    v.setUint32(this.nonce + 4, high)
    v.setUint32(this.nonce + 8, low)
    const dst = iv + 8
    if (this.esn) {
      this.extendedAad(esp, high)
      this.aead.seal(this.nonce, this.aad, 12, src, length, dst, dst + length)
    } else this.aead.seal(this.nonce, esp, ESP_HEADER_LEN, src, length, dst, dst + length)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    const v = this.slab.view
    const iv = esp + ESP_HEADER_LEN
    v.setUint32(this.nonce, this.salt)
    v.setUint32(this.nonce + 4, v.getUint32(iv))
    v.setUint32(this.nonce + 8, v.getUint32(iv + 4))
    const src = iv + 8
    if (!this.esn) return this.aead.open(this.nonce, esp, ESP_HEADER_LEN, src, length, dst, src + length)
    this.extendedAad(esp, high)
    return this.aead.open(this.nonce, this.aad, 12, src, length, dst, src + length)
  }

  /** RFC 4106 section 5: SPI and the whole 64-bit sequence number. */
  private extendedAad(esp: number, high: number): void {
    const v = this.slab.view
    v.setUint32(this.aad, v.getUint32(esp))
    v.setUint32(this.aad + 4, high)
    v.setUint32(this.aad + 8, v.getUint32(esp + 4))
  }

  destroy(): void {
    this.salt = 0
    this.aead.destroy()
  }
}

/** What the ICV of a separate integrity algorithm covers: from the SPI to the trailer, then the high half (RFC 4303 section 2.8). */
class EspMac {
  private readonly slab: Slab
  private readonly mac: Mac
  private readonly tail: number
  private readonly tailLength: number

  constructor(slab: Slab, mac: Mac, esn: boolean) {
    this.slab = slab
    this.mac = mac
    this.tail = ipsecScratch(slab) + ESN_TAIL
    this.tailLength = esn ? 4 : 0
  }

  get icvLength(): number {
    return this.mac.icvLength
  }

  compute(esp: number, length: number, high: number): void {
    this.slab.view.setUint32(this.tail, high)
    this.mac.compute(esp, length, this.tail, this.tailLength, esp + length)
  }

  verify(esp: number, length: number, high: number): boolean {
    this.slab.view.setUint32(this.tail, high)
    return this.mac.verify(esp, length, this.tail, this.tailLength, esp + length)
  }

  destroy(): void {
    this.mac.destroy()
  }
}

/** AES-CBC (RFC 3602) with a separate integrity algorithm, encrypt then MAC. */
class CbcTransform implements EspTransform {
  readonly ivLength = 16
  readonly icvLength: number
  readonly alignment = 16
  private readonly slab: Slab
  private readonly cipher: Cipher
  private readonly mac: EspMac
  private readonly zero: number
  private readonly block: number
  /** First half of the block that an IV is made of. */
  private readonly ivSalt: readonly [number, number]

  constructor(slab: Slab, cipher: Cipher, mac: EspMac, ivSalt: readonly [number, number]) {
    this.slab = slab
    this.cipher = cipher
    this.mac = mac
    this.icvLength = mac.icvLength
    this.zero = ipsecScratch(slab) + ZERO_BLOCK
    this.block = ipsecScratch(slab) + IV_BLOCK
    this.ivSalt = ivSalt
  }

  /**
   * CBC needs an IV that nobody can foretell (RFC 3602 section 3). It is made as NIST SP 800-38A appendix C allows, by encrypting a
   * block that never comes twice under the key: the SA's IV salt and the sequence number.
   */
  seal(esp: number, src: number, length: number, high: number, low: number): void {
    const v = this.slab.view
    v.setUint32(this.block, this.ivSalt[0])
    v.setUint32(this.block + 4, this.ivSalt[1])
    v.setUint32(this.block + 8, high)
    v.setUint32(this.block + 12, low)
    this.slab.bytes.fill(0, this.zero, this.zero + 16)
    const iv = esp + ESP_HEADER_LEN
    this.cipher.encrypt(this.zero, this.block, 16, iv)
    this.cipher.encrypt(iv, src, length, iv + 16)
    this.mac.compute(esp, ESP_HEADER_LEN + 16 + length, high)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    if (!this.mac.verify(esp, ESP_HEADER_LEN + 16 + length, high)) return false
    const iv = esp + ESP_HEADER_LEN
    this.cipher.decrypt(iv, iv + 16, length, dst)
    return true
  }

  destroy(): void {
    this.cipher.destroy()
    this.mac.destroy()
  }
}

/** NULL encryption (RFC 2410) with an integrity algorithm. */
class NullTransform implements EspTransform {
  readonly ivLength = 0
  readonly icvLength: number
  readonly alignment = 4
  private readonly slab: Slab
  private readonly mac: EspMac

  constructor(slab: Slab, mac: EspMac) {
    this.slab = slab
    this.mac = mac
    this.icvLength = mac.icvLength
  }

  seal(esp: number, src: number, length: number, high: number): void {
    const dst = esp + ESP_HEADER_LEN
    if (src !== dst) this.slab.bytes.copyWithin(dst, src, src + length)
    this.mac.compute(esp, ESP_HEADER_LEN + length, high)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    if (!this.mac.verify(esp, ESP_HEADER_LEN + length, high)) return false
    const src = esp + ESP_HEADER_LEN
    if (src !== dst) this.slab.bytes.copyWithin(dst, src, src + length)
    return true
  }

  destroy(): void {
    this.mac.destroy()
  }
}

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
  switch (info.kind) {
    case 'aead': {
      const length = key.length - info.saltLength
      const aead = first(engines, info.name, (e) => e.aead(info.id, key.subarray(0, length), slab))
      const salt = new DataView(key.buffer, key.byteOffset + length, info.saltLength).getUint32(0)
      return new AeadTransform(slab, aead, salt, spec.esn)
    }
    case 'cbc': {
      const mac = new EspMac(slab, createMac(spec, engines, slab), spec.esn)
      const cipher = first(engines, info.name, (e) => e.cipher(info.id, key, slab))
      return new CbcTransform(slab, cipher, mac, ivSalt)
    }
    case 'null':
      return new NullTransform(slab, new EspMac(slab, createMac(spec, engines, slab), spec.esn))
  }
}

/** The integrity algorithm of a checked SA. @throws CryptoError when no engine has it */
export function createMac(spec: SaSpec, engines: readonly CryptoEngine[], slab: Slab): Mac {
  const { id = INTEG.NONE, key = new Uint8Array(0) } = spec.integrity ?? {}
  return first(engines, `integrity algorithm ${id}`, (e) => e.mac(id, key, slab))
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
