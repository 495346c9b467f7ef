import { lowerTunOffload } from '../net/tun.js'
import type { Post } from './messages.js'
import { FaultCount } from './offload-watch.js'

/**
 * What the TUN device leaves to us: large packets that are to be cut, checksums that are to be completed. When that makes no sense
 * a few times in a row, it leaves us less.
 */
export class TunOffloads {
  private readonly fd: number
  /** TUN_F_ bits of the device. */
  private bits: number
  private readonly post: Post
  private readonly faults = new FaultCount()

  /** @param fd of any queue of the device @param bits TUN_F_ bits that it has now */
  constructor(fd: number, bits: number, post: Post) {
    this.fd = fd
    this.bits = bits
    this.post = post
  }

  /** A large packet could be cut. */
  succeeded(): void {
    this.faults.succeeded()
  }

  /** One could not be, or its checksum not be completed. */
  failed(): void {
    if (!this.faults.failed()) return
    this.faults.succeeded()
    const { feature, bits } = lowerTunOffload(this.fd, this.bits)
    this.bits = bits
    const reason = 'large packets that cannot be cut'
    if (feature) this.post({ op: 'stepBack', feature, reason, tunOffloads: bits })
  }

  /** Another lane has lowered them. */
  lowered(bits: number): void {
    this.bits = Math.min(this.bits, bits)
  }
}
