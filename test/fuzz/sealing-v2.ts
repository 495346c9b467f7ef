import { encryptionInfo, integrityInfo } from '../../src/crypto/algorithms.js'
import { messageIcv, runCipher, sealAead } from '../../src/crypto/message-cipher.js'
import { parseIkeProposal } from '../../src/ike/proposals.js'
import { headOf, type Keying, makeKeying } from '../../src/ike/v2/keying.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { emptySealed, type FragmentPlace } from '../../src/wire/ike/v2/encrypted.js'

// IKEv2 messages that are authentic, with whatever inside: not even the padding is right unless the caller makes it so.

/** Both ends of an IKE SA, whose keys are always the same. */
export interface Ends {
  readonly initiator: Keying
  readonly responder: Keying
  /** The plaintext is a multiple of it. */
  readonly block: number
}

/** One of each kind: AEAD, and CBC with an ICV of its own. */
export const bothKinds = (): Ends[] =>
  ['aes128gcm16-prfsha256-x25519', 'aes128-sha256-x25519'].map(parseIkeProposal).map((proposal) => {
    const fill = (octet: number, length: number) => new Uint8Array(length).fill(octet)
    const x = { spiI: fill(1, 8), spiR: fill(2, 8), ni: fill(3, 32), nr: fill(4, 32) }
    const make = (role: 'initiator' | 'responder'): Keying => {
      const keying = makeKeying(role, proposal, fill(5, 32), x, (length) => fill(6, length))
      keying.opener.takesFragments = true
      return keying
    }
    const cipher = encryptionInfo(proposal.encryption.id)!
    return { initiator: make('initiator'), responder: make('responder'), block: cipher.blockLength }
  })

export interface Sealed {
  readonly messageId: number
  readonly first: number
  /** With padding and pad length. */
  readonly plaintext: Uint8Array
  readonly place?: FragmentPlace
  readonly exchange?: number
}

/** A request of the initiator's. */
export function sealRaw(k: Keying, s: Sealed): Uint8Array {
  const { proposal, keys } = k
  const cipher = encryptionInfo(proposal.encryption.id)!
  const icv = cipher.icvLength || integrityInfo(proposal.integrity)!.icvLength
  const header = headOf(k.role, k.spiI, k.spiR, s.exchange ?? EXCHANGE.INFORMATIONAL, s.messageId, false)
  const lengths = { iv: cipher.ivLength, block: cipher.blockLength, icv }
  const { message, layout } = emptySealed(header, s.first, s.plaintext.length, lengths, s.place)
  const iv = message.subarray(layout.iv, layout.ciphertext).fill(7)
  if (proposal.integrity === 0) {
    const cut = keys.ei.length - cipher.saltLength
    const nonce = Uint8Array.of(...keys.ei.subarray(cut), ...iv)
    const aad = message.subarray(0, layout.aadEnd)
    const sealed = sealAead(proposal.encryption.id, keys.ei.subarray(0, cut), nonce, aad, s.plaintext)
    message.set(sealed, layout.ciphertext)
  } else {
    const id = proposal.encryption.id
    message.set(runCipher(id, 'encrypt', keys.ei, iv, s.plaintext), layout.ciphertext)
    message.set(messageIcv(proposal.integrity, keys.ai, message.subarray(0, layout.icv)), layout.icv)
  }
  return message
}
