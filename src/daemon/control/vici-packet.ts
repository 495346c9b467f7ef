import { Reader } from '../../bytes/reader.js'
import { Writer } from '../../bytes/writer.js'
import { InternalError, WireError } from '../../errors.js'
import { emitMessage, parseMessage, type ViciMessage } from './vici-message.js'

// A vici packet on the stream: length of what follows (u32, big-endian), packet type, a name where the type has one, and
// the message.
//
//   | length (u32) | type | [name length | name ...] | message ... |

export const PACKET = {
  CMD_REQUEST: 0,
  CMD_RESPONSE: 1,
  CMD_UNKNOWN: 2,
  EVENT_REGISTER: 3,
  EVENT_UNREGISTER: 4,
  EVENT_CONFIRM: 5,
  EVENT_UNKNOWN: 6,
  EVENT: 7,
} as const

/** Octets of a packet behind its length; strongSwan's bound. */
export const PACKET_MAX = 512 * 1024

export interface ViciPacket {
  readonly type: number
  /** Of the command or event; empty for types that have none. */
  readonly name: string
  readonly message: ViciMessage
}

const NAMED: ReadonlySet<number> = new Set([
  PACKET.CMD_REQUEST,
  PACKET.EVENT_REGISTER,
  PACKET.EVENT_UNREGISTER,
  PACKET.EVENT,
])

/** @param octets a packet without its length. @throws WireError */
export function parsePacket(octets: Uint8Array): ViciPacket {
  const r = new Reader(octets)
  const type = r.u8('vici packet type')
  if (type > PACKET.EVENT) throw new WireError('vici packet type', 0, `${type} is unknown`)
  let name = ''
  if (NAMED.has(type)) {
    const raw = r.take(r.u8('vici name length'), 'vici name')
    for (const c of raw) {
      if (c < 0x21 || c > 0x7e) throw new WireError('vici name', 2, 'is not printable')
      name += String.fromCharCode(c)
    }
  }
  return { type, name, message: parseMessage(r.rest()) }
}

/** The packet with its length. @throws InternalError when it would be larger than PACKET_MAX */
export function emitPacket(type: number, name: string, message: ViciMessage = {}): Uint8Array {
  const w = new Writer().u32(0).u8(type)
  if (NAMED.has(type)) w.u8(name.length).bytes(new TextEncoder().encode(name))
  w.bytes(emitMessage(message))
  if (w.length - 4 > PACKET_MAX) throw new InternalError(`a vici packet of ${w.length} octets`)
  return w.patchU32(0, w.length - 4).finish()
}

/** Cuts a stream into packets. Holds at most one packet of PACKET_MAX octets. */
export class PacketSplitter {
  private readonly chunks: Uint8Array[] = []
  private held = 0

  /** True when part of a packet has come. */
  get waiting(): boolean {
    return this.held > 0
  }

  /** Takes what the stream brought. @throws WireError when a length is out of bounds; the stream is of no more use */
  *push(chunk: Uint8Array): Generator<Uint8Array> {
    this.chunks.push(chunk)
    this.held += chunk.length
    for (;;) {
      if (this.held < 4) return
      const head = this.peek(4)
      const length = ((head[0]! << 24) | (head[1]! << 16) | (head[2]! << 8) | head[3]!) >>> 0
      if (length === 0 || length > PACKET_MAX)
        throw new WireError('vici packet length', 0, `${length} is not from 1 to ${PACKET_MAX}`)
      if (this.held < 4 + length) return
      yield this.take(4 + length).subarray(4)
    }
  }

  /** The first n octets in one piece, which stays. */
  private peek(n: number): Uint8Array {
    const first = this.chunks[0]!
    if (first.length >= n) return first.subarray(0, n)
    const joined = Buffer.concat(this.chunks)
    this.chunks.length = 0
    this.chunks.push(joined)
    return joined.subarray(0, n)
  }

  private take(n: number): Uint8Array {
    const octets = this.peek(n)
    const first = this.chunks[0]!
    if (first.length === n) this.chunks.shift()
    else this.chunks[0] = first.subarray(n)
    this.held -= n
    return octets
  }
}
