import { SCRATCH_LEN, type Slab } from '../bytes/slab.js'
import type { CryptoEngine } from '../crypto/types.js'
import { DROP } from '../ipsec/drop.js'
import { Inbound } from '../ipsec/inbound.js'
import { createInboundSa, type InboundSa } from '../ipsec/sa.js'
import { SA_CELL } from '../ipsec/sa-use.js'
import { Sad } from '../ipsec/sad.js'
import type { SaMode, SaProtocol } from '../sadb/sa-spec.js'
import { formatIp } from '../wire/ip-address.js'
import { IPV4_DESTINATION, IPV4_HEADER_LEN, ipVersion } from '../wire/ipv4.js'
import { IPV6_DESTINATION, IPV6_HEADER_LEN, IPV6_TOTAL_MAX } from '../wire/ipv6.js'
import { type IpsecPeek, peekIpsec } from './ipsec-peek.js'
import { type KeyedSa, specOf } from './keys/keyed-sa.js'
import { Reassembly } from './reassembly.js'
import { type Sealed, Sealer } from './sealer.js'

/** Of an SA whose keys come without a window. */
export const REPLAY_WINDOW_DEFAULT = 4096

const HEAD_ROOM = 256
const TAIL_ROOM = 256
const PACKET_AT = SCRATCH_LEN + HEAD_ROOM
const SEALED_AT = PACKET_AT + IPV6_TOTAL_MAX + TAIL_ROOM
const SEALED_ROOM = IPV6_TOTAL_MAX + TAIL_ROOM
/** Octets for packets that a slab for `Replay` needs. */
export const REPLAY_SLAB_LEN = SEALED_AT - SCRATCH_LEN + SEALED_ROOM

export interface ReplayOptions {
  readonly keys: readonly KeyedSa[]
  readonly engines: readonly CryptoEngine[]
  /** With REPLAY_SLAB_LEN octets for packets. */
  readonly slab: Slab
  /** Replaces the windows that the keys come with. */
  readonly replayWindow?: number
  /** Protect what comes out, and what the capture has in plain, again. */
  readonly outbound?: boolean
}

/** One SA that the capture has packets of. */
export interface SeenSa {
  readonly protocol: SaProtocol
  readonly spi: number
  readonly source: string
  readonly destination: string
  readonly mode: SaMode
  readonly packets: number
  /** Of inner packets. */
  readonly octets: number
  /** Packets that it refused. */
  readonly errors: number
}

/** What one host, the address that packets are for, would have in its SAD. */
interface Host {
  readonly address: Uint8Array
  readonly sad: Sad
  readonly inbound: Inbound
}

interface Entry {
  readonly keyed: KeyedSa
  readonly peek: IpsecPeek
  readonly host: Host
  readonly mode: SaMode
  readonly sa: InboundSa
}

/**
 * The inbound pipeline of the gateway, fed from a capture instead of sockets: the same code, window and checks, one packet a
 * call. An SA is set up when its first packet comes, and what its key file left open is taken from that packet.
 */
export class Replay {
  /** Inner packet, or with `outbound` the packet that was made, of the last call that found one. */
  readonly bytes: Uint8Array
  at = 0
  /** Fragments that were put together to whole packets. */
  reassembled = 0
  readonly sealer: Sealer | undefined
  private readonly options: ReplayOptions
  private readonly slab: Slab
  private readonly known = new Map<string, KeyedSa[]>()
  private readonly hosts = new Map<string, Host>()
  /** Takes packets to addresses that no SA ends at. */
  private readonly nobody: Host
  private host: Host
  private readonly entries = new Map<InboundSa, Entry>()
  private readonly reassembly = new Reassembly()

