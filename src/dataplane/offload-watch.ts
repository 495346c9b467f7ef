// When an offload that misbehaves while running is given up. The kernel's refusals are its own word, so a few in a row
// are enough. What arrives from the network is not: an unauthenticated packet must not be able to switch anything off.

/** Calls in a row that an offload must fail before it is given up. */
export const FAULTS_MAX = 4
/** Slots that are looked at together. */
export const SLOTS_WINDOW = 32

/** Counts failures in a row. */
export class FaultCount {
  private faults = 0

  succeeded(): void {
    this.faults = 0
  }

  /** @returns true when this failure was one too many; once only */
  failed(): boolean {
    return ++this.faults === FAULTS_MAX
  }
}

/**
 * Tells a receive offload that joins datagrams wrongly from packets that are forged. A slot counts only when its first
 * datagram was authentic: those behind it came from the same address in the same moment, and where many of them are
 * not what they should be, more often than not, they were spoilt here. A forger would have to get between the peer's
 * own datagrams, of equal length and TTL, in more than half of the trains.
 */
export class JoinedSlotWatch {
  /** The offload should be given up. */
  guilty = false
  private slots = 0
  private spoilt = 0

  /** A slot with an authentic first datagram; `bad` = some other in it was not. */
  slot(bad: boolean): void {
    if (bad) this.spoilt++
    if (++this.slots < SLOTS_WINDOW) return
    this.guilty ||= this.spoilt > SLOTS_WINDOW / 2
    this.slots = 0
    this.spoilt = 0
  }
}
