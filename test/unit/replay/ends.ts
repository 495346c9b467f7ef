import { plainSlab } from '../../../src/bytes/slab.js'
import type { CryptoEngine } from '../../../src/crypto/types.js'
import { DROP } from '../../../src/ipsec/drop.js'
import { type KeyedSa, keyedSaOf } from '../../../src/replay/keys/keyed-sa.js'
import { REPLAY_SLAB_LEN, Replay, type ReplayOptions } from '../../../src/replay/replay.js'
import type { SaSpec } from '../../../src/sadb/sa-spec.js'
import { DST, engines, get, pair, put, SRC, verdict } from '../ipsec/fixtures.js'

/** A host that protects packets, with the sequence numbers from `first` on. */
export class SealingHost {
  readonly spec: SaSpec
  private readonly pair: ReturnType<typeof pair>

  constructor(spec: SaSpec, first: { high?: number; low: number } = { low: 1 }) {
    this.spec = spec
    this.pair = pair(spec)
    if (first.low > 1 || first.high) this.pair.out.skipTo(first.high ?? 0, first.low - 1)
  }

  /** The outer packet of an inner one. */
  seal(inner: Buffer): Buffer {
    const { slab, out, outbound } = this.pair
    put(slab, SRC, inner)
    const n = outbound.seal(out, SRC, inner.length, DST)
    if (n < 0) throw new Error(String(verdict(n)))
    return get(slab, DST, n)
  }

  /** The SA as a key file of Wireshark's has it: mode, window and selectors are not in it. */
  get foreign(): KeyedSa {
    const keyed = keyedSaOf(this.spec)
    return {
      ...keyed,
      mode: undefined,
      replayWindow: undefined,
      sourceTs: undefined,
      destinationTs: undefined,
    }
  }
}

/** What came of each packet: the inner one in hexadecimal, or the name of its cause. */
export function play(replay: Replay, packets: readonly Buffer[], timeNs?: (i: number) => bigint): string[] {
  return packets.map((p, i) => {
    // Not at the start of its buffer, and with something behind it, as in a capture.
    const b = Buffer.concat([Buffer.alloc(7, 0x45), p, Buffer.alloc(9, 0x50)])
    const n = replay.play(b, 7, p.length, timeNs?.(i))
    if (n < 0) return Object.entries(DROP).find(([, code]) => code === n)![0]
    return Buffer.from(replay.bytes.subarray(replay.at, replay.at + n)).toString('hex')
  })
}

export function replayOf(
  keys: readonly KeyedSa[],
  more: Partial<ReplayOptions> = {},
  by: readonly CryptoEngine[] = engines,
): Replay {
  return new Replay({ keys, engines: by, slab: plainSlab(REPLAY_SLAB_LEN), ...more })
}

/** An IPv4 or IPv6 packet in fragments of `size` octets of payload, a multiple of 8. */
export function fragments(packet: Buffer, size: number, id = 77): Buffer[] {
  const v4 = packet[0]! >>> 4 === 4
  const headers = v4 ? (packet[0]! & 15) * 4 : 40
  const payload = packet.subarray(headers)
  const pieces: Buffer[] = []
  for (let at = 0; at < payload.length; at += size) {
    const piece = payload.subarray(at, at + size)
    const more = at + size < payload.length
    const head = Buffer.from(packet.subarray(0, headers))
    if (v4) {
      head.writeUInt16BE(headers + piece.length, 2)
      head.writeUInt16BE(id, 4)
      head.writeUInt16BE((more ? 0x2000 : 0) | (at / 8), 6)
      pieces.push(Buffer.concat([head, piece]))
    } else {
      const extension = Buffer.alloc(8)
      extension[0] = head[6]!
      extension.writeUInt16BE(at | (more ? 1 : 0), 2)
      extension.writeUInt32BE(id, 4)
      head[6] = 44
      head.writeUInt16BE(8 + piece.length, 4)
      pieces.push(Buffer.concat([head, extension, piece]))
    }
  }
  return pieces
}