  constructor(options: ReplayOptions) {
    this.options = options
    this.slab = options.slab
    this.bytes = options.slab.bytes
    this.nobody = this.newHost(new Uint8Array(0))
    this.host = this.nobody
    for (const keyed of options.keys) {
      const name = nameOf(keyed.protocol, keyed.spi)
      this.known.set(name, [...(this.known.get(name) ?? []), keyed])
      if (keyed.destination) this.hostOf(keyed.destination)
    }
    if (options.outbound)
      this.sealer = new Sealer(options.keys, options.engines, options.slab, {
        at: SEALED_AT,
        length: SEALED_ROOM,
      })
  }

  /**
   * Plays one packet.
   * @param b an IP packet at `from`, of which `available` octets are there; not changed
   * @param timeNs of the capture, for reassembly
   * @returns octets of the packet at `bytes[at]`, or a negative DROP code. OUTER_FRAGMENT is what every fragment but the last of a
   *   packet gets
   */
  play(b: Uint8Array, from: number, available: number, timeNs: bigint | undefined): number {
    const host = this.find(b, from, available)
    const verdict = this.open(host, b, from, available)
    if (verdict !== DROP.OUTER_FRAGMENT || host === this.nobody)
      return this.protect(verdict, b, from, available)
    const packet = this.reassembly.add(b, from, available, timeNs)
    if (!packet) return DROP.OUTER_FRAGMENT
    this.reassembled++
    return this.protect(this.open(host, packet, 0, packet.length), packet, 0, packet.length)
  }

  /** The SAs with packets, in the order of their first ones. */
  seen(): SeenSa[] {
    return [...this.entries.values()].map(({ keyed, peek, mode, sa }) => ({
      protocol: keyed.protocol,
      spi: keyed.spi,
      source: formatIp(peek.source),
      destination: formatIp(peek.destination),
      mode,
      packets: sa.use.cells[SA_CELL.PACKETS]!,
      octets: sa.use.cells[SA_CELL.OCTETS]!,
      errors: sa.use.cells[SA_CELL.ERRORS]!,
    }))
  }

  /** Wipes the keys. */
  close(): void {
    for (const { sad } of this.hosts.values()) sad.clear()
    this.sealer?.close()
  }

  private open(host: Host, b: Uint8Array, from: number, available: number): number {
    const verdict = this.inbound(host, b, from, available)
    if (verdict === DROP.UNKNOWN_SPI) {
      const peek = peekIpsec(b, from, available)
      const entry = peek && this.setUp(peek)
      if (entry) return this.open(entry.host, b, from, available)
      return peek && this.known.has(nameOf(peek.protocol, peek.spi)) ? DROP.WRONG_DESTINATION : verdict
    }
    if (verdict === DROP.BAD_NEXT_HEADER) {
      // Authentic, and no IP packet inside: an SA whose mode its key file does not tell is one of transport mode then.
      const entry = host.inbound.sa && this.entries.get(host.inbound.sa)
      const untold = entry?.keyed.mode === undefined && entry?.mode === 'tunnel'
      if (entry && untold && entry.sa.use.cells[SA_CELL.PACKETS] === 0) {
        this.install(entry.keyed, entry.peek, entry.host, 'transport', entry.sa)
        return this.open(host, b, from, available)
      }
    }
    return verdict
  }

  private inbound(host: Host, b: Uint8Array, from: number, available: number): number {
    const length = Math.min(available, IPV6_TOTAL_MAX)
    this.bytes.set(b.subarray(from, from + length), PACKET_AT)
    const { inbound } = host
    const v4 = length === 0 || ipVersion(this.bytes, PACKET_AT) === 4
    const n = v4 ? inbound.openIpv4(PACKET_AT, length) : inbound.openIpv6(PACKET_AT, length)
    this.at = inbound.at
    return n
  }

