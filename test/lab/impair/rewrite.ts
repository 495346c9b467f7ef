import { hex } from '../../../src/bytes/octets.js'
import type { IkeSaKeys, IkeV2Keys } from '../../../src/ike/environment.js'
import type { IkeProposal } from '../../../src/ike/proposals.js'
import { hash1, phase2Iv } from '../../../src/ike/v1/keymat.js'
import { open, seal, withHash } from '../../../src/ike/v1/protection.js'
import { Opener, Sealer } from '../../../src/ike/v2/protection.js'
import { EXCHANGE, IKE_HEADER_LEN, type IkeHeader } from '../../../src/wire/ike/header.js'
import { emitMessage, type PayloadInit, parsePayloads } from '../../../src/wire/ike/payloads.js'
import { FLAG as FLAG_V1 } from '../../../src/wire/ike/v1/numbers.js'
import { parseChain } from '../../../src/wire/ike/v2/chain.js'
import { FLAG, PAYLOAD } from '../../../src/wire/ike/v2/numbers.js'

/** What protects the exchanges of an established IKEv1 SA. */
export interface V1Secrets {
  readonly prfId: number
  readonly a: Uint8Array
  readonly key: Uint8Array
  readonly lastBlock: Uint8Array
}

export type Change = (payloads: readonly PayloadInit[]) => readonly PayloadInit[]

const AES_BLOCK = 16
/** IVs of ours must not be those of the messages that we change. */
const COUNTER_FROM = 2 ** 40

type Ciphers = Readonly<Record<'i' | 'r', { readonly sealer: Sealer; readonly opener: Opener }>>

const KEYS_MAX = 3

/** Changes the payloads of messages, encrypted ones included, with the keys of the end that sends them. */
export class Rewriter {
  /** By initiator SPI, the newest keys first. */
  private readonly v2 = new Map<string, readonly Ciphers[]>()
  private readonly secretsOf: (initiatorCookie: Uint8Array) => V1Secrets | undefined
  private readonly random: (length: number) => Uint8Array

  constructor(
    random: (length: number) => Uint8Array,
    secretsOf: (initiatorCookie: Uint8Array) => V1Secrets | undefined,
  ) {
    this.random = random
    this.secretsOf = secretsOf
  }

  /** An IKE SA has other keys behind each key exchange. */
  keys(k: IkeSaKeys): void {
    if (k.version !== 2) return
    const spi = hex(k.initiatorSpi)
    this.v2.set(spi, [this.ciphers(structuredClone(k)), ...(this.v2.get(spi) ?? [])].slice(0, KEYS_MAX))
  }

  private ciphers(k: IkeV2Keys): Ciphers {
    const proposal = { encryption: { id: k.encryption }, integrity: k.integrity } as unknown as IkeProposal
    const of = (e: Uint8Array, a: Uint8Array) => {
      const sealer = new Sealer(proposal, { e, a }, this.random)
      Reflect.set(sealer, 'counter', COUNTER_FROM)
      return { sealer, opener: new Opener(proposal, { e, a }) }
    }
    return { i: of(k.ei, k.ai), r: of(k.er, k.ar) }
  }

  /** @returns undefined for a message that cannot be read: IKEv1's later encrypted ones, whose IVs depend on those before */
  rewrite(header: IkeHeader, message: Uint8Array, change: Change): Uint8Array | undefined {
    if (header.version >>> 4 === 1) return this.rewriteV1(header, message, change)
    const { payloads, encrypted } = parseChain(header, message)
    if (encrypted === undefined) return emitMessage(header, change(payloads))
    const side = (header.flags & FLAG.INITIATOR) === 0 ? 'r' : 'i'
    if (encrypted.type !== PAYLOAD.SK) return undefined
    for (const ciphers of this.v2.get(hex(header.initiatorSpi)) ?? []) {
      const { sealer, opener } = ciphers[side]
      const inner = opener.openPayloads(message, encrypted)
      if (inner !== undefined) return sealer.seal(header, change(inner)).datagrams[0]
    }
    return undefined
  }

  private rewriteV1(header: IkeHeader, message: Uint8Array, change: Change): Uint8Array | undefined {
    if ((header.flags & FLAG_V1.ENCRYPTION) === 0)
      return emitMessage(header, change(parsePayloads(message.subarray(IKE_HEADER_LEN), header.nextPayload)))
    const secrets = header.exchange === EXCHANGE.MAIN_MODE ? undefined : this.secretsOf(header.initiatorSpi)
    if (secrets === undefined) return undefined
    const { prfId, a, key, lastBlock } = secrets
    const iv = phase2Iv(prfId, lastBlock, header.messageId, AES_BLOCK)
    const [, ...payloads] = open(header, message, key, iv).payloads
    const hashed = withHash(change(payloads), (octets) => hash1(prfId, a, header.messageId, octets))
    const { initiatorSpi: ci, responderSpi: cr, exchange, messageId } = header
    return seal({ ci, cr, exchange, messageId }, hashed, key, iv).message
  }
}
