import { InternalError } from '../errors.js'
import type { PacketHandling, PolicySpec } from '../sadb/sa-spec.js'
import { type IpPacket, PORT_IGNORED } from '../wire/ip-packet.js'
import { SelectorSet } from './selector-set.js'

/** Policies of one lane. A look-up that no cache answers goes through them one by one. */
export const POLICIES_MAX = 1024

/** One SPD entry with its selectors laid out for the hot path. */
export class Policy {
  readonly spec: PolicySpec
  private readonly local: SelectorSet
  private readonly remote: SelectorSet

  constructor(spec: PolicySpec) {
    this.spec = spec
    this.local = new SelectorSet(spec.localTs)
    this.remote = new SelectorSet(spec.remoteTs)
  }

  get id(): number {
    return this.spec.id
  }

  /** Its SAs carry whole packets only, no fragments: transport mode, and selectors with ports (RFC 4301 section 7). */
  get wantsWhole(): boolean {
    return this.spec.mode === 'transport' || this.local.hasPorts || this.remote.hasPorts
  }

  /** True when the policy may cover the packet that a fragment is of: its ports are not known. */
  mayCover(v: DataView, p: IpPacket): boolean {
    return (
      this.local.matches(v, p.version, p.sourceAt, p.protocol, PORT_IGNORED) &&
      this.remote.matches(v, p.version, p.destinationAt, p.protocol, PORT_IGNORED)
    )
  }

  /** True when a packet that this host sends belongs to the policy. */
  covers(v: DataView, p: IpPacket): boolean {
    return (
      this.local.matches(v, p.version, p.sourceAt, p.protocol, p.sourcePort) &&
      this.remote.matches(v, p.version, p.destinationAt, p.protocol, p.destinationPort)
    )
  }
}

/**
 * The security policy database of outbound traffic (RFC 4301 section 4.4.1): an ordered list, the first policy that covers a
 * packet decides. There are no BYPASS entries: what no policy covers is dropped.
 */
export class Spd {
  /** Grows with every change; caches of look-ups compare it. */
  generation = 0
  private policies: readonly Policy[] = []
  private someWantWhole = false

  /** How the packets of a policy are to be treated; undefined for the defaults. */
  handling(id: number): PacketHandling | undefined {
    return this.policies.find((p) => p.id === id)?.spec.handling
  }

  get all(): readonly Policy[] {
    return this.policies
  }

  /**
   * Appends a policy, or replaces the one with the same id in its place.
   * @throws InternalError when the table is full
   */
  add(spec: PolicySpec): void {
    const policy = new Policy(spec)
    const at = this.policies.findIndex((p) => p.id === spec.id)
    if (at >= 0) this.policies = this.policies.with(at, policy)
    else if (this.policies.length >= POLICIES_MAX)
      throw new InternalError(`more than ${POLICIES_MAX} policies`)
    else this.policies = [...this.policies, policy]
    this.changed()
  }

  delete(id: number): void {
    this.policies = this.policies.filter((p) => p.id !== id)
    this.changed()
  }

  private changed(): void {
    this.someWantWhole = this.policies.some((p) => p.wantsWhole)
    this.generation++
  }

  /** True for a fragment whose packet has to be put together first: the first policy that may cover it wants it whole. */
  wantsWhole(v: DataView, p: IpPacket): boolean {
    if (!this.someWantWhole) return false
    const { policies } = this
    for (let i = 0; i < policies.length; i++) if (policies[i]!.mayCover(v, p)) return policies[i]!.wantsWhole
    return false
  }

  /** The first policy that covers a packet parsed from the octets of `v`. */
  find(v: DataView, p: IpPacket): Policy | undefined {
    const { policies } = this
    for (let i = 0; i < policies.length; i++) if (policies[i]!.covers(v, p)) return policies[i]
    return undefined
  }
}
