import { hex } from '../../src/bytes/octets.js'
import { aesCbcEncrypt } from '../../src/crypto/aes-cbc.js'
import { WireError } from '../../src/errors.js'
import {
  hash1,
  hash2,
  hash3,
  hashI,
  hashR,
  type Phase1Exchange,
  phase1Iv,
  phase2Iv,
} from '../../src/ike/v1/keymat.js'
import type { Phase1, Phase1Keys } from '../../src/ike/v1/main-mode-states.js'
import { lastBlock, open } from '../../src/ike/v1/protection.js'
import { EXCHANGE, IKE_HEADER_LEN, type IkeHeader, parseIkeHeader } from '../../src/wire/ike/header.js'
import { type Payload, parsePayloads } from '../../src/wire/ike/payloads.js'
import { FLAG, PAYLOAD } from '../../src/wire/ike/v1/numbers.js'
import type { IkeEnd } from '../exchange/ike-ends.js'
import { authenticated } from './mutate/hash-v1.js'
import { chainTree, firstType } from './mutate/isakmp.js'
import { emitNode, mutateTree, type Node } from './mutate/tree.js'
import type { Random } from './random.js'

// An end that has the keys and does not keep to the rules: it changes what it sends before it is encrypted, and makes the
// hash right again. Between the two ends it sees every message, which is how it knows nonces and IVs.

/** What it takes out of an honest end: the keys that its own end has. */
interface Inside {
  readonly initiatorSpi: Uint8Array
  readonly role: 'initiator' | 'responder'
  readonly state: {
    readonly kind: string
    readonly x?: Phase1Exchange
    readonly skeyid?: Uint8Array
    readonly keys?: Phase1Keys
    readonly sai?: Uint8Array
  }
  readonly phase2?: { readonly phase1: Phase1 }
}

interface Seen {
  /** Last ciphertext block of the exchange so far. */
  iv: Uint8Array
  readonly nonces: Uint8Array[]
}

/** Exchanges that are followed; old ones go. */
const SEEN_MAX = 256

export class InsiderV1 {
  private readonly end: IkeEnd
  private readonly random: Random
  private readonly seen = new Map<string, Seen>()
  /** Chains that went over the line, to take payloads from. */
  readonly chains: Node[] = []

  constructor(end: IkeEnd, random: Random) {
    this.end = end
    this.random = random
  }

  /**
   * A message of either end passes.
   * @param change it is the insider's own, and is to be changed
   * @returns what goes on
   */
  pass(message: Uint8Array, change: boolean): Uint8Array {
    const header = headerOf(message)
    if (header === undefined || (header.flags & FLAG.ENCRYPTION) === 0) return message
    const inside = this.insideOf(header)
    const keys = inside?.phase2?.phase1 ?? inside?.state.keys
    if (inside === undefined || keys === undefined) return message
    const name = `${hex(header.initiatorSpi)} ${header.messageId}`
    const before = this.seen.get(name)
    const iv = before?.iv ?? this.firstIv(inside, header)
    if (iv === undefined) return message
    const chain = this.read(header, message, keys.key, iv)
    if (chain === undefined) return message
    const nonces = [...(before?.nonces ?? [])]
    const out = change ? this.changed(inside, header, chain, iv, nonces) : message
    this.remember(name, {
      iv: lastBlock(out),
      nonces: [...nonces, ...noncesOf(change ? out : message, chain)],
    })
    return out
  }

  /** A message that begins an exchange: a changed copy of one that went by. */
  begin(exchange: number): Uint8Array | undefined {
    const inside = this.insides().find((s) => s.phase2 !== undefined)
    const { random } = this
    if (inside?.phase2 === undefined || this.chains.length === 0) return undefined
    const { ci, cr } = inside.phase2.phase1
    const header: IkeHeader = {
      initiatorSpi: ci,
      responderSpi: cr,
      nextPayload: 0,
      version: 0x10,
      exchange,
      flags: FLAG.ENCRYPTION,
      messageId: (random.u32() | 1) >>> 0,
      length: 0,
    }
    const iv = this.firstIv(inside, header)!
    return this.encrypted(inside, header, this.mutant(random.pick(this.chains)), iv, [])
  }

  private insides(): Inside[] {
    const { sas } = this.end.ike as unknown as { sas: Map<string, { sa: Inside }> }
    return [...sas.values()].map((v) => v.sa)
  }

  private insideOf(header: IkeHeader): Inside | undefined {
    return this.insides().find((s) => hex(s.initiatorSpi) === hex(header.initiatorSpi))
  }

