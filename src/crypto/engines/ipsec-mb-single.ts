import type { Aead, QueuedAead } from '../types.js'
import type { JobQueue } from './ipsec-mb-queue.js'

/** An AEAD of the library's jobs, one packet a run, for algorithms that it has no other functions for. */
export class OneByOne implements Aead {
  readonly nonceLength: number
  readonly icvLength: number
  private readonly queue: JobQueue
  private readonly queued: QueuedAead

  /** @param queue empty between the calls of this object. @param queued of that queue; this object's from now on */
  constructor(queue: JobQueue, queued: QueuedAead) {
    this.queue = queue
    this.queued = queued
    this.nonceLength = queued.nonceLength
    this.icvLength = queued.icvLength
  }

  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void {
    if (this.queued.seal(nonce, aad, aadLen, src, len, dst, icv) >= 0) return this.queue.run()
    // Refused: in place, the plaintext still stands there. What leaves instead is nothing that a peer would accept.
    const { bytes } = this.queue.slab
    bytes.fill(0, dst, dst + len)
    bytes.fill(0, icv, icv + this.icvLength)
  }

  open(
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    icv: number,
  ): boolean {
    const index = this.queued.open(nonce, aad, aadLen, src, len, dst, icv)
    if (index < 0) return false
    this.queue.run()
    return this.queue.done(index)
  }

  destroy(): void {
    this.queued.destroy()
  }
}
