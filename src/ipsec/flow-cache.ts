import { type IpPacket, PORT_IGNORED, PORT_NONE } from '../wire/ip-packet.js'
import type { OutboundSa } from './sa.js'

/** Flows remembered; a power of two. A flow that falls on another's place takes it. */
const FLOWS = 256
/** Words of a key: kind, ports, source, destination. */
const KEY_WORDS = 10

/**
 * Which SA a flow goes by: the answer of SPD and SAD, kept until either changes. Direct-mapped, fixed in size, nothing is
 * allocated per packet.
 */
export class FlowCache {
  private readonly keys = new Uint32Array(FLOWS * KEY_WORDS)
  private readonly sas: (OutboundSa | undefined)[] = new Array<OutboundSa | undefined>(FLOWS).fill(undefined)
  private readonly key = new Uint32Array(KEY_WORDS)
  private slot = 0

  /** The SA remembered for the packet's flow. `remember` then speaks of the same flow. */
  find(v: DataView, p: IpPacket): OutboundSa | undefined {
    this.slot = this.makeKey(v, p)
    const at = this.slot * KEY_WORDS
    const words = p.version === 4 ? 4 : KEY_WORDS
    for (let i = 0; i < words; i++) if (this.keys[at + i] !== this.key[i]) return undefined
    return this.sas[this.slot]
  }

  remember(sa: OutboundSa): void {
    this.keys.set(this.key, this.slot * KEY_WORDS)
    this.sas[this.slot] = sa
  }

  clear(): void {
    this.keys.fill(0) // the kind of a real flow is never zero
    this.sas.fill(undefined)
  }

  private makeKey(v: DataView, p: IpPacket): number {
    const k = this.key
    const ports =
      (p.sourcePort === PORT_NONE ? 1 : 0) |
      (p.destinationPort === PORT_NONE ? 2 : 0) |
      (p.destinationPort === PORT_IGNORED ? 4 : 0)
    k[0] = (p.version << 16) | (p.protocol << 8) | ports
    k[1] = ((p.sourcePort & 0xffff) << 16) | (p.destinationPort & 0xffff)
    let hash = Math.imul(k[0], 0x9e37_79b1) ^ Math.imul(k[1], 0x85eb_ca6b)
    if (p.version === 4) {
      k[2] = v.getUint32(p.sourceAt)
      k[3] = v.getUint32(p.destinationAt)
      hash ^= Math.imul(k[2], 0xc2b2_ae35) ^ Math.imul(k[3], 0x27d4_eb2f)
    } else
      for (let i = 0; i < 4; i++) {
        k[2 + i] = v.getUint32(p.sourceAt + i * 4)
        k[6 + i] = v.getUint32(p.destinationAt + i * 4)
        hash = Math.imul(hash ^ k[2 + i]!, 0xc2b2_ae35) ^ Math.imul(k[6 + i]!, 0x27d4_eb2f)
      }
    hash ^= hash >>> 15
    hash ^= hash >>> 8
    return hash & (FLOWS - 1)
  }
}
