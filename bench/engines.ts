import { SCRATCH_LEN } from '../src/bytes/slab.js'
import { ENCR, INTEG, integrityInfo } from '../src/crypto/algorithms.js'
import { selectEngines } from '../src/crypto/select.js'
import type { CryptoEngine, CryptoQueue } from '../src/crypto/types.js'
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
/** Packets of one run of a queue, and where they stand. */
const QUEUED = 32
const QUEUED_ROOM = 9216
const queuedAt = (i: number): number => SCRATCH_LEN + 1024 + i * QUEUED_ROOM

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

/** Adds one packet at an offset to a queue. */
type QueueMaker = (queue: CryptoQueue) => { add(at: number, octets: number): unknown } | undefined

const queuedAead =
  (id: number, keyLength: number, work: 'seal' | 'open'): QueueMaker =>
  (queue) => {
    const made = queue.aead(id, keyOf(keyLength))
    // A packet that is opened is no longer what was sealed: refused, it costs the same.
    return made && { add: (at, n) => made[work](IV, AAD, 12, at, n, at, at + n) }
  }

const queuedGmac =
  (keyLength: number): QueueMaker =>
  (queue) => {
    const made = queue.aead(ENCR.AES_GCM_16, keyOf(keyLength))
    return made && { add: (at, n) => made.seal(IV, at, n, at + n, 0, at + n, at + n) }
  }

const queuedPair =
  (id: number, keyLength: number, integrity: number): QueueMaker =>
  (queue) => {
    const macKey = keyOf(integrityInfo(integrity)!.keyLength)
    const made = queue.cipherMac(id, keyOf(keyLength), integrity, macKey, 4)
    return made && { add: (at, n) => made.seal(IV, at, at, id === ENCR.NULL ? n : n & ~15, 0) }
  }

interface Case {
  readonly algorithm: string
  readonly make: Maker
  readonly queued: QueueMaker
}
const aeadCase = (
  algorithm: string,
  id: number,
  keyLength: number,
  work: 'seal' | 'open' = 'seal',
): Case => ({ algorithm, make: aead(id, keyLength, work), queued: queuedAead(id, keyLength, work) })
const pairCase = (algorithm: string, id: number, keyLength: number, integrity: number): Case => ({
  algorithm,
  make: pair(id, keyLength, integrity),
  queued: queuedPair(id, keyLength, integrity),
})
const macCase = (algorithm: string, id: number): Case => ({
  algorithm,
  make: mac(id),
  queued: queuedPair(ENCR.NULL, 0, id),
})

const CASES: readonly Case[] = [
  aeadCase('AES-128-GCM', ENCR.AES_GCM_16, 16),
  aeadCase('AES-128-GCM, open', ENCR.AES_GCM_16, 16, 'open'),
  aeadCase('AES-256-GCM', ENCR.AES_GCM_16, 32),
  aeadCase('ChaCha20-Poly1305', ENCR.CHACHA20_POLY1305, 32),
  aeadCase('ChaCha20-Poly1305, open', ENCR.CHACHA20_POLY1305, 32, 'open'),
  aeadCase('AES-128-CCM-8', ENCR.AES_CCM_8, 16),
  aeadCase('AES-128-CCM-8, open', ENCR.AES_CCM_8, 16, 'open'),
  aeadCase('AES-256-CCM-16', ENCR.AES_CCM_16, 32),
  { algorithm: 'AES-128-GMAC', make: gmac(16), queued: queuedGmac(16) },
  { algorithm: 'AES-256-GMAC', make: gmac(32), queued: queuedGmac(32) },
  pairCase('AES-128-CBC + HMAC-SHA1', ENCR.AES_CBC, 16, INTEG.HMAC_SHA1_96),
  pairCase('AES-128-CBC + HMAC-SHA2-256', ENCR.AES_CBC, 16, INTEG.HMAC_SHA2_256_128),
  pairCase('AES-256-CBC + HMAC-SHA2-512', ENCR.AES_CBC, 32, INTEG.HMAC_SHA2_512_256),
  pairCase('AES-128-CBC + AES-XCBC', ENCR.AES_CBC, 16, INTEG.AES_XCBC_96),
  pairCase('AES-128-CTR + HMAC-SHA2-256', ENCR.AES_CTR, 16, INTEG.HMAC_SHA2_256_128),
  macCase('HMAC-SHA1', INTEG.HMAC_SHA1_96),
  macCase('HMAC-SHA2-256', INTEG.HMAC_SHA2_256_128),
  macCase('HMAC-SHA2-384', INTEG.HMAC_SHA2_384_192),
  macCase('HMAC-SHA2-512', INTEG.HMAC_SHA2_512_256),
  macCase('AES-XCBC', INTEG.AES_XCBC_96),
  macCase('AES-CMAC', INTEG.AES_CMAC_96),
]

/**
 * Protects packets of each size with each engine and algorithm: the time of the cipher alone, calls included.
 * @param milliseconds what one figure takes is about twice this
 * @param algorithms which of them; all when left out
 */
export function benchEngines(milliseconds = 100, algorithms?: RegExp): EngineRow[] {
  const slab = nativeSlab(queuedAt(QUEUED))
  const rows: EngineRow[] = []
  const { engines } = selectEngines('auto', slab)
  for (const engine of engines)
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
  for (const engine of engines) rows.push(...benchQueue(engine, slab, milliseconds, algorithms))
  return rows
}

/** The same for packets in an engine's queue, as rows of an engine of its own. */
function benchQueue(
  engine: CryptoEngine,
  slab: ReturnType<typeof nativeSlab>,
  milliseconds: number,
  algorithms?: RegExp,
): EngineRow[] {
  const queue = engine.queue?.(slab)
  if (!queue) return []
  const rows: EngineRow[] = []
  for (const { algorithm, queued } of CASES) {
    const made = algorithms?.test(algorithm) === false ? undefined : queued(queue)
    if (!made) continue
    const runOf = (octets: number) => (): void => {
      for (let i = 0; i < QUEUED; i++) made.add(queuedAt(i), octets)
      queue.run()
    }
    run(runOf(1400), 4 * milliseconds)
    for (const octets of SIZES) {
      const nanoseconds = measure(runOf(octets), milliseconds) / QUEUED
      const row = { engine: `${engine.name}, ${QUEUED} at once`, algorithm, octets, nanoseconds }
      rows.push({ ...row, gbits: (octets * 8) / nanoseconds })
    }
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
