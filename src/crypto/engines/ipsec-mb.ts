import type { Slab } from '../../bytes/slab.js'
import { type IpsecMb, ipsecMb } from '../../ffi/ipsec-mb.js'
import { ENCR } from '../algorithms.js'
import type { Aead, CryptoEngine, CryptoQueue } from '../types.js'
import { ImbGcm } from './ipsec-mb-gcm.js'
import { isCipherKey } from './ipsec-mb-keys.js'
import { isLow, JobQueue } from './ipsec-mb-queue.js'
import { OneByOne } from './ipsec-mb-single.js'
import { queuedAead, queuedCipherMac } from './ipsec-mb-suites.js'

/** Packets of one run: what a large packet of the TUN, or a few large datagrams, are cut into. */
const QUEUE_CAPACITY = 64

/**
 * Intel's multi-buffer IPsec library (libIPSec_MB 1.3 to 2.x) through FFI. Packet by packet it has the algorithms that it is good
 * at with one alone; in a queue, all.
 * @param path a library file to take instead of what the system has
 * @returns the reason as a string when it cannot be used here
 */
export function ipsecMbEngine(path?: string): CryptoEngine | string {
  const library = ipsecMb(path)
  if (typeof library === 'string') return library
  const singles = new WeakMap<Slab, JobQueue>()
  const singleOf = (slab: Slab): JobQueue => {
    const known = singles.get(slab)
    if (known) return known
    const made = new JobQueue(library, slab, 1)
    singles.set(slab, made)
    return made
  }
  return {
    name: 'ipsec-mb',
    detail: `libIPSec_MB ${library.version}, ${library.architecture}`,
    aead(id, key, slab): Aead | undefined {
      if (slab.address === 0 || !isCipherKey(id, key)) return undefined
      if (id === ENCR.AES_GCM_16) return new ImbGcm(library, key, slab)
      if (id !== ENCR.CHACHA20_POLY1305 || !isLow(slab)) return undefined
      const queue = singleOf(slab)
      const queued = queuedAead(library, queue, id, key)
      return queued && new OneByOne(queue, queued)
    },
    cipher: () => undefined,
    mac: () => undefined,
    queue: (slab) => (isLow(slab) ? new ImbQueue(library, slab) : undefined),
  }
}

class ImbQueue implements CryptoQueue {
  private readonly library: IpsecMb
  private readonly jobs: JobQueue

  constructor(library: IpsecMb, slab: Slab) {
    this.library = library
    this.jobs = new JobQueue(library, slab, QUEUE_CAPACITY)
  }

  get capacity(): number {
    return this.jobs.capacity
  }

  get length(): number {
    return this.jobs.length
  }

  aead(id: number, key: Uint8Array): ReturnType<CryptoQueue['aead']> {
    return queuedAead(this.library, this.jobs, id, key)
  }

  cipherMac(
    encr: number,
    cipherKey: Uint8Array,
    integ: number,
    macKey: Uint8Array,
    tailLength: 0 | 4,
  ): ReturnType<CryptoQueue['cipherMac']> {
    return queuedCipherMac(this.library, this.jobs, encr, cipherKey, integ, macKey, tailLength)
  }

  run(): void {
    this.jobs.run()
  }

  done(index: number): boolean {
    return this.jobs.done(index)
  }
}