  private protect(verdict: number, b: Uint8Array, from: number, available: number): number {
    const { sealer } = this
    if (!sealer) return verdict
    let sealed: Sealed | undefined
    if (verdict >= 0) {
      const sa = this.host.inbound.sa
      const entry = sa && this.entries.get(sa)
      const peek = peekIpsec(b, from, available)
      if (!sa || !entry || !peek) return verdict
      sealed = sealer.again(this.at, verdict, b, from, { ...entry, peek, high: sa.replay.high })
    } else if (verdict === DROP.NOT_IPSEC || verdict === DROP.OUTER_FRAGMENT) {
      // The pipeline has only read it: it lies where it was put.
      sealed = sealer.plain(PACKET_AT, Math.min(available, IPV6_TOTAL_MAX))
    }
    if (!sealed) return verdict
    this.at = sealed.at
    return sealed.length
  }

  /** The host that the packet is for. */
  private find(b: Uint8Array, from: number, available: number): Host {
    const v4 = available >= IPV4_HEADER_LEN && ipVersion(b, from) === 4
    const v6 = available >= IPV6_HEADER_LEN && ipVersion(b, from) === 6
    if (!v4 && !v6) return this.nobody
    const at = from + (v4 ? IPV4_DESTINATION : IPV6_DESTINATION)
    const octets = v4 ? 4 : 16
    if (!isAt(this.host.address, b, at, octets))
      this.host = this.hosts.get(addressKey(b.subarray(at, at + octets))) ?? this.nobody
    return this.host
  }

  private hostOf(address: Uint8Array): Host {
    const key = addressKey(address)
    const host = this.hosts.get(key) ?? this.newHost(address)
    this.hosts.set(key, host)
    return host
  }

  private newHost(address: Uint8Array): Host {
    const sad = new Sad()
    return { address, sad, inbound: new Inbound(this.slab, sad) }
  }

  /** The SA of the first packet under its SPI. The bound of hosts is that of keys: each is made for an SA. */
  private setUp(peek: IpsecPeek): Entry | undefined {
    const candidates = (this.known.get(nameOf(peek.protocol, peek.spi)) ?? []).filter((k) =>
      admits(k.destination, peek.destination),
    )
    const keyed = candidates.find((k) => admits(k.source, peek.source)) ?? candidates[0]
    if (!keyed || this.entries.size >= ENTRIES_MAX) return undefined
    const host = this.hostOf(peek.destination)
    this.host = host
    return this.install(keyed, peek, host, keyed.mode ?? 'tunnel')
  }

  private install(keyed: KeyedSa, peek: IpsecPeek, host: Host, mode: SaMode, old?: InboundSa): Entry {
    const { replayWindow, engines } = this.options
    const given = replayWindow === undefined ? keyed : { ...keyed, replayWindow }
    const hints = { ...peek, mode, policy: 1, replayWindow: REPLAY_WINDOW_DEFAULT }
    const { udp, ...rest } = hints
    const spec = specOf(given, 'inbound', udp ? { ...rest, udp } : rest)
    const sa = createInboundSa(spec, engines, this.slab, { nowMs: 0 })
    // A capture may begin anywhere, and not with its lowest number: a window's width in front of it everything is new.
    if (keyed.esn && keyed.esnHigh > 0) {
      const low = peek.sequence - spec.replayWindow
      sa.replay.startAt(low < 0 ? keyed.esnHigh - 1 : keyed.esnHigh, low >>> 0)
    }
    if (old) this.entries.delete(old)
    host.sad.addInbound(sa)
    const entry = { keyed, peek, host, mode, sa }
    this.entries.set(sa, entry)
    return entry
  }
}

/** SAs that a capture may have packets of. */
const ENTRIES_MAX = 4096

const nameOf = (protocol: SaProtocol, spi: number): string => `${protocol} ${spi}`
const addressKey = (address: Uint8Array): string => String.fromCharCode(...address)

/** @param expected undefined = any */
function admits(expected: Uint8Array | undefined, found: Uint8Array): boolean {
  return expected === undefined || isAt(expected, found, 0, found.length)
}

function isAt(address: Uint8Array, b: Uint8Array, at: number, octets: number): boolean {
  if (address.length !== octets) return false
  for (let i = 0; i < octets; i++) if (address[i] !== b[at + i]) return false
  return true
}
