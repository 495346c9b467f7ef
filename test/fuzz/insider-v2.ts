import { Sealer } from '../../src/ike/v2/protection.js'
import { emitPayloads, type PayloadInit } from '../../src/wire/ike/payloads.js'
import { FLAG } from '../../src/wire/ike/v2/numbers.js'
import { chainTree } from './mutate/isakmp.js'
import { emitNode, mutateTree, type Node } from './mutate/tree.js'
import type { Random } from './random.js'

const GENERIC_HEADER = 4

/**
 * An end of IKEv2 that has the keys and does not keep to the rules: while this object is in place, the payloads that it seals
 * are changed before. Which end that is, the flag of the IKE SA's initiator tells; both run in this process.
 */
export class InsiderV2 {
  readonly isInitiator: boolean
  /** A message was changed since somebody set it back. */
  changed = false
  private readonly random: Random
  private readonly original = Sealer.prototype.seal
  /** What went over the line, to take payloads from. */
  private readonly chains: Node[] = []

  constructor(random: Random, isInitiator: boolean) {
    this.random = random
    this.isInitiator = isInitiator
    const { original } = this
    const change = (header: { readonly flags: number }, payloads: readonly PayloadInit[]) =>
      this.change(header.flags, payloads)
    Sealer.prototype.seal = function (this: Sealer, header, payloads) {
      return original.call(this, header, change(header, payloads))
    }
  }

  end(): void {
    Sealer.prototype.seal = this.original
  }

  private change(flags: number, payloads: readonly PayloadInit[]): readonly PayloadInit[] {
    const tree = chainTree(emitPayloads(payloads), payloads[0]?.type ?? 0)
    if (this.chains.length < 32) this.chains.push(tree)
    const own = ((flags & FLAG.INITIATOR) !== 0) === this.isInitiator
    if (!own || !this.random.oneIn(3)) return payloads
    this.changed = true
    const mutant = mutateTree(this.random, tree, { others: this.chains, lies: this.random.oneIn(2) })
    return (mutant.children ?? []).map((p) => ({
      type: p.type & 0xff,
      critical: (p.head[1]! & 0x80) !== 0,
      body: emitNode(p).subarray(GENERIC_HEADER),
    }))
  }
}
