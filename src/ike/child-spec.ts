import { encryptionInfo } from '../crypto/algorithms.js'
import type { SaLifetime, SaSpec } from '../sadb/sa-spec.js'
import type { AgreedChild } from './child-sa.js'
import type { Path } from './path.js'

// What the data path is told about one direction of a CHILD_SA.

/**
 * Part of a limit after which a new SA is negotiated: 80 to 90 %; the end that did not begin the last time comes later,
 * so that both rarely begin at once.
 */
const softPart = (role: AgreedChild['role'], jitter: number): number =>
  role === 'initiator' ? 0.9 - 0.1 * jitter : 0.95 - 0.05 * jitter

/** A request goes out after 0, 1, 3 and 7 seconds: that many leave room for four before the end of the SA. */
const TRIES_SECONDS = 10

/** Of a short lifetime no more than this part is for renewing it. */
const TRIES_PART = 1 / 3

/**
 * Seconds of a lifetime after which a new SA is negotiated: `softPart`, and earlier where a request that is lost could not be
 * repeated often enough. The end that comes later has time for four of its own as well.
 * @param jitter 0 to 1
 */
export function softSeconds(seconds: number, role: AgreedChild['role'], jitter: number): number {
  const tries = Math.min(TRIES_SECONDS, seconds * TRIES_PART)
  const room = tries * (role === 'initiator' ? 1 + 0.2 * jitter : 0.75 + 0.2 * jitter)
  return Math.min(seconds * softPart(role, jitter), seconds - room)
}

/** Limits that a peer may set at the least. */
const FLOOR_SECONDS = 30
const FLOOR_OCTETS = 1 << 20

/** @param jitter 0 to 1 */
export function lifetimeOf(a: AgreedChild, jitter: number): SaLifetime {
  const { lifetime } = a.child
  const part = softPart(a.role, jitter)
  const seconds = shorter(lifetime.hardSeconds, a.lifeSeconds, FLOOR_SECONDS)
  const octets = shorter(lifetime.hardOctets, a.lifeOctets, FLOOR_OCTETS)
  const packets = lifetime.hardPackets
  return {
    ...(seconds !== undefined && { softSeconds: softSeconds(seconds, a.role, jitter), hardSeconds: seconds }),
    ...(octets !== undefined && { softOctets: Math.floor(octets * part), hardOctets: octets }),
    ...(packets !== undefined && { softPackets: Math.floor(packets * part), hardPackets: packets }),
  }
}

/** The shorter of our limit and the peer's, which may not be below a floor: it would have us do nothing but rekey. */
function shorter(ours: number | undefined, theirs: number | undefined, floor: number): number | undefined {
  if (theirs === undefined) return ours
  return Math.min(ours ?? Number.POSITIVE_INFINITY, Math.max(theirs, floor))
}

/** Cuts KEYMAT: cipher key with its salt, then integrity key. The lifetime by time is kept here, not by the data path. */
export function specOf(
  a: AgreedChild,
  direction: SaSpec['direction'],
  keymat: Uint8Array,
  path: Path,
  life: SaLifetime,
): SaSpec {
  const { proposal } = a
  const cipher = proposal.encryption === undefined ? undefined : encryptionInfo(proposal.encryption.id)
  const keyOctets = cipher?.hasKeyLengthAttribute
    ? proposal.encryption!.keyBits / 8
    : (cipher?.keyLengths[0] ?? 0)
  const cut = keyOctets + (cipher?.saltLength ?? 0)
  const { softSeconds: _soft, ...lifetime } = life
  return {
    direction,
    protocol: proposal.protocol,
    mode: a.mode,
    spi: direction === 'inbound' ? a.inboundSpi : a.outboundSpi,
    policy: a.child.policy,
    ...(cipher !== undefined && { encryption: { id: cipher.id, key: keymat.slice(0, cut) } }),
    ...(proposal.integrity !== 0 && { integrity: { id: proposal.integrity, key: keymat.slice(cut) } }),
    esn: proposal.esn,
    replayWindow: direction === 'inbound' ? a.child.replayWindow : 0,
    local: path.local.address,
    remote: path.remote.address,
    ...(a.udp && { udp: { localPort: path.local.port, remotePort: path.remote.port } }),
    localTs: a.localTs,
    remoteTs: a.remoteTs,
    lifetime,
    ...(a.noTfc && direction === 'outbound' && { tfc: false }),
  }
}
