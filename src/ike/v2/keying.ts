import type { IkeHeader } from '../../wire/ike/header.js'
import { VERSION_2 } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { FLAG } from '../../wire/ike/v2/numbers.js'
import type { Role } from '../child-sa.js'
import type { IkeProposal } from '../proposals.js'
import { deriveKeys, type SkKeys, type SpisAndNonces, wipeKeys } from './keys.js'
import type { Outgoing } from './outgoing.js'
import { Opener, Sealer } from './protection.js'

/** An IKE SA's SPIs, algorithms and keys, and what they encrypt with. */
export interface Keying {
  /** Ours in the IKE SA: who began it. */
  readonly role: Role
  readonly spiI: Uint8Array
  readonly spiR: Uint8Array
  readonly proposal: IkeProposal
  readonly keys: SkKeys
  readonly sealer: Sealer
  readonly opener: Opener
}

/** @param seed SKEYSEED, the caller's to wipe */
export function makeKeying(
  role: Role,
  proposal: IkeProposal,
  seed: Uint8Array,
  x: SpisAndNonces,
  random: (length: number) => Uint8Array,
): Keying {
  const keys = deriveKeys(proposal, seed, x)
  const initiator = { e: keys.ei, a: keys.ai }
  const responder = { e: keys.er, a: keys.ar }
  const [own, peers] = role === 'initiator' ? [initiator, responder] : [responder, initiator]
  return {
    role,
    spiI: x.spiI,
    spiR: x.spiR,
    proposal,
    keys,
    sealer: new Sealer(proposal, own, random),
    opener: new Opener(proposal, peers),
  }
}

export const wipeKeying = (k: Keying): void => wipeKeys(k.keys)

/** The header of a message of ours, RFC 7296 section 3.1. */
export function headOf(
  role: Role,
  spiI: Uint8Array,
  spiR: Uint8Array,
  exchange: number,
  messageId: number,
  response: boolean,
): Omit<IkeHeader, 'nextPayload' | 'length'> {
  const flags = (role === 'initiator' ? FLAG.INITIATOR : 0) | (response ? FLAG.RESPONSE : 0)
  return { initiatorSpi: spiI, responderSpi: spiR, version: VERSION_2, exchange, flags, messageId }
}

/** An encrypted message, in fragments when the peer takes them and it is large. */
export const sealed = (
  k: Keying,
  exchange: number,
  messageId: number,
  response: boolean,
  payloads: readonly PayloadInit[],
): Outgoing => k.sealer.seal(headOf(k.role, k.spiI, k.spiR, exchange, messageId, response), payloads)
