import { Sealer } from '../../src/ike/v2/protection.js'
import { emitPayloads, type PayloadInit } from '../../src/wire/ike/payloads.js'
import type { IkeEnd } from '../exchange/ike-ends.js'
import { chainTree } from './mutate/isakmp.js'
import { emitNode, mutateTree, type Node } from './mutate/tree.js'
import type { Random } from './random.js'

const GENERIC_HEADER = 4

/**
 * An end of IKEv2 that has the keys and does not keep to the rules: while this object is in place, the payloads that it seals
 * are changed before. Both ends run in this process; whatever is sealed while one is at work is that end's.
 */
export class InsiderV2 {
  /** A message was changed since somebody set it back. */
  changed = false
  /** For a while nothing is changed. */
  keepsToRules = false
  private readonly random: Random
  private readonly original = Sealer.prototype.seal
  /** What went over the line, to take payloads from. */
  private readonly chains: Node[] = []
  private atWork = false

  constructor(random: Random, end: IkeEnd) {
    this.random = random
    const { original } = this
    const change = (payloads: readonly PayloadInit[]) => this.change(payloads)
    Sealer.prototype.seal = function (this: Sealer, header, payloads) {
      return original.call(this, header, change(payloads))
    }
    this.watch(end)
  }

  /** No end calls the other: the network lies between them. */
  private watch(end: IkeEnd): void {
    const ike = new Proxy(end.ike, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          this.atWork = true
          try {
            return value.apply(target, args)
          } finally {
            this.atWork = false
          }
        }
      },
    })
    Object.assign(end, { ike })
  }

  end(): void {
    Sealer.prototype.seal = this.original
  }

  private change(payloads: readonly PayloadInit[]): readonly PayloadInit[] {
    const tree = chainTree(emitPayloads(payloads), payloads[0]?.type ?? 0)
    if (this.chains.length < 32) this.chains.push(tree)
    if (!this.atWork || this.keepsToRules || !this.random.oneIn(3)) return payloads
    this.changed = true
    const mutant = mutateTree(this.random, tree, { others: this.chains, lies: this.random.oneIn(2) })
    return (mutant.children ?? []).map((p) => ({
      type: p.type & 0xff,
      critical: (p.head[1]! & 0x80) !== 0,
      body: emitNode(p).subarray(GENERIC_HEADER),
    }))
  }
}
