import { WireError } from '../../errors.js'
import type { IkeHeader } from '../../wire/ike/header.js'
import type { Payload } from '../../wire/ike/payloads.js'
import { type EncryptedPayload, parseChain, parseInner } from '../../wire/ike/v2/chain.js'
import { type FragmentPlace, parseFragmentPlace } from '../../wire/ike/v2/encrypted.js'
import { NOTIFY, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { IkePeerConfig } from '../config.js'
import { messageRoomAnywhere, smallestPacket } from '../fragment-size.js'
import type { Keying } from './keying.js'
import type { PayloadSet } from './payload-set.js'
import type { Opener } from './protection.js'
import { type Joined, Reassembly } from './reassembly.js'

// Fragmentation, RFC 7383: a large message is cut before it is encrypted, so that each fragment is authentic by itself. Both
// ends say in IKE_SA_INIT that they can; what they have said holds for the IKE SAs that take the place of this one.

/** However small the peer's own fragments are, ours are not smaller. */
const FRAGMENT_MIN = 256

export const isFragment = (header: IkeHeader): boolean => header.nextPayload === PAYLOAD.SKF

/** Both ends have said in IKE_SA_INIT that they take fragments. @param set the peer's message */
export function allowFragments(k: Keying, set: PayloadSet, peer: IkePeerConfig): void {
  if (peer.fragmentSize === 0 || !set.says(NOTIFY.IKEV2_FRAGMENTATION_SUPPORTED)) return
  k.opener.takesFragments = true
  k.sealer.cut = {
    above: messageRoomAnywhere(peer.remote, peer.fragmentSize),
    smallest: messageRoomAnywhere(peer.remote, smallestPacket(peer.remote)),
  }
}

/** A renewed IKE SA keeps what was said for the first one. */
export function inheritFragments(next: Keying, from: Keying): void {
  next.opener.takesFragments = from.opener.takesFragments
  next.sealer.cut = from.sealer.cut
}

/** A peer that cuts smaller than we do knows why: the way to it may carry no more. */
export function notLarger(k: Keying, largest: number): void {
  const { cut } = k.sealer
  if (cut !== undefined && largest < cut.above)
    k.sealer.cut = { ...cut, above: Math.max(largest, FRAGMENT_MIN) }
}

/** Fragments of a peer's messages under one IKE SA: of one request, and of one response. */
export class Fragments {
  private readonly requests = new Reassembly()
  private readonly responses = new Reassembly()

  /**
   * Takes a fragment with a Message ID that is due.
   * @returns the message that it completes; 'known' when it is there already, 'forged' when it does not verify
   * @throws WireError
   */
  receive(
    opener: Opener,
    header: IkeHeader,
    message: Uint8Array,
    isResponse: boolean,
  ): Joined | 'waiting' | 'known' | 'forged' {
    const { encrypted, place } = fragmentOf(opener, header, message)
    const reassembly = isResponse ? this.responses : this.requests
    if (!reassembly.wants(header.messageId, place)) return 'known'
    const plaintext = opener.open(message, encrypted)
    if (plaintext === undefined) return 'forged'
    return (
      reassembly.add(header.messageId, { place, first: encrypted.first, plaintext, message }) ?? 'waiting'
    )
  }
}

/**
 * A fragment of the request that was answered last: whether it is to be answered again, RFC 7383 section 2.6.1. The same
 * octets are known without it; this is for a request that its sender has cut anew.
 * @throws WireError
 */
export function asksAgain(opener: Opener, header: IkeHeader, message: Uint8Array): boolean {
  const { encrypted, place } = fragmentOf(opener, header, message)
  return place.number === 1 && opener.open(message, encrypted) !== undefined
}

function fragmentOf(
  opener: Opener,
  header: IkeHeader,
  message: Uint8Array,
): { encrypted: EncryptedPayload; place: FragmentPlace } {
  const { encrypted } = parseChain(header, message)
  if (encrypted === undefined || !opener.takesFragments)
    throw new WireError('SKF', encrypted?.at ?? 0, 'was not negotiated')
  return { encrypted, place: parseFragmentPlace(encrypted.body) }
}

/**
 * The payloads inside a message, whether it came whole or in fragments.
 * @returns undefined when the ICV does not verify; else what splits the payloads, and throws WireError where an authentic message
 *   cannot be split
 * @throws WireError for what is no encrypted message: anybody may have sent it
 */
export const openMessage = (
  opener: Opener,
  header: IkeHeader,
  message: Uint8Array,
  joined: Joined | undefined,
): (() => readonly Payload[]) | undefined => {
  const { encrypted } = joined === undefined ? parseChain(header, message) : { encrypted: undefined }
  const plaintext = joined?.plaintext ?? opener.openWhole(message, encrypted)
  const first = joined?.first ?? encrypted?.first ?? 0
  return plaintext && (() => parseInner(plaintext, first))
}
