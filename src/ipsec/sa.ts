import type { Slab } from '../bytes/slab.js'
import type { CryptoEngine } from '../crypto/types.js'
import { InternalError } from '../errors.js'
import {
  DEFAULT_HANDLING,
  type PacketHandling,
  type SaExpiry,
  type SaKey,
  type SaSpec,
} from '../sadb/sa-spec.js'
import type { IpAddress } from '../wire/ip-address.js'
import { IPV4_HEADER_LEN, IPV4_TOTAL_MAX } from '../wire/ipv4.js'
import { IPV6_HEADER_LEN, IPV6_TOTAL_MAX } from '../wire/ipv6.js'
import type { AhTransform } from './ah-transform.js'
import type { Burst } from './burst.js'
import { createAhTransform, createEspTransform } from './create-transform.js'
import { DSCP_MASK, ECN_MASK } from './ecn.js'
import type { EspTransform } from './esp-transform.js'
import { type OuterHeader, outerHeader } from './outer-header.js'
import { type EncapsulationShape, innerMtu } from './overhead.js'
import { ReplayWindow } from './replay-window.js'
import { saFault } from './sa-check.js'
import { SA_CELL, SA_CELLS, SaUse } from './sa-use.js'
import { SelectorSet } from './selector-set.js'

/** What an SA is, without its keys. */
export type SaInfo = Omit<SaSpec, 'encryption' | 'integrity'>

export interface SaOptions {
  /** The clock that every later `nowMs` comes from; from here the SA's time counts. */
  readonly nowMs: number
  /**
   * At least SA_CELLS cells that the SA counts in, indexed by SA_CELL; it sets them to zero first. Default: cells of its own.
   */
  readonly cells?: Float64Array
  /**
   * Eight octets for the IVs of CBC. An SA whose keys may have been used before (manual keys: sequence numbers start again
   * with every start of the program) must have random ones, or its IVs repeat. Not needed by other ciphers.
   */
  readonly ivSalt?: Uint8Array
  /** Compute the UDP checksum of whole IPv6 packets instead of zero. Without meaning where a UDP socket writes the header. */
  readonly udp6Checksum?: boolean
  /** The lane's: it runs it before anything reads what was sealed. */
  readonly burst?: Burst | undefined
  /** Default DEFAULT_HANDLING. */
  readonly handling?: PacketHandling
}

/** Sequence numbers that are left when the SA asks to be replaced: minutes at the highest rates. */
const SEQUENCE_RESERVE = 2 ** 28

const TCP_HEADER_LEN = 20

const LOW = 0
const HIGH = 1

/** What both directions have in common. */
abstract class Sa {
  info: SaInfo
  readonly spi: number
  readonly policy: number
  readonly tunnel: boolean
  readonly esn: boolean
  /** Exactly one of the two is there. */
  readonly esp: EspTransform | undefined
  readonly ah: AhTransform | undefined
  readonly use: SaUse
  readonly handling: PacketHandling
  /** Largest inner packet that the way carries, as far as it is known, the TUN device's MTU included. */
  fits = IPV4_TOTAL_MAX
  /** Bits of TOS or traffic class that are copied outwards, and inwards; in transport mode there is one header. */
  readonly tosOut: number
  readonly tosIn: number
  private readonly local: SelectorSet
  private readonly remote: SelectorSet

  protected constructor(spec: SaSpec, engines: readonly CryptoEngine[], slab: Slab, options: SaOptions) {
    const { encryption, integrity, ...info } = spec
    this.info = info
    this.spi = spec.spi
    this.policy = spec.policy
    this.tunnel = spec.mode === 'tunnel'
    this.esn = spec.esn
    this.handling = options.handling ?? DEFAULT_HANDLING
    const { dscp, ecn } = this.handling
    const tosBits = (way: 'in' | 'out'): number =>
      (dscp === way || dscp === 'both' ? DSCP_MASK : 0) | (ecn ? ECN_MASK : 0)
    this.tosOut = this.tunnel ? tosBits('out') : 0xff
    this.tosIn = tosBits('in')
    this.local = new SelectorSet(spec.localTs)
    this.remote = new SelectorSet(spec.remoteTs)
    this.use = new SaUse(spec.lifetime, options.nowMs, options.cells ?? new Float64Array(SA_CELLS))
    this.esp =
      spec.protocol === 'esp'
        ? createEspTransform(spec, { engines, slab, ivSalt: ivSaltOf(options), burst: options.burst })
        : undefined
    this.ah = spec.protocol === 'ah' ? createAhTransform(spec, engines, slab) : undefined
  }

