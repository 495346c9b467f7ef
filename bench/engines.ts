import { SCRATCH_LEN } from '../src/bytes/slab.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../src/crypto/algorithms.js'
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

const CASES = [
  { algorithm: 'AES-128-GCM', id: ENCR.AES_GCM_16, key: 16 },
  { algorithm: 'AES-256-GCM', id: ENCR.AES_GCM_16, key: 32 },
  { algorithm: 'ChaCha20-Poly1305', id: ENCR.CHACHA20_POLY1305, key: 32 },
  { algorithm: 'AES-128-CBC + HMAC-SHA2-256', id: ENCR.AES_CBC, key: 16 },
] as const

/** Protects packets of each size with each engine and algorithm: the time of the cipher alone, calls included. */
export function benchEngines(milliseconds = 150): EngineRow[] {
  const slab = nativeSlab(65_536)
  const rows: EngineRow[] = []
  for (const engine of selectEngines('auto', slab).engines)
    for (const { algorithm, id, key } of CASES)
      for (const octets of SIZES) {
        const once = packetCipher(engine, id, key)
        if (!once) continue
        const nanoseconds = measure(() => once(octets), milliseconds)
        rows.push({ engine: engine.name, algorithm, octets, nanoseconds, gbits: (octets * 8) / nanoseconds })
      }
  return rows

  function packetCipher(e: CryptoEngine, id: number, keyLength: number): ((n: number) => void) | undefined {
    const [iv, aad, src, dst] = [SCRATCH_LEN, SCRATCH_LEN + 32, SCRATCH_LEN + 1024, SCRATCH_LEN + 16_384]
    const key = Uint8Array.from({ length: keyLength }, (_, i) => i)
    if (encryptionInfo(id)?.kind === 'aead') {
      const aead = e.aead(id, key, slab)
      return aead && ((n) => aead.seal(iv, aad, 12, src, n, dst, dst + n))
    }
    const integrity = integrityInfo(INTEG.HMAC_SHA2_256_128)!
    const cipher = e.cipher(id, key, slab)
    const mac = e.mac(integrity.id, new Uint8Array(integrity.keyLength), slab)
    if (!cipher || !mac) return undefined
    return (n) => {
      const whole = n & ~15
      cipher.encrypt(iv, src, whole, dst)
      mac.compute(dst, whole, aad, 4, dst + whole)
    }
  }
}

/** Median of five runs, ns a call. */
function measure(call: () => void, milliseconds: number): number {
  let count = 0
  const warm = performance.now() + milliseconds / 3
  while (performance.now() < warm) {
    call()
    count++
  }
  const calls = Math.max(8, count)
  const runs = Array.from({ length: 5 }, () => {
    const from = process.hrtime.bigint()
    for (let i = 0; i < calls; i++) call()
    return Number(process.hrtime.bigint() - from) / calls
  })
  return runs.sort((a, b) => a - b)[2]!
}
