import { SCRATCH_LEN } from '../src/bytes/slab.js'
import { ENCR, INTEG, integrityInfo } from '../src/crypto/algorithms.js'
import { selectEngines } from '../src/crypto/select.js'
import type { CryptoEngine } from '../src/crypto/types.js'
import { nativeSlab } from '../src/ffi/slab.js'

export const SIZES = [64, 512, 1400, 8900]

export interface EngineRow {
  readonly engine: string
  readonly algorithm: string
  readonly octets: number
  /** Nanoseconds to protect one packet. */
  readonly nanoseconds: number
  readonly gbits: number
}

/** Slab offsets of what a packet needs. */
const IV = SCRATCH_LEN
const AAD = SCRATCH_LEN + 32
const SRC = SCRATCH_LEN + 1024
const DST = SCRATCH_LEN + 16_384

/** Something that protects packets of any of the SIZES, and must be destroyed. */
interface Subject {
  protect(octets: number): void
  destroy(): void
}

type Maker = (engine: CryptoEngine, slab: ReturnType<typeof nativeSlab>) => Subject | undefined

const keyOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i)

const aead =
  (id: number, keyLength: number, work: 'seal' | 'open'): Maker =>
  (engine, slab) => {
    const made = engine.aead(id, keyOf(keyLength), slab)
    if (!made) return undefined
    const destroy = (): void => made.destroy()
    if (work === 'seal') return { destroy, protect: (n) => made.seal(IV, AAD, 12, SRC, n, DST, DST + n) }
    let sealed = -1
    return {
      destroy,
      protect(n) {
        // What is opened must be right: a refusal may cost another time.
        if (n !== sealed) made.seal(IV, AAD, 12, SRC, n, DST, DST + n)
        sealed = n
        made.open(IV, AAD, 12, DST, n, SRC, DST + n)
      },
    }
  }

/** All of the packet is AAD. */
const gmac =
  (keyLength: number): Maker =>
  (engine, slab) => {
    const made = engine.aead(ENCR.AES_GCM_16, keyOf(keyLength), slab)
    return made && { destroy: () => made.destroy(), protect: (n) => made.seal(IV, SRC, n, DST, 0, DST, DST) }
  }

const mac =
  (id: number): Maker =>
  (engine, slab) => {
    const made = engine.mac(id, keyOf(integrityInfo(id)!.keyLength), slab)
    return made && { destroy: () => made.destroy(), protect: (n) => made.compute(SRC, n, AAD, 4, DST) }
  }

/** A cipher in CBC or CTR mode, then a MAC over what it made. */
const pair =
  (id: number, keyLength: number, integrity: number): Maker =>
  (engine, slab) => {
    const cipher = engine.cipher(id, keyOf(keyLength), slab)
    const made = cipher && engine.mac(integrity, keyOf(integrityInfo(integrity)!.keyLength), slab)
    if (!made) {
      cipher?.destroy()
      return undefined
    }
    return {
      protect(n) {
        const whole = n & ~15
        cipher.encrypt(IV, SRC, whole, DST)
        made.compute(DST, whole, AAD, 4, DST + whole)
      },
      destroy() {
        cipher.destroy()
        made.destroy()
      },
    }
  }

const CASES: readonly { readonly algorithm: string; readonly make: Maker }[] = [
  { algorithm: 'AES-128-GCM', make: aead(ENCR.AES_GCM_16, 16, 'seal') },
  { algorithm: 'AES-128-GCM, open', make: aead(ENCR.AES_GCM_16, 16, 'open') },
  { algorithm: 'AES-256-GCM', make: aead(ENCR.AES_GCM_16, 32, 'seal') },
  { algorithm: 'ChaCha20-Poly1305', make: aead(ENCR.CHACHA20_POLY1305, 32, 'seal') },
  { algorithm: 'ChaCha20-Poly1305, open', make: aead(ENCR.CHACHA20_POLY1305, 32, 'open') },
  { algorithm: 'AES-128-CCM-8', make: aead(ENCR.AES_CCM_8, 16, 'seal') },
  { algorithm: 'AES-128-CCM-8, open', make: aead(ENCR.AES_CCM_8, 16, 'open') },
  { algorithm: 'AES-128-GMAC', make: gmac(16) },
  { algorithm: 'AES-128-CBC + HMAC-SHA2-256', make: pair(ENCR.AES_CBC, 16, INTEG.HMAC_SHA2_256_128) },
  { algorithm: 'AES-128-CTR + HMAC-SHA2-256', make: pair(ENCR.AES_CTR, 16, INTEG.HMAC_SHA2_256_128) },
  { algorithm: 'HMAC-SHA1', make: mac(INTEG.HMAC_SHA1_96) },
  { algorithm: 'HMAC-SHA2-256', make: mac(INTEG.HMAC_SHA2_256_128) },
  { algorithm: 'HMAC-SHA2-512', make: mac(INTEG.HMAC_SHA2_512_256) },
  { algorithm: 'AES-XCBC', make: mac(INTEG.AES_XCBC_96) },
  { algorithm: 'AES-CMAC', make: mac(INTEG.AES_CMAC_96) },
]

/**
 * Protects packets of each size with each engine and algorithm: the time of the cipher alone, calls included.
 * @param milliseconds what one figure takes is about twice this
 * @param algorithms which of them; all when left out
 */
export function benchEngines(milliseconds = 100, algorithms?: RegExp): EngineRow[] {
  const slab = nativeSlab(65_536)
  const rows: EngineRow[] = []
  for (const engine of selectEngines('auto', slab).engines)
    for (const { algorithm, make } of CASES) {
      const subject = algorithms?.test(algorithm) === false ? undefined : make(engine, slab)
      if (!subject) continue
      // The compiler gets its time first, or the first size would pay for it.
      run(() => subject.protect(1400), 4 * milliseconds)
      for (const octets of SIZES) {
        const nanoseconds = measure(() => subject.protect(octets), milliseconds)
        rows.push({ engine: engine.name, algorithm, octets, nanoseconds, gbits: (octets * 8) / nanoseconds })
      }
      subject.destroy()
    }
  return rows
}

/** Calls until the time is over. @returns how often */
function run(call: () => void, milliseconds: number): number {
  const end = performance.now() + milliseconds
  let count = 0
  for (; performance.now() < end; count++) call()
  return count
}

/** Median of five runs, ns a call. */
function measure(call: () => void, milliseconds: number): number {
  const calls = Math.max(8, run(call, milliseconds / 3))
  const runs = Array.from({ length: 5 }, () => {
    const from = process.hrtime.bigint()
    for (let i = 0; i < calls; i++) call()
    return Number(process.hrtime.bigint() - from) / calls
  })
  return runs.sort((a, b) => a - b)[2]!
}