  /** Fragments cannot go by it: transport mode, and selectors with ports, which later fragments do not have (RFC 4301 section 7). */
  get wantsWhole(): boolean {
    return !this.tunnel || this.local.hasPorts || this.remote.hasPorts
  }

  /** Largest MSS for a TCP connection of that IP version; 0 = whatever its ends want. */
  mssLimit(version: 4 | 6): number {
    const { mss } = this.handling
    if (mss === 'off') return 0
    const room = this.fits - (version === 4 ? IPV4_HEADER_LEN : IPV6_HEADER_LEN) - TCP_HEADER_LEN
    return mss === 'auto' ? room : Math.min(mss, room)
  }

  get key(): SaKey {
    const { direction, protocol, spi, policy } = this.info
    return { direction, protocol, spi, policy }
  }

  /** Selectors of this host's end and of the peer's. */
  get localSelectors(): SelectorSet {
    return this.local
  }

  get remoteSelectors(): SelectorSet {
    return this.remote
  }

  /**
   * A limit of the lifetime that was reached since the last call. Ask a few times a second; limits in octets and packets stop
   * the SA at once, whether asked or not.
   */
  expiry(nowMs: number): SaExpiry | undefined {
    const due = this.use.due(nowMs)
    if (!due) return undefined
    const { direction, protocol, spi, policy } = this.info
    return { direction, protocol, spi, policy, ...due }
  }

  /** Wipes the keys. No packet may be given to the SA afterwards. */
  destroy(): void {
    this.esp?.destroy()
    this.ah?.destroy()
  }
}

/** An SA that packets leave by. */
export class OutboundSa extends Sa {
  readonly outer: OuterHeader
  /** Largest inner packet that fits the path MTU (RFC 4301 section 8.2.1); without limit while nothing was learnt. */
  innerMtu = IPV4_TOTAL_MAX
  /** Largest outer packet that the path carries, as far as it is known. */
  pathMtu = IPV6_TOTAL_MAX
  private readonly shape: EncapsulationShape
  private readonly sequence = new Uint32Array(2)

  /** @see createOutboundSa */
  constructor(spec: SaSpec, engines: readonly CryptoEngine[], slab: Slab, options: SaOptions) {
    super(spec, engines, slab, options)
    this.outer = outerHeader(spec, slab, options.udp6Checksum ?? false)
    this.shape = {
      protocol: spec.protocol,
      mode: spec.mode,
      encryption: spec.encryption?.id ?? 0,
      integrity: spec.integrity?.id ?? 0,
      udp: spec.udp !== undefined,
      addressLength: spec.local.length,
    }
  }

  /**
   * The peer of an SA in UDP is sent to another address and port, by whoever has the socket. In transport mode the address is
   * also the packets' own, which stays.
   */
  redirect(remote: IpAddress, port: number): void {
    const { udp } = this.info
    if (udp === undefined) return
    const to = this.tunnel ? { remote } : {}
    this.info = { ...this.info, ...to, udp: { ...udp, remotePort: port } }
  }

  /** @param mtu of the way to the peer, as a router told it; 0 = not known */
  pathMtuIs(mtu: number): void {
    this.pathMtu = mtu === 0 ? IPV6_TOTAL_MAX : mtu
    this.innerMtu = mtu === 0 ? IPV4_TOTAL_MAX : innerMtu(mtu, this.shape)
  }

  /** Octets of zeros behind an inner packet that make it look larger. */
  tfcPadding(length: number): number {
    const { tfc } = this.handling
    if (tfc === 0 || this.info.tfc === false || !this.tunnel || !this.esp) return 0
    const to = tfc === 'mtu' ? this.fits : Math.min(tfc, this.fits)
    return to < IPV4_TOTAL_MAX && to > length ? to - length : 0
  }

  /** The number sent last; zero before the first packet. */
  get sequenceLow(): number {
    return this.sequence[LOW]!
  }

  get sequenceHigh(): number {
    return this.sequence[HIGH]!
  }

