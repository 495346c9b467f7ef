/** How often something may be done in one span of housekeeping: packets of strangers must not set the pace of what they cause. */
export class Budget {
  private readonly size: number
  private left: number

  /** @param size times between two calls of `refill` */
  constructor(size: number) {
    this.size = size
    this.left = size
  }

  /** @returns false when it is used up */
  take(): boolean {
    if (this.left === 0) return false
    this.left--
    return true
  }

  refill(): void {
    this.left = this.size
  }
}
