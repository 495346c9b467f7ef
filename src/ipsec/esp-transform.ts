/**
 * The algorithms of one ESP SA, bound to its keys: how the IV is made, what is encrypted, what the ICV covers. Offsets are
 * into the SA's slab. The header (SPI and low half of the sequence number) stands at `esp` before either call; behind
 * it come the IV, the ciphertext and the ICV. Up to four octets in front of the header are changed during a call and are again
 * what they were when it returns. Nothing is allocated and nothing is thrown.
 */
export interface EspTransform {
  /** Octets of IV on the wire. */
  readonly ivLength: number
  readonly icvLength: number
  /** Payload and trailer together are a multiple of this; a power of two, at least ESP_ALIGNMENT. */
  readonly alignment: number
  /**
   * Writes IV, ciphertext of the `length` octets at `src` (payload and trailer), and ICV. `src` is the ciphertext's own
   * place or does not overlap the packet. Of an SA with a burst all that may be missing until that has run.
   * @param high high half of the sequence number, 0 without ESN
   */
  seal(esp: number, src: number, length: number, high: number, low: number): void
  /**
   * Checks the ICV and decrypts the `length` octets of ciphertext to `dst`, which is their own place or does not overlap
   * the packet. On false what `dst` holds means nothing.
   */
  open(esp: number, length: number, dst: number, high: number): boolean
  /**
   * Adds a packet to the SA's burst, to be decrypted in place: once that has run, `open` has only to look. It may be forgotten;
   * nothing but its octets has changed then. Absent where packets one by one are as fast.
   */
  announce?(esp: number, length: number, high: number): void
  /** Wipes the keys. */
  destroy(): void
}
