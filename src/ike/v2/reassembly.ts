import { concat } from '../../bytes/octets.js'
import { WireError } from '../../errors.js'
import { IKE_MESSAGE_MAX } from '../../wire/ike/header.js'
import type { FragmentPlace } from '../../wire/ike/v2/encrypted.js'

/** Fragments of one message at most. */
export const FRAGMENTS_MAX = 256

/** A message that came in fragments, each of them verified and decrypted. */
export interface Joined {
  /** Type of the first payload inside. */
  readonly first: number
  /** All payloads. */
  readonly plaintext: Uint8Array
  /** The message with fragment number 1, as it came. */
  readonly message: Uint8Array
  /** Octets of the largest message with one of them. */
  readonly largest: number
}

/** One authentic fragment. */
export interface Piece {
  readonly place: FragmentPlace
  readonly first: number
  /** Kept. */
  readonly plaintext: Uint8Array
  /** Copied. */
  readonly message: Uint8Array
}

/**
 * Puts the fragments of one message together, RFC 7383 section 2.6. Only authentic ones come here, so that nobody but the
 * peer can fill it: FRAGMENTS_MAX pieces and IKE_MESSAGE_MAX octets of one message, until the next one begins.
 */
export class Reassembly {
  private id = -1
  private total = 0
  private octets = 0
  private largest = 0
  private head: { readonly first: number; readonly message: Uint8Array } | undefined
  private readonly pieces = new Map<number, Uint8Array>()

  /**
   * Whether a fragment would be of use, before anything is spent on it.
   * @throws WireError for one of too many
   */
  wants(id: number, { number, total }: FragmentPlace): boolean {
    if (total > FRAGMENTS_MAX) throw new WireError('SKF.total', 0, `${total} is above ${FRAGMENTS_MAX}`)
    // The same message in more and smaller fragments takes the place of what there is; one in fewer is of before.
    if (id !== this.id || total > this.total) return true
    return total === this.total && !this.pieces.has(number)
  }

  /**
   * @param id its Message ID
   * @returns the message with its last missing piece
   * @throws WireError when it becomes too large
   */
  add(id: number, { place, first, plaintext, message }: Piece): Joined | undefined {
    if (id !== this.id || place.total !== this.total) this.begin(id, place.total)
    if (this.octets + plaintext.length > IKE_MESSAGE_MAX) {
      this.begin(-1, 0)
      throw new WireError('SKF', 0, `the whole message is above ${IKE_MESSAGE_MAX} octets`)
    }
    this.pieces.set(place.number, plaintext)
    this.octets += plaintext.length
    this.largest = Math.max(this.largest, message.length)
    if (place.number === 1) this.head = { first, message: new Uint8Array(message) }
    if (this.head === undefined || this.pieces.size < this.total) return undefined
    const all = Array.from({ length: this.total }, (_, i) => this.pieces.get(i + 1)!)
    const joined = { ...this.head, plaintext: concat(...all), largest: this.largest }
    this.begin(-1, 0)
    return joined
  }

  private begin(id: number, total: number): void {
    this.id = id
    this.total = total
    this.octets = 0
    this.largest = 0
    this.head = undefined
    this.pieces.clear()
  }
}
