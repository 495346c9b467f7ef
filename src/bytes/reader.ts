import { WireError } from '../errors.js'

/**
 * Cursor over a peer's octets. Every read checks its bounds (`subarray` would clamp in silence) and names the
 * field that it failed on. All integers are big-endian. Slices alias the input.
 */
export class Reader {
  readonly bytes: Uint8Array
  /** Offset of the next octet. */
  at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Octets not read yet. */
  get left(): number {
    return this.bytes.length - this.at
  }

  /** @throws WireError when fewer than `n` octets are left. */
  private need(n: number, field: string): number {
    if (n < 0 || this.left < n) throw new WireError(field, this.at, `needs ${n} octets, ${this.left} left`)
    const at = this.at
    this.at += n
    return at
  }

  u8(field: string): number {
    return this.bytes[this.need(1, field)]!
  }

  u16(field: string): number {
    const at = this.need(2, field)
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!
  }

  u32(field: string): number {
    const at = this.need(4, field)
    const b = this.bytes
    return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
  }

  /** The next `n` octets, aliasing the input. */
  take(n: number, field: string): Uint8Array {
    const at = this.need(n, field)
    return this.bytes.subarray(at, at + n)
  }

  /** All that is left, aliasing the input; may be empty. */
  rest(): Uint8Array {
    return this.take(this.left, 'rest')
  }

  /** @throws WireError when octets are left over. */
  end(field: string): void {
    if (this.left !== 0) throw new WireError(field, this.at, `${this.left} octets left over`)
  }
}
