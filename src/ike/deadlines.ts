import type { Millis } from './environment.js'

interface Entry<T> {
  readonly item: T
  at: Millis
  /** Where it is in the heap. */
  index: number
}

/**
 * When each of many things is due: a binary heap with each thing in it once, so that the next deadline is known without
 * looking at all of them. As large as the number of things that have a deadline.
 */
export class Deadlines<T> {
  private readonly heap: Entry<T>[] = []
  private readonly entries = new Map<T, Entry<T>>()

  get size(): number {
    return this.heap.length
  }

  /** The earliest deadline. */
  next(): Millis | undefined {
    return this.heap[0]?.at
  }

  /** @param at undefined: it waits for nothing */
  set(item: T, at: Millis | undefined): void {
    const entry = this.entries.get(item)
    if (at === undefined) {
      if (entry !== undefined) this.remove(entry)
    } else if (entry === undefined) {
      const added: Entry<T> = { item, at, index: this.heap.length }
      this.entries.set(item, added)
      this.heap.push(added)
      this.up(added)
    } else if (entry.at !== at) {
      entry.at = at
      this.up(entry)
      this.down(entry)
    }
  }

  /** Everything that is due, the earliest first. It stays until it is set to a later time, or to none. */
  due(now: Millis): T[] {
    const found: Entry<T>[] = []
    const visit = (i: number): void => {
      const entry = this.heap[i]
      if (entry === undefined || entry.at > now) return
      found.push(entry)
      visit(2 * i + 1)
      visit(2 * i + 2)
    }
    visit(0)
    return found.sort((a, b) => a.at - b.at).map((e) => e.item)
  }

  private remove(entry: Entry<T>): void {
    this.entries.delete(entry.item)
    const last = this.heap.pop()!
    if (last === entry) return
    this.put(last, entry.index)
    this.up(last)
    this.down(last)
  }

  private put(entry: Entry<T>, index: number): void {
    this.heap[index] = entry
    entry.index = index
  }

  private up(entry: Entry<T>): void {
    for (let i = entry.index; i > 0; ) {
      const above = (i - 1) >> 1
      const parent = this.heap[above]!
      if (parent.at <= entry.at) break
      this.put(parent, i)
      this.put(entry, above)
      i = above
    }
  }

  private down(entry: Entry<T>): void {
    for (let i = entry.index; ; ) {
      const [left, right] = [this.heap[2 * i + 1], this.heap[2 * i + 2]]
      const child = right !== undefined && right.at < left!.at ? right : left
      if (child === undefined || child.at >= entry.at) break
      const below = child.index
      this.put(child, i)
      this.put(entry, below)
      i = below
    }
  }
}
