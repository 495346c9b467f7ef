import { wipe } from '../../bytes/octets.js'
import { encryptionInfo, integrityInfo } from '../../crypto/algorithms.js'
import { ProtocolError } from '../../errors.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { spiOctets } from '../../wire/ike/v1/notify.js'
import { PAYLOAD, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import type { AgreedChild, Role } from '../child-sa.js'
import type { ChildConfig } from '../config.js'
import type { Millis } from '../environment.js'
import { NAT_T_PORT } from '../path.js'
import type { ChildProposal } from '../proposals.js'
import { childKeymat } from './keymat.js'
import { usesUdp } from './nat.js'
import type { Phase2Choice, Phase2Variant } from './phase2-offer.js'
import type { ChildKeys, QuickModeContext } from './quick-mode-states.js'
import { originalAddresses, type SelectorPair } from './selectors.js'

// What both ends of Quick Mode do alike.

export const NONCE_LEN = 32

export const headOf = (c: QuickModeContext) => ({
  ci: c.phase1.ci,
  cr: c.phase1.cr,
  exchange: EXCHANGE.QUICK_MODE,
  messageId: c.messageId,
})

/** Whether the SA may be in UDP, raw, or both, in order of preference; a text that says why not at all. */
export function carriedAs(child: ChildConfig, role: Role, c: QuickModeContext): readonly boolean[] | string {
  const { nat } = c.phase1
  const rewritten = nat.local || (nat.remote && !nat.claimed)
  if (child.protocol === 'ah')
    return rewritten ? `child ${child.name}: AH cannot pass a NAT, which changes what it protects` : [false]
  // On port 4500 one end at least has found a NAT, or wants UDP.
  const udp = c.peer.encapsulation !== 'raw' && (usesUdp(nat) || c.path.local.port === NAT_T_PORT)
  if (c.peer.encapsulation === 'udp')
    return udp ? [true] : `child ${child.name}: encapsulation: ours udp, theirs without NAT traversal`
  if (!udp) return [false]
  // A NAT was found or claimed: raw ESP would be dropped, or is what the other end does not want.
  return role === 'initiator' ? [true] : [true, false]
}

export function natOa(v: Phase2Variant, initiator: Uint8Array, responder: Uint8Array): PayloadInit[] {
  if (v.mode !== 'transport' || !v.udp) return []
  return originalAddresses(initiator, responder).map((body) => ({ type: PAYLOAD.NAT_OA, body }))
}

export const configured = (child: ChildConfig): SelectorPair => ({
  local: child.localTs[0]!,
  remote: child.remoteTs[0]!,
})

/** g^xy of Quick Mode: empty without PFS; undefined when the peer's value is missing or not valid. */
export function sharedSecret(
  share: { computeSecret(peer: Uint8Array): Uint8Array } | undefined,
  peersPublic: Uint8Array | undefined,
  group: number,
): Uint8Array | undefined {
  if (group === 0) return peersPublic === undefined ? new Uint8Array(0) : undefined
  if (share === undefined || peersPublic === undefined) return undefined
  try {
    return share.computeSecret(peersPublic)
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

export function agree(
  child: ChildConfig,
  role: Role,
  choice: Phase2Choice,
  inboundSpi: number,
  pair: SelectorPair,
  startedAt: Millis,
): AgreedChild {
  const { proposal, mode, udp } = choice.variant
  const { seconds, kilobytes } = choice.life
  const lifeOctets = kilobytes === undefined ? undefined : kilobytes * 1024
  return {
    ...{ child, role, proposal, mode, udp, inboundSpi, outboundSpi: choice.peerSpi, startedAt },
    localTs: [pair.local],
    remoteTs: [pair.remote],
    lifeSeconds: seconds,
    lifeOctets,
  }
}

/** Octets of KEYMAT: cipher key and salt, then integrity key. */
function keymatLength(p: ChildProposal): number {
  const cipher = p.encryption === undefined ? undefined : encryptionInfo(p.encryption.id)
  const key =
    cipher === undefined
      ? 0
      : cipher.hasKeyLengthAttribute
        ? p.encryption!.keyBits / 8
        : cipher.keyLengths[0]!
  return key + (cipher?.saltLength ?? 0) + (integrityInfo(p.integrity)?.keyLength ?? 0)
}

/** Wipes gxy. */
export function makeKeys(
  a: AgreedChild,
  gxy: Uint8Array,
  ni: Uint8Array,
  nr: Uint8Array,
  c: QuickModeContext,
): ChildKeys {
  const { prfId, d } = c.phase1
  const protocol = a.proposal.protocol === 'ah' ? PROTOCOL.AH : PROTOCOL.ESP
  const input = { prfId, d, gxy, ni, nr, protocol }
  const length = keymatLength(a.proposal)
  const inbound = childKeymat(input, spiOctets(a.inboundSpi), length)
  const outbound = childKeymat(input, spiOctets(a.outboundSpi), length)
  wipe(gxy)
  return { inbound, outbound }
}
