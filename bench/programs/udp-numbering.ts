// What udp-flood and udp-sink say to each other. A datagram begins with two u32, little-endian: its flow, and its number in
// that flow from 0. Numbers do not wrap: a run ends long before.

/** In the place of the flow: the sender has ended, and the second word is how many datagrams it sent. */
export const END = 0xffff_ffff
/** The receiver says after so many datagrams how many it has, as one u32. */
export const WINDOW_STEP = 64
/** Flows that the receiver tells apart. */
export const FLOWS_MAX = 64

/** Which numbers of one flow have come, and in which order. */
export class Numbers {
  received = 0
  duplicates = 0
  /** Came after a later one. */
  reordered = 0
  private highest = -1
  private seen = new Uint32Array(1 << 12)

  add(number: number): void {
    const word = number >>> 5
    if (word >= this.seen.length) {
      const larger = new Uint32Array(Math.max(word + 1, this.seen.length * 2))
      larger.set(this.seen)
      this.seen = larger
    }
    const bit = 1 << (number & 31)
    if ((this.seen[word]! & bit) !== 0) {
      this.duplicates++
      return
    }
    this.seen[word]! |= bit
    this.received++
    if (number < this.highest) this.reordered++
    else this.highest = number
  }
}
