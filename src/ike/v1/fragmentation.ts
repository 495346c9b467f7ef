import type { IkeHeader } from '../../wire/ike/header.js'
import { emitFragments, parseFragment } from '../../wire/ike/v1/fragment.js'
import { PAYLOAD } from '../../wire/ike/v1/numbers.js'
import type { Millis } from '../environment.js'
import { messageRoom } from '../fragment-size.js'
import type { Path } from '../path.js'
import { Reassembly } from './reassembly.js'

export const isFragment = (header: IkeHeader): boolean => header.nextPayload === PAYLOAD.FRAGMENT

/** Messages of one ISAKMP SA that are too large for an IP packet, both ways. */
export class Fragmentation {
  private readonly reassembly = new Reassembly()
  private message: Uint8Array | undefined
  private id = 0

  /**
   * What to send for a message: itself, or its pieces. A message that is sent again has the pieces of the first time.
   * @param fragmentSize octets of an IP packet, 0 = whole whatever it takes
   */
  datagrams(path: Path, message: Uint8Array, fragmentSize: number): readonly Uint8Array[] {
    const size = messageRoom(path, fragmentSize)
    if (fragmentSize === 0 || message.length <= size) return [message]
    if (this.message !== message) {
      this.message = message
      this.id = (this.id % 0xffff) + 1
    }
    return emitFragments(message, this.id, size) ?? [message]
  }

  /**
   * @param message a message with `isFragment`
   * @returns the message that it completes
   * @throws WireError
   */
  join(now: Millis, header: IkeHeader, message: Uint8Array): Uint8Array | undefined {
    return this.reassembly.add(now, parseFragment(header, message))
  }
}
