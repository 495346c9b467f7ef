import type { Slab } from '../bytes/slab.js'
import type { CryptoEngine } from '../crypto/types.js'
import { ConfigError } from '../errors.js'
import { ACQUIRE, DROP } from '../ipsec/drop.js'
import { Outbound, sealedLength } from '../ipsec/outbound.js'
import { createOutboundSa, type InboundSa, type OutboundSa } from '../ipsec/sa.js'
import { Sad } from '../ipsec/sad.js'
import { POLICIES_MAX, Spd } from '../ipsec/spd.js'
import type { SaMode } from '../sadb/sa-spec.js'
import { IpPacket } from '../wire/ip-packet.js'
import { UDP } from '../wire/ip-protocol.js'
import { NATT_PORT } from '../wire/udp.js'
import type { IpsecPeek } from './ipsec-peek.js'
import { type KeyedSa, specOf } from './keys/keyed-sa.js'

const IKE_PORT = 500

export interface Sealed {
  readonly at: number
  /** Octets, or a negative DROP code. */
  readonly length: number
}

/** A packet that was opened, and the SA that it came by. */
export interface Opened {
  readonly sa: InboundSa
  readonly keyed: KeyedSa
  readonly mode: SaMode
  readonly peek: IpsecPeek
  /** High half of its sequence number. */
  readonly high: number
}

/**
 * The outbound pipeline of a replay. What was opened is protected again by the same SA with the same sequence number; what the
 * capture has in plain goes by policy, the first SA of the key file that may carry it.
 */
export class Sealer {
  /** Opened packets that were protected again. */
  resealed = 0
  /** Of these: ESP or AH is octet for octet what was captured. */
  identical = 0
  /** Plain packets that were protected. */
  sealedPlain = 0
  private readonly engines: readonly CryptoEngine[]
  private readonly slab: Slab
  private readonly room: { readonly at: number; readonly length: number }
  private readonly spd = new Spd()
  private readonly sad = new Sad()
  private readonly outbound: Outbound
  private readonly twins = new Map<InboundSa, OutboundSa>()
  private readonly packet = new IpPacket()

  /** @param room slab memory for one packet */
  constructor(
    keys: readonly KeyedSa[],
    engines: readonly CryptoEngine[],
    slab: Slab,
    room: { readonly at: number; readonly length: number },
  ) {
    this.engines = engines
    this.slab = slab
    this.room = room
    this.outbound = new Outbound(slab, this.spd, this.sad)
    if (keys.length > POLICIES_MAX)
      throw new ConfigError(
        `--outbound with ${keys.length} SAs: at most ${POLICIES_MAX}; give a file with fewer`,
      )
    for (const [i, keyed] of keys.entries()) this.addPolicy(i + 1, keyed)
  }

  /** @param b the packet as it was captured, at `from` */
  again(at: number, length: number, b: Uint8Array, from: number, opened: Opened): Sealed {
    const { peek } = opened
    const sa = this.twin(opened)
    const sealed = this.seal(sa, at, length)
    if (sealed.length < 0) return sealed
    this.resealed++
    const { protectedAt } = this.outbound
    const octets = sealed.at + sealed.length - protectedAt
    const captured = b.subarray(from + peek.offset, from + peek.offset + octets)
    if (Buffer.compare(captured, this.slab.bytes.subarray(protectedAt, protectedAt + octets)) === 0)
      this.identical++
    return sealed
  }

  /** @returns undefined for what a gateway does not protect: IKE */
  plain(at: number, available: number): Sealed | undefined {
    const { outbound, packet } = this
    if (packet.parse(this.slab.bytes, at, available) && isIke(packet)) return undefined
    const n = outbound.lookup(at, available)
    if (n < 0 || !outbound.sa) return { at, length: n === ACQUIRE ? DROP.NO_SA : n }
    const sealed = this.seal(outbound.sa, at, n)
    if (sealed.length >= 0) this.sealedPlain++
    return sealed
  }

  close(): void {
    this.sad.clear()
    for (const sa of this.twins.values()) sa.destroy()
  }

  private seal(sa: OutboundSa, at: number, length: number): Sealed {
    if (sealedLength(sa, length) > this.room.length) return { at, length: DROP.TOO_LONG }
    return { at: this.room.at, length: this.outbound.seal(sa, at, length, this.room.at) }
  }

  /** The SA that sends what the opened packet's SA receives, about to use the same number. */
  private twin({ sa: inbound, keyed, mode, peek, high }: Opened): OutboundSa {
    let sa = this.twins.get(inbound)
    const low = peek.sequence
    const used = sa && (sa.sequenceHigh > high || (sa.sequenceHigh === high && sa.sequenceLow >= low))
    if (!sa || used) {
      // Numbers only go up in an SA; for one that comes late, there is another.
      sa?.destroy()
      const { udp, source, destination } = peek
      const spec = specOf(keyed, 'outbound', {
        source,
        destination,
        mode,
        policy: 0,
        replayWindow: 0,
        ...(udp && { udp }),
      })
      sa = createOutboundSa(spec, this.engines, this.slab, { nowMs: 0 })
      this.twins.set(inbound, sa)
    }
    if (low > 0) sa.skipTo(high, low - 1)
    else if (high > 0) sa.skipTo(high - 1, 0xffff_ffff)
    return sa
  }

  private addPolicy(id: number, keyed: KeyedSa): void {
    const { source, destination } = keyed
    // Where a packet is to go must be known.
    if (!source || !destination) return
    const spec = specOf(keyed, 'outbound', {
      source,
      destination,
      mode: 'tunnel',
      policy: id,
      replayWindow: 0,
    })
    const { mode, protocol, localTs, remoteTs } = spec
    this.spd.add({ id, peer: '', child: '', mode, protocol, localTs, remoteTs })
    this.sad.addOutbound(createOutboundSa(spec, this.engines, this.slab, { nowMs: 0 }))
  }
}

function isIke(p: IpPacket): boolean {
  if (p.protocol !== UDP) return false
  return [IKE_PORT, NATT_PORT].some((port) => p.sourcePort === port || p.destinationPort === port)
}
