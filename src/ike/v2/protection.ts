import { concat, equalSecret, wipe } from '../../bytes/octets.js'
import { encryptionInfo, integrityInfo } from '../../crypto/algorithms.js'
import { messageIcv, openAead, runCipher, sealAead } from '../../crypto/message-cipher.js'
import { WireError } from '../../errors.js'
import type { IkeHeader } from '../../wire/ike/header.js'
import { emitPayloads, type Payload, type PayloadInit } from '../../wire/ike/payloads.js'
import { type EncryptedPayload, parseInner } from '../../wire/ike/v2/chain.js'
import {
  emptySealed,
  type FragmentPlace,
  fragmentCapacity,
  layoutOf,
  pad,
  type SealedLengths,
  sealedLength,
  unpad,
} from '../../wire/ike/v2/encrypted.js'
import { PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { IkeProposal } from '../proposals.js'
import type { Outgoing } from './outgoing.js'

// Encrypted messages: RFC 7296 section 3.14, with AEADs RFC 5282. Integrity is verified before anything is decrypted.

/** One direction's keys: the sender's encryption key with its salt, and integrity key. */
interface Keys {
  readonly e: Uint8Array
  readonly a: Uint8Array
}

function lengthsOf(p: IkeProposal): SealedLengths {
  const cipher = encryptionInfo(p.encryption.id)!
  return {
    iv: cipher.ivLength,
    block: cipher.blockLength,
    icv: cipher.icvLength || (integrityInfo(p.integrity)?.icvLength ?? 0),
  }
}

/** Octets of a message above which it goes in fragments, and of one that every way carries. */
export interface Cut {
  readonly above: number
  readonly smallest: number
}

type Head = Omit<IkeHeader, 'nextPayload' | 'length'>

/** Encrypts what one end sends under one IKE SA. */
export class Sealer {
  private readonly proposal: IkeProposal
  private readonly keys: Keys
  private readonly lengths: SealedLengths
  private readonly random: (length: number) => Uint8Array
  /** Counts messages: with a salt in front, an IV must never come twice under one key (RFC 5282 section 4). */
  private counter = 0
  /** Undefined while the peer takes no fragments. */
  cut: Cut | undefined

  /** @param keys the caller's, which must outlive this object */
  constructor(proposal: IkeProposal, keys: Keys, random: (length: number) => Uint8Array) {
    this.proposal = proposal
    this.keys = keys
    this.lengths = lengthsOf(proposal)
    this.random = random
  }

  /** @returns the message as it goes out, new: whole, or in fragments when it is too large for `cut` */
  seal(header: Head, payloads: readonly PayloadInit[]): Outgoing {
    const chain = emitPayloads(payloads)
    const first = payloads[0]?.type ?? 0
    const { cut } = this
    const outgoing =
      cut === undefined
        ? { datagrams: [this.sealOne(header, first, chain)] }
        : this.sealWithin(header, first, chain, cut)
    if (outgoing.smaller === undefined) wipe(chain)
    return outgoing
  }

  private sealWithin(header: Head, first: number, chain: Uint8Array, { above, smallest }: Cut): Outgoing {
    const length = sealedLength(chain.length, this.lengths)
    const datagrams =
      length <= above ? [this.sealOne(header, first, chain)] : this.fragments(header, first, chain, above)
    // Fragments of two cuts of one message are told apart by their total alone.
    const more = Math.ceil(chain.length / fragmentCapacity(smallest, this.lengths)) > datagrams.length
    if (Math.min(length, above) <= smallest || !more) return { datagrams }
    return {
      datagrams,
      smaller: () => {
        this.cut = { above: smallest, smallest }
        return this.sealWithin(header, first, chain, this.cut)
      },
    }
  }

  private fragments(header: Head, first: number, chain: Uint8Array, size: number): Uint8Array[] {
    const room = fragmentCapacity(size, this.lengths)
    const total = Math.ceil(chain.length / room)
    return Array.from({ length: total }, (_, i) => {
      const place = { number: i + 1, total }
      return this.sealOne(header, i === 0 ? first : 0, chain.subarray(i * room, (i + 1) * room), place)
    })
  }

  private sealOne(header: Head, first: number, chain: Uint8Array, place?: FragmentPlace): Uint8Array {
    const plaintext = pad(chain, this.lengths.block)
    const { message, layout } = emptySealed(header, first, plaintext.length, this.lengths, place)
    const iv = this.nextIv()
    message.set(iv, layout.iv)
    const { encryption, integrity } = this.proposal
    const { e, a } = this.keys
    if (integrity === 0) {
      const { key, nonce } = split(this.proposal, e, iv)
      const aad = message.subarray(0, layout.aadEnd)
      message.set(sealAead(encryption.id, key, nonce, aad, plaintext), layout.ciphertext)
    } else {
      message.set(runCipher(encryption.id, 'encrypt', e, iv, plaintext), layout.ciphertext)
      message.set(messageIcv(integrity, a, message.subarray(0, layout.icv)), layout.icv)
    }
    wipe(plaintext)
    return message
  }

  private nextIv(): Uint8Array {
    if (encryptionInfo(this.proposal.encryption.id)!.kind === 'cbc') return this.random(this.lengths.iv)
    const iv = new Uint8Array(this.lengths.iv)
    const view = new DataView(iv.buffer)
    view.setUint32(iv.length - 8, Math.floor(this.counter / 2 ** 32))
    view.setUint32(iv.length - 4, this.counter >>> 0)
    this.counter++
    return iv
  }
}

/** Verifies and decrypts what the other end sends under one IKE SA. */
export class Opener {
  /** The peer has been told that it may send fragments, and has said that it does. */
  takesFragments = false
  private readonly proposal: IkeProposal
  private readonly keys: Keys
  private readonly lengths: SealedLengths

  /** @param keys the caller's, which must outlive this object */
  constructor(proposal: IkeProposal, keys: Keys) {
    this.proposal = proposal
    this.keys = keys
    this.lengths = lengthsOf(proposal)
  }

  /**
   * @returns the plaintext without padding, undefined when the ICV does not verify
   * @throws WireError for what cannot be an encrypted payload under this SA's algorithms
   */
  open(message: Uint8Array, encrypted: EncryptedPayload): Uint8Array | undefined {
    const layout = layoutOf(encrypted.at, message.length, encrypted.type === PAYLOAD.SKF, this.lengths)
    const iv = message.subarray(layout.iv, layout.ciphertext)
    const { encryption, integrity } = this.proposal
    const { e, a } = this.keys
    if (integrity === 0) {
      const { key, nonce } = split(this.proposal, e, iv)
      const aad = message.subarray(0, layout.aadEnd)
      const plaintext = openAead(encryption.id, key, nonce, aad, message.subarray(layout.ciphertext))
      return plaintext && unpad(plaintext)
    }
    const icv = messageIcv(integrity, a, message.subarray(0, layout.icv))
    if (!equalSecret(icv, message.subarray(layout.icv))) return undefined
    const ciphertext = message.subarray(layout.ciphertext, layout.icv)
    return unpad(runCipher(encryption.id, 'decrypt', e, iv, ciphertext))
  }

  /**
   * Opens a message whose payloads are in one SK payload.
   * @returns undefined when the ICV does not verify
   * @throws WireError
   */
  openPayloads(message: Uint8Array, encrypted: EncryptedPayload | undefined): readonly Payload[] | undefined {
    const plaintext = this.openWhole(message, encrypted)
    return plaintext && encrypted && parseInner(plaintext, encrypted.first)
  }

  /** The same, with the payloads as octets. */
  openWhole(message: Uint8Array, encrypted: EncryptedPayload | undefined): Uint8Array | undefined {
    if (encrypted === undefined) throw new WireError('payloads', 28, 'has no encrypted payload')
    if (encrypted.type !== PAYLOAD.SK) throw new WireError('SKF', encrypted.at, 'was not negotiated')
    return this.open(message, encrypted)
  }
}

/** Key and nonce of an AEAD: the salt is behind the key. */
function split(p: IkeProposal, e: Uint8Array, iv: Uint8Array): { key: Uint8Array; nonce: Uint8Array } {
  const cut = e.length - encryptionInfo(p.encryption.id)!.saltLength
  return { key: e.subarray(0, cut), nonce: concat(e.subarray(cut), iv) }
}