  private firstIv(inside: Inside, header: IkeHeader): Uint8Array | undefined {
    if (header.messageId !== 0) {
      const p = inside.phase2?.phase1
      return p && phase2Iv(p.prfId, p.lastBlock, header.messageId, 16)
    }
    const { keys, x } = inside.state
    return keys && x && phase1Iv(keys.prfId, x.gxi, x.gxr, 16)
  }

  private read(
    header: IkeHeader,
    message: Uint8Array,
    key: Uint8Array,
    iv: Uint8Array,
  ): Uint8Array | undefined {
    try {
      const { plaintext } = open(header, message, key, iv)
      if (this.chains.length < 32) this.chains.push(chainTree(plaintext, header.nextPayload))
      return plaintext
    } catch (error) {
      if (error instanceof WireError) return undefined
      throw error
    }
  }

  private mutant(tree: Node): Node {
    const { random } = this
    return mutateTree(random, tree, { others: this.chains, lies: random.oneIn(3) })
  }

  private changed(
    inside: Inside,
    header: IkeHeader,
    chain: Uint8Array,
    iv: Uint8Array,
    nonces: readonly Uint8Array[],
  ): Uint8Array {
    return this.encrypted(inside, header, this.mutant(chainTree(chain, header.nextPayload)), iv, nonces)
  }

  private encrypted(
    inside: Inside,
    header: IkeHeader,
    tree: Node,
    iv: Uint8Array,
    nonces: readonly Uint8Array[],
  ): Uint8Array {
    let chain = emitNode(tree)
    const first = firstType(tree)
    // Now and then the hash stays wrong.
    if (!this.random.oneIn(6))
      chain =
        header.exchange === EXCHANGE.MAIN_MODE
          ? identified(inside, chain, first)
          : authenticated(chain, first, (rest) => quickHash(inside.phase2!.phase1, header, nonces, rest))
    const padded = new Uint8Array(Math.max(16, Math.ceil(chain.length / 16) * 16))
    padded.set(chain)
    const keys = inside.phase2?.phase1 ?? inside.state.keys!
    const out = new Uint8Array(IKE_HEADER_LEN + padded.length)
    out.set(header.initiatorSpi)
    out.set(header.responderSpi, 8)
    out.set([first, header.version, header.exchange, header.flags], 16)
    const v = new DataView(out.buffer)
    v.setUint32(20, header.messageId)
    v.setUint32(24, out.length)
    out.set(aesCbcEncrypt(keys.key, iv, padded), IKE_HEADER_LEN)
    return out
  }

  private remember(name: string, seen: Seen): void {
    this.seen.delete(name)
    if (this.seen.size >= SEEN_MAX) this.seen.delete(this.seen.keys().next().value!)
    this.seen.set(name, seen)
  }
}

function headerOf(message: Uint8Array): IkeHeader | undefined {
  try {
    return parseIkeHeader(message)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

const payloadsOf = (chain: Uint8Array, first: number): Payload[] => {
  try {
    return parsePayloads(chain, first)
  } catch {
    return []
  }
}

/** Nonces of an honest chain. A changed one is told by what was sent, which the peer may or may not have taken. */
function noncesOf(message: Uint8Array, chain: Uint8Array): Uint8Array[] {
  return payloadsOf(chain, message[16]!)
    .filter((p) => p.type === PAYLOAD.NONCE)
    .map((p) => p.body.slice())
}

function quickHash(
  p: Phase1,
  header: IkeHeader,
  nonces: readonly Uint8Array[],
  rest: Uint8Array,
): Uint8Array {
  const [ni, nr] = nonces
  if (header.exchange !== EXCHANGE.QUICK_MODE || ni === undefined)
    return hash1(p.prfId, p.a, header.messageId, rest)
  if (nr === undefined) return hash2(p.prfId, p.a, header.messageId, ni, rest)
  return hash3(p.prfId, p.a, header.messageId, ni, nr)
}

/** Message 5 or 6 with its hash over the identity that it now has. */
function identified(
  { state, role }: Inside,
  chain: Uint8Array<ArrayBuffer>,
  first: number,
): Uint8Array<ArrayBuffer> {
  const { x, skeyid, keys, sai } = state
  if (x === undefined || skeyid === undefined || keys === undefined || sai === undefined) return chain
  const payloads = payloadsOf(chain, first)
  const id = payloads.find((p) => p.type === PAYLOAD.ID)
  const hash = payloads.find((p) => p.type === PAYLOAD.HASH)
  if (id === undefined || hash === undefined) return chain
  const right = (role === 'initiator' ? hashI : hashR)(keys.prfId, skeyid, x, sai, id.body)
  const at = hash.body.byteOffset - chain.byteOffset
  const out = chain.slice()
  out.set(right.subarray(0, hash.body.length), at)
  return out
}
