import type { CryptoQueue } from '../crypto/types.js'

/**
 * Packets of a lane's SAs that are protected or opened together (see CryptoQueue): those whose algorithms are faster so.
 *
 * Outbound, a transform adds packets and the owner calls `run` before anybody reads them. Inbound, packets are announced before they
 * are opened one by one: `run` works on all that were announced, and opening then asks for the verdict. Announcing
 * changes nothing but speed: replay check, order and everything else is as without it.
 */
export class Burst {
  readonly queue: CryptoQueue
  /** SAs that use it: without any there is nothing to announce or to run. */
  users = 0
  // Of the packets announced, in order: offset, inferred high half of the sequence number, index in the queue.
  private readonly at: Int32Array
  private readonly high: Uint32Array
  private readonly index: Int32Array
  private announced = 0
  private cursor = 0

  constructor(queue: CryptoQueue) {
    this.queue = queue
    this.at = new Int32Array(queue.capacity)
    this.high = new Uint32Array(queue.capacity)
    this.index = new Int32Array(queue.capacity)
  }

  /** Forgets the verdicts of packets announced before. */
  begin(): void {
    this.announced = 0
    this.cursor = 0
  }

  /** @param esp offset of the packet @param index of a packet to be opened, as adding it to the queue returned */
  announce(esp: number, high: number, index: number): void {
    const i = this.announced++
    this.at[i] = esp
    this.high[i] = high
    this.index[i] = index
  }

  /** Works on everything that was added. */
  run(): void {
    if (this.queue.length > 0) this.queue.run()
  }

  /** @returns 1 when the packet announced at `esp` was authentic, 0 when not; -1 when none was announced there */
  verdict(esp: number, high: number): number {
    for (let i = this.cursor; i < this.announced; i++) {
      if (this.at[i] !== esp) continue
      this.cursor = i + 1
      return this.high[i] === high && this.queue.done(this.index[i]!) ? 1 : 0
    }
    return -1
  }
}