  /**
   * Takes the next sequence number, read as sequenceLow and sequenceHigh.
   * @returns false when there is none: it never wraps (RFC 4303 section 3.3.3)
   */
  nextSequence(): boolean {
    const s = this.sequence
    const last = this.esn ? 0xffff_ffff : 0
    if (s[LOW] === 0xffff_ffff) {
      if (s[HIGH] === last) {
        this.use.sequenceRunsOut('hard')
        return false
      }
      s[HIGH] = s[HIGH]! + 1
      s[LOW] = 0
    } else s[LOW] = s[LOW]! + 1
    if (s[HIGH] === last && s[LOW]! >= 2 ** 32 - SEQUENCE_RESERVE) this.use.sequenceRunsOut('soft')
    const { cells } = this.use
    cells[SA_CELL.SEQUENCE_LOW] = s[LOW]!
    cells[SA_CELL.SEQUENCE_HIGH] = s[HIGH]!
    return true
  }

  /**
   * Goes on behind a number already used, e.g. by a captured packet in replay. Only upwards: a number under one key must not
   * come twice.
   */
  skipTo(high: number, low: number): void {
    const s = this.sequence
    if (high < s[HIGH]! || (high === s[HIGH] && low < s[LOW]!))
      throw new InternalError('sequence numbers of an SA only go up')
    if (high !== 0 && !this.esn) throw new InternalError('the SA has no extended sequence numbers')
    s[LOW] = low
    s[HIGH] = high
  }
}

/** An SA that packets come in by. */
export class InboundSa extends Sa {
  /** Where the newest packet in UDP came from. */
  private readonly peer = new Uint8Array(16)
  private peerPort: number
  readonly replay: ReplayWindow
  /** Next header of the packet opened last. */
  nextHeader = 0

  /** @see createInboundSa */
  constructor(spec: SaSpec, engines: readonly CryptoEngine[], slab: Slab, options: SaOptions) {
    super(spec, engines, slab, options)
    this.replay = new ReplayWindow(spec.replayWindow, spec.esn)
    this.peer.set(spec.remote)
    this.peerPort = spec.udp?.remotePort ?? 0
  }

  /** Whether packets came from there so far. @param source octets of the address at `at` */
  isFrom(source: Uint8Array, at: number, port: number): boolean {
    if (port !== this.peerPort) return false
    const { peer } = this
    for (let i = this.info.remote.length - 1; i >= 0; i--) if (peer[i] !== source[at + i]) return false
    return true
  }

  /** From now on they do. */
  nowFrom(source: Uint8Array, at: number, port: number): void {
    for (let i = this.info.remote.length - 1; i >= 0; i--) this.peer[i] = source[at + i]!
    this.peerPort = port
  }

  /** Records the number that the replay window found new; the packet was authentic. */
  commitSequence(): void {
    const { replay, use } = this
    replay.commit()
    use.cells[SA_CELL.SEQUENCE_LOW] = replay.topLow
    use.cells[SA_CELL.SEQUENCE_HIGH] = replay.topHigh
  }
}

/**
 * @param engines in order of preference: each algorithm is taken from the first that has it. They copy the keys; the caller wipes
 *   those of `spec`
 * @throws InternalError when the SA cannot be (see saFault) @throws CryptoError when no engine has an algorithm
 */
export function createOutboundSa(
  spec: SaSpec,
  engines: readonly CryptoEngine[],
  slab: Slab,
  options: SaOptions,
): OutboundSa {
  check(spec, 'outbound')
  return new OutboundSa(spec, engines, slab, options)
}

/** The same for the other direction. */
export function createInboundSa(
  spec: SaSpec,
  engines: readonly CryptoEngine[],
  slab: Slab,
  options: SaOptions,
): InboundSa {
  check(spec, 'inbound')
  return new InboundSa(spec, engines, slab, options)
}

function check(spec: SaSpec, direction: SaSpec['direction']): void {
  const name = `${spec.direction} ${spec.protocol.toUpperCase()} SA ${spec.spi.toString(16).padStart(8, '0')}`
  const fault = spec.direction === direction ? saFault(spec) : `it is not ${direction}`
  if (fault) throw new InternalError(`${name}: ${fault}`)
}

function ivSaltOf({ ivSalt }: SaOptions): readonly [number, number] {
  if (!ivSalt) return [0, 0]
  if (ivSalt.length !== 8) throw new InternalError(`an IV salt of ${ivSalt.length} octets: it must have 8`)
  const v = new DataView(ivSalt.buffer, ivSalt.byteOffset, 8)
  return [v.getUint32(0), v.getUint32(4)]
}
