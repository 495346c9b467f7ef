import type { Slab } from '../bytes/slab.js'
import type { QueuedAead, QueuedCipherMac } from '../crypto/types.js'
import { ESP_HEADER_LEN } from '../wire/esp.js'
import type { Burst } from './burst.js'
import type { AeadInput } from './esp-aead.js'
import type { EspIv } from './esp-iv.js'
import type { EspTransform } from './esp-transform.js'

/**
 * An ESP transform whose packets are worked on in bursts. What was not announced is opened one by one, by a transform of the same
 * keys. Ciphertext is made where it will stand: until the burst has run, the packet's octets are its own input.
 */
abstract class BurstTransform implements EspTransform {
  readonly ivLength: number
  readonly icvLength: number
  readonly alignment: number
  private readonly slab: Slab
  private readonly burst: Burst
  private readonly single: EspTransform

  protected constructor(slab: Slab, burst: Burst, single: EspTransform) {
    this.slab = slab
    this.burst = burst
    this.single = single
    this.ivLength = single.ivLength
    this.icvLength = single.icvLength
    this.alignment = single.alignment
    burst.users++
  }

  /** Each adds a packet, in place, to the queue. @returns its index, -1 when there is no room */
  protected abstract addSeal(esp: number, length: number, high: number, low: number): number
  protected abstract addOpen(esp: number, length: number, high: number): number

  seal(esp: number, src: number, length: number, high: number, low: number): void {
    const b = this.slab.bytes
    const text = esp + ESP_HEADER_LEN + this.ivLength
    if (src !== text) b.copyWithin(text, src, src + length)
    if (this.addSeal(esp, length, high, low) >= 0) return
    this.burst.run()
    // A library that takes nothing any more: zeros leave, which nobody accepts.
    if (this.addSeal(esp, length, high, low) < 0) b.fill(0, text, text + length + this.icvLength)
  }

  announce(esp: number, length: number, high: number): void {
    const index = this.addOpen(esp, length, high)
    if (index >= 0) this.burst.announce(esp, high, index)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    const verdict = this.burst.verdict(esp, high)
    return verdict < 0 ? this.single.open(esp, length, dst, high) : verdict === 1
  }

  destroy(): void {
    this.burst.users--
    this.single.destroy()
  }
}

/** AES-CBC, AES-CTR or NULL with a separate integrity algorithm. */
export class BurstCipherMac extends BurstTransform {
  private readonly queued: QueuedCipherMac
  private readonly iv: EspIv
  private readonly front: number

  /** @param iv of `single` */
  constructor(slab: Slab, burst: Burst, single: EspTransform, queued: QueuedCipherMac, iv: EspIv) {
    super(slab, burst, single)
    this.queued = queued
    this.iv = iv
    this.front = ESP_HEADER_LEN + iv.length
  }

  protected addSeal(esp: number, length: number, high: number, low: number): number {
    return this.queued.seal(this.iv.make(esp, high, low), esp, esp + this.front, length, high)
  }

  protected addOpen(esp: number, length: number, high: number): number {
    const text = esp + this.front
    return this.queued.open(this.iv.received(esp), esp, text, length, text, high)
  }

  override destroy(): void {
    this.queued.destroy()
    super.destroy()
  }
}

/** An AEAD: AES-CCM. */
export class BurstAead extends BurstTransform {
  private readonly queued: QueuedAead
  private readonly input: AeadInput
  private readonly front: number

  /** @param input of `single` */
  constructor(slab: Slab, burst: Burst, single: EspTransform, queued: QueuedAead, input: AeadInput) {
    super(slab, burst, single)
    this.queued = queued
    this.input = input
    this.front = ESP_HEADER_LEN + single.ivLength
  }

  protected addSeal(esp: number, length: number, high: number, low: number): number {
    const { input } = this
    input.sent(esp, high, low)
    const text = esp + this.front
    return this.queued.seal(input.nonce, input.aad, input.aadLength, text, length, text, text + length)
  }

  protected addOpen(esp: number, length: number, high: number): number {
    const { input } = this
    input.received(esp, high)
    const text = esp + this.front
    return this.queued.open(input.nonce, input.aad, input.aadLength, text, length, text, text + length)
  }

  override destroy(): void {
    this.queued.destroy()
    super.destroy()
  }
}
