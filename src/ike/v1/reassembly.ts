import { concat, equalOctets } from '../../bytes/octets.js'
import { IKE_MESSAGE_MAX } from '../../wire/ike/header.js'
import type { Fragment } from '../../wire/ike/v1/fragment.js'
import type { Millis } from '../environment.js'

/** A message whose pieces take longer is given up: its sender sends it again. */
const PATIENCE_MS = 10_000

/**
 * Puts the fragments of one message together; bounded by IKE_MESSAGE_MAX octets. Nobody has proved to be their sender, so
 * whatever does not fit begins anew instead of being kept: peers number their messages alike, and the fragments of one that
 * was given up must not spoil the next.
 */
export class Reassembly {
  private readonly pieces = new Map<number, Uint8Array>()
  private id = -1
  private since: Millis = 0
  private octets = 0
  /** Number of the last fragment, 0 while it has not come. */
  private last = 0

  /** @returns the whole message with the last missing piece; a copy */
  add(now: Millis, f: Fragment): Uint8Array | undefined {
    const known = this.pieces.get(f.number)
    if (f.id !== this.id || now - this.since > PATIENCE_MS || !this.fits(f, known)) this.begin(now, f.id)
    if (!this.pieces.has(f.number)) {
      if (this.octets + f.data.length > IKE_MESSAGE_MAX) {
        this.begin(now, -1)
        return undefined
      }
      this.pieces.set(f.number, new Uint8Array(f.data))
      this.octets += f.data.length
    }
    if (f.last) this.last = f.number
    if (this.last === 0 || this.pieces.size < this.last) return undefined
    const whole = concat(...Array.from({ length: this.last }, (_, i) => this.pieces.get(i + 1)!))
    this.begin(now, -1)
    return whole
  }

  private fits(f: Fragment, known: Uint8Array | undefined): boolean {
    if (known !== undefined && !equalOctets(known, f.data)) return false
    if (f.last) return [...this.pieces.keys()].every((n) => n <= f.number)
    return this.last === 0 || f.number < this.last
  }

  private begin(now: Millis, id: number): void {
    this.pieces.clear()
    this.id = id
    this.since = now
    this.octets = 0
    this.last = 0
  }
}
