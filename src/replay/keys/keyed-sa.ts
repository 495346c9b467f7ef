import type { SaMode, SaProtocol, SaSpec } from '../../sadb/sa-spec.js'
import type { IpAddress } from '../../wire/ip-address.js'
import { selectorOf, type TrafficSelector } from '../../wire/traffic-selector.js'

/**
 * An SA with its keys as files hold it: seen from the wire, so that both directions of a pair, and either host's, look alike.
 * Undefined is what a file does not say.
 */
export interface KeyedSa {
  readonly protocol: SaProtocol
  /** Host order. */
  readonly spi: number
  /** Outer addresses; undefined = any. */
  readonly source: IpAddress | undefined
  readonly destination: IpAddress | undefined
  readonly mode: SaMode | undefined
  /** As in SaSpec: a cipher key with its salt behind it. */
  readonly encryption?: { readonly id: number; readonly key: Uint8Array }
  readonly integrity?: { readonly id: number; readonly key: Uint8Array }
  readonly esn: boolean
  /** High half of the sequence number at the beginning of a capture. */
  readonly esnHigh: number
  /** Packets; 0 = no replay protection. */
  readonly replayWindow: number | undefined
  readonly udp?: { readonly sourcePort: number; readonly destinationPort: number }
  /** What the SA may carry; undefined = anything. */
  readonly sourceTs: readonly TrafficSelector[] | undefined
  readonly destinationTs: readonly TrafficSelector[] | undefined
}

/** SAs of a key file at most. */
export const KEYED_SAS_MAX = 4096

/** Of an installed SA. The keys alias those of `spec`. */
export function keyedSaOf(spec: SaSpec): KeyedSa {
  const out = spec.direction === 'outbound'
  const { udp } = spec
  return {
    protocol: spec.protocol,
    spi: spec.spi,
    source: out ? spec.local : spec.remote,
    destination: out ? spec.remote : spec.local,
    mode: spec.mode,
    ...(spec.encryption && { encryption: spec.encryption }),
    ...(spec.integrity && spec.integrity.id !== 0 && { integrity: spec.integrity }),
    esn: spec.esn,
    esnHigh: 0,
    replayWindow: spec.direction === 'inbound' ? spec.replayWindow : undefined,
    ...(udp && {
      udp: {
        sourcePort: out ? udp.localPort : udp.remotePort,
        destinationPort: out ? udp.remotePort : udp.localPort,
      },
    }),
    sourceTs: out ? spec.localTs : spec.remoteTs,
    destinationTs: out ? spec.remoteTs : spec.localTs,
  }
}

/** What a packet tells: addresses and ports, which are the packet's, and the rest where the key file leaves it open. */
export interface SpecHints {
  readonly source: IpAddress
  readonly destination: IpAddress
  readonly mode: SaMode
  readonly replayWindow: number
  readonly policy: number
  readonly udp?: { readonly sourcePort: number; readonly destinationPort: number }
}

const ANY: readonly TrafficSelector[] = [
  selectorOf({ address: new Uint8Array(4), length: 0 }),
  selectorOf({ address: new Uint8Array(16), length: 0 }),
]

/** The SA as the host at one of its ends has it. The keys alias those of `k`. */
export function specOf(k: KeyedSa, direction: SaSpec['direction'], h: SpecHints): SaSpec {
  const out = direction === 'outbound'
  const sourceTs = k.sourceTs ?? ANY
  const destinationTs = k.destinationTs ?? ANY
  const udp = h.udp ?? k.udp
  return {
    direction,
    protocol: k.protocol,
    mode: k.mode ?? h.mode,
    spi: k.spi,
    policy: h.policy,
    ...(k.encryption && { encryption: k.encryption }),
    ...(k.integrity && { integrity: k.integrity }),
    esn: k.esn,
    replayWindow: k.replayWindow ?? h.replayWindow,
    local: out ? h.source : h.destination,
    remote: out ? h.destination : h.source,
    ...(udp && {
      udp: {
        localPort: out ? udp.sourcePort : udp.destinationPort,
        remotePort: out ? udp.destinationPort : udp.sourcePort,
      },
    }),
    localTs: out ? sourceTs : destinationTs,
    remoteTs: out ? destinationTs : sourceTs,
    lifetime: {},
  }
}
