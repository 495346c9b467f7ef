/** Different names at most; they come from the code, so that reaching it is a fault of ours. */
const NAMES_MAX = 512

/** Named counters of the control plane: every message refused is counted under its cause. */
export class EventCounts {
  private readonly counts = new Map<string, number>()

  add(name: string): void {
    const n = this.counts.get(name)
    if (n === undefined && this.counts.size >= NAMES_MAX) return
    this.counts.set(name, (n ?? 0) + 1)
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries([...this.counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }
}
