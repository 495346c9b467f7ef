/** Wakes those who wait for something to change, once whoever changes it has finished. */
export class Changes {
  private readonly waiting = new Set<() => void>()
  private told = false

  emit(): void {
    if (this.waiting.size === 0 || this.told) return
    this.told = true
    setImmediate(() => {
      this.told = false
      for (const wake of [...this.waiting]) wake()
    })
  }

  /** Resolves after the next change, or after `timeoutMs`. */
  next(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(deadline)
        this.waiting.delete(wake)
        resolve()
      }
      const deadline = setTimeout(wake, timeoutMs)
      this.waiting.add(wake)
    })
  }
}
