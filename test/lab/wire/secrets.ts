import type { Frame } from './frame.js'

/** "TAG:1234": what the planted strings look like. */
export const SECRET_DIGITS = 4
export const secretText = (tag: string, index: number): string =>
  `${tag}:${String(index).padStart(SECRET_DIGITS, '0')}`

/** Looks for planted secrets in what passes, also in those that two frames of a direction share. */
export class SecretWatch {
  /** Different secrets that were seen. */
  readonly seen = new Set<number>()
  private readonly tag: Buffer
  private readonly size: number
  /** The end of the last payload of each direction, with room for the beginning of the next one behind it. */
  private readonly seams: readonly [Buffer, Buffer]
  private readonly kept: [number, number] = [0, 0]

  constructor(tag: string) {
    this.tag = Buffer.from(`${tag}:`, 'latin1')
    this.size = this.tag.length + SECRET_DIGITS
    this.seams = [Buffer.alloc(2 * this.size), Buffer.alloc(2 * this.size)]
  }

  look(b: Buffer, frame: Frame, start: number, direction: 0 | 1): void {
    // Headers too: nothing of a frame may show a secret.
    this.search(b.subarray(start, frame.end))
    const payload = b.subarray(frame.payload, frame.end)
    if (payload.length < this.size) return
    const seam = this.seams[direction]
    const before = this.kept[direction]
    payload.copy(seam, before, 0, this.size - 1)
    if (before > 0) this.search(seam.subarray(0, before + this.size - 1))
    payload.copy(seam, 0, payload.length - (this.size - 1))
    this.kept[direction] = this.size - 1
  }

  private search(b: Buffer): void {
    for (let at = b.indexOf(this.tag); at >= 0; at = b.indexOf(this.tag, at + 1)) {
      const digits = b.toString('latin1', at + this.tag.length, at + this.size)
      if (/^\d{4}$/.test(digits)) this.seen.add(Number(digits))
    }
  }
}
