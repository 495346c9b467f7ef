import { equalOctets } from '../../bytes/octets.js'
import { WireError } from '../../errors.js'
import { emitId, emitNatOa, idOfSelector, parseId, selectorOfId } from '../../wire/ike/v1/id.js'
import { formatSelector, selectorOf, type TrafficSelector } from '../../wire/traffic-selector.js'
import type { ChildConfig } from '../config.js'
import type { Path } from '../path.js'
import type { NatState } from './nat.js'

// The identities of Quick Mode: one selector a side, the initiator's first (RFC 2409 section 5.5).

export interface SelectorPair {
  readonly local: TrafficSelector
  readonly remote: TrafficSelector
}

/** Bodies of the two ID payloads for a child, ours first; a text that says why there are none. */
export function idsOf(child: ChildConfig): readonly [Uint8Array, Uint8Array] | string {
  const [local, moreLocal] = child.localTs
  const [remote, moreRemote] = child.remoteTs
  if (local === undefined || remote === undefined) return `child ${child.name} has no selectors`
  if (moreLocal !== undefined || moreRemote !== undefined)
    return `child ${child.name}: IKEv1 negotiates one selector a side`
  const ours = idOfSelector(local)
  const theirs = idOfSelector(remote)
  if (ours === undefined || theirs === undefined)
    return `child ${child.name}: IKEv1 cannot express a range of ports`
  return [emitId(ours), emitId(theirs)]
}

const host = (address: Uint8Array): TrafficSelector => selectorOf({ address, length: address.length * 8 })

/**
 * What the initiator's ID payloads mean at the responder. Without them the SA is for the two hosts. In transport mode
 * behind a NAT each end knows the other by another address than it knows itself: then the hosts are meant as well
 * (RFC 3948 section 5.2).
 * @throws WireError
 */
export function selectorsFrom(
  bodies: readonly Uint8Array[],
  path: Path,
  nat: NatState,
  transport: boolean,
): SelectorPair {
  const [theirs, ours] = bodies
  const hosts = { local: host(path.local.address), remote: host(path.remote.address) }
  if (theirs === undefined) return hosts
  if (ours === undefined) throw new WireError('ID', 0, 'IDci without IDcr')
  const remote = selectorOfId(parseId(theirs))
  const local = selectorOfId(parseId(ours))
  if (!transport) return { local, remote }
  const { start, end } = hosts.local
  return {
    local: nat.local ? { ...local, start, end } : local,
    remote: nat.remote ? { ...remote, start: hosts.remote.start, end: hosts.remote.end } : remote,
  }
}

export function sameSelector(a: TrafficSelector, b: TrafficSelector): boolean {
  return (
    equalOctets(a.start, b.start) &&
    equalOctets(a.end, b.end) &&
    a.protocol === b.protocol &&
    a.startPort === b.startPort &&
    a.endPort === b.endPort
  )
}

/** Whether the responder's identities mean the same as ours; it may write them in another way. @throws WireError */
export function sameIds(theirs: readonly Uint8Array[], ours: readonly Uint8Array[]): boolean {
  return (
    theirs.length === ours.length &&
    theirs.every((body, i) => sameSelector(selectorOfId(parseId(body)), selectorOfId(parseId(ours[i]!))))
  )
}

/** Whether the child is for exactly these selectors. */
export function serves(child: ChildConfig, pair: SelectorPair): boolean {
  const [local, moreLocal] = child.localTs
  const [remote, moreRemote] = child.remoteTs
  if (local === undefined || remote === undefined || moreLocal !== undefined || moreRemote !== undefined)
    return false
  return sameSelector(local, pair.local) && sameSelector(remote, pair.remote)
}

export const formatPair = (p: SelectorPair): string =>
  `${formatSelector(p.local)} === ${formatSelector(p.remote)}`

export const formatChildSelectors = (c: ChildConfig): string =>
  `${c.localTs.map(formatSelector).join(',')} === ${c.remoteTs.map(formatSelector).join(',')}`

/** NAT-OA bodies (initiator's address, then responder's) as the sender sees them, RFC 3947 section 5.2. */
export const originalAddresses = (initiator: Uint8Array, responder: Uint8Array): Uint8Array[] => [
  emitNatOa(initiator),
  emitNatOa(responder),
]
