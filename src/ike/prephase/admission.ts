import { equalOctets, wipe } from '../../bytes/octets.js'
import type { Millis, TimestampStore } from '../environment.js'
import { formatIdentity } from '../identity.js'
import { formatIdBody, type MessageOf } from './messages.js'
import type { PeerRecord } from './peers.js'
import type { Cause } from './refusals.js'
import { goesFirst } from './simultaneous.js'
import { compareLabels, LABEL_LEN } from './tai64n.js'

// The checks that a new step 1 passes before anything is kept or sent for it, the cheap ones first.

export type Admission =
  | { readonly ok: true; readonly peer: PeerRecord /** Secret, the caller's. */; readonly na: Uint8Array }
  | {
      readonly ok: false
      readonly peer: PeerRecord
      readonly cause: Cause
      readonly fields?: Record<string, unknown>
    }

/**
 * Decides about a step 1 under a cookie that no exchange uses. When it is admitted, its timestamp is on the disk.
 * @param candidates the peers at the address that it came from, at least one
 * @param ci its initiator cookie
 * @param message the octets that `m` was parsed from
 */
export function admit(
  now: Millis,
  candidates: readonly PeerRecord[],
  ci: Uint8Array,
  m: MessageOf<1>,
  message: Uint8Array,
  timestamps: TimestampStore,
): Admission {
  const named = candidates.filter((p) => equalOctets(p.remoteId, m.id))
  const peer = named.find((p) => p.config.dynamicPsk === m.scheme) ?? named[0]
  if (peer === undefined) {
    const own = candidates.some((p) => equalOctets(p.localId, m.id))
    const id = formatIdBody(m.id)
    const expected = candidates.map((p) => formatIdentity(p.config.remoteId)).join(' or ')
    const fields = { id, expected }
    return { ok: false, peer: candidates[0]!, cause: own ? 'own-id' : 'unknown-id', fields }
  }
  const ours = peer.config.dynamicPsk
  if (ours !== m.scheme)
    return { ok: false, peer, cause: 'scheme-mismatch', fields: { ours, theirs: m.scheme } }
  if (m.scheme === 'classic' && !peer.classicRate.take(now)) return { ok: false, peer, cause: 'rate-limit' }
  const na = peer.code.openStep1(ci, m, message)
  if (na === undefined) return { ok: false, peer, cause: 'bad-mac' }
  const refused = (cause: Cause, fields: Record<string, unknown> = {}): Admission => {
    wipe(na)
    return { ok: false, peer, cause, fields }
  }
  if (m.scheme === 'classic')
    return goesFirst(peer.initiator, ci) ? refused('peer-waits') : { ok: true, peer, na }
  const label = new Uint8Array(m.nonce.subarray(0, LABEL_LEN))
  const last = timestamps.lastAccepted(peer.storeKey)
  if (last !== undefined && compareLabels(label, last) <= 0) return refused('stale-timestamp')
  // Before the label is accepted: the message may be repeated and wanted when our own attempt is over.
  if (goesFirst(peer.initiator, ci)) return refused('peer-waits')
  try {
    timestamps.setLastAccepted(peer.storeKey, label)
  } catch (error) {
    return refused('timestamp-store', { error: String(error) })
  }
  return { ok: true, peer, na }
}
