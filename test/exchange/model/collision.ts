import type { DynamicPsk } from '../../../src/ike/config.js'
import { parseChildProposal, parseIkeProposal } from '../../../src/ike/proposals.js'
import { sameIp } from '../../../src/wire/ip-address.js'
import { childConfig } from '../ike-ends.js'
import { A } from '../prephase-ends.js'
import { type Datagram, seededRandom } from '../virtual-network.js'
import { everyOrder, type Run, type Step } from './interleavings.js'
import { calm, established, flow, messagesOf, type Pair, pair, unsettled, violations } from './pair.js'
import { WISHES, type Wish, type WishName } from './wishes.js'

/** Long lives: nothing becomes due by itself in a thousand runs. */
const FOREVER_S = 100_000_000

export interface Collision {
  readonly version: 1 | 2
  /** What A wants, and B; undefined for nothing. */
  readonly a: readonly WishName[]
  readonly b: readonly WishName[]
  /** Whose nonces, SPIs and Message IDs are the lower ones, which decides between two exchanges. */
  readonly lower: 'a' | 'b'
  /** The message that is lost: whose, and the how many-th, from 0. */
  readonly lost?: { readonly by: 'a' | 'b'; readonly number: number }
  /** There is nothing yet, and this is how the first contact begins. */
  readonly fresh?: DynamicPsk
  /** An end breaks the rules: packets may be lost meanwhile, but nothing wrong may stay. */
  readonly lenient?: boolean
  /** A direction keeps its order. */
  readonly inOrder?: boolean
  /** Every renewal takes a second key exchange (RFC 9370). */
  readonly hybrid?: boolean
}

export interface Explored {
  readonly orders: number
  /** Messages of the run that took most. */
  readonly messages: number
  readonly lossHappened: boolean
  readonly wrong: readonly string[]
}

/** Ends that serve many runs, one after another. */
const pairs = new Map<string, Pair>()

const nameOf = ({ version, hybrid }: Collision): string => `${version} ${hybrid === true}`

const HYBRID = '-x25519-ke1_mlkem768'

function pairFor(c: Collision): Pair {
  const { version, fresh, hybrid } = c
  if (fresh !== undefined) return pair({ config: { version, dynamicPsk: fresh } })
  const child = childConfig({
    lifetime: { hardSeconds: FOREVER_S },
    ...(hybrid && { proposals: [parseChildProposal('esp', `aes128gcm16${HYBRID}`)] }),
  })
  const life = { ikeLifetimeSeconds: FOREVER_S, children: [child] }
  const proposals = hybrid && { proposals: [parseIkeProposal(`aes128gcm16-prfsha256${HYBRID}`)] }
  const made =
    pairs.get(nameOf(c)) ?? established({ config: { version, dynamicPsk: 'off', ...life, ...proposals } })
  pairs.set(nameOf(c), made)
  return made
}

/** Tries a collision in every order. Stops at the first order that goes wrong. */
export function explore(c: Collision, runsMax = 20_000): Explored {
  const found = { orders: 0, messages: 0, lossHappened: false, wrong: [] as string[] }
  try {
    found.orders = everyOrder(() => new CollisionRun(pairFor(c), c, found), runsMax)
  } catch (error) {
    pairs.delete(nameOf(c))
    if (found.wrong.length === 0) throw error
  }
  return found
}

const wishOf = (name: WishName): Wish => WISHES[name]

class Wrong extends Error {}

class CollisionRun implements Run {
  private readonly p: Pair
  private readonly c: Collision
  private readonly found: { messages: number; lossHappened: boolean; wrong: string[] }
  private readonly before: number
  private readonly due: Record<'a' | 'b', readonly WishName[]>
  /** On its way, oldest first. */
  private pool: { readonly name: string; readonly d: Datagram }[] = []
  private readonly sentBy = { a: 0, b: 0 }
  private readonly gapless: boolean

  constructor(p: Pair, c: Collision, found: CollisionRun['found']) {
    this.p = p
    this.c = c
    this.found = found
    this.before = messagesOf(p)
    this.due = { a: c.a, b: c.b }
    this.gapless =
      c.lenient !== true && c.fresh === undefined && ![...c.a, ...c.b].some((name) => wishOf(name).ends)
    biased(p, c.lower)
    p.network.impairment = (d) => this.take(d)
    for (const side of ['a', 'b'] as const) {
      Object.assign(p.traffic[side].counts, { sent: 0, received: 0, lost: 0, unsent: 0 })
      p.traffic[side].faults.clear()
    }
    // In step with the run.
    if (c.fresh === undefined) flow(p, p.policies)
    // What traffic asks for afterwards is another exchange.
    this.acquires(false)
  }

  private take(d: Datagram): readonly number[] {
    const side = sameIp(d.from.address, A.address) ? 'a' : 'b'
    const number = this.sentBy[side]++
    const { lost } = this.c
    if (lost?.by === side && lost.number === number) this.found.lossHappened = true
    else this.pool.push({ name: `${side}${number}`, d })
    return []
  }

  private acquires(yes: boolean): void {
    this.p.traffic.a.acquires = yes
    this.p.traffic.b.acquires = yes
  }

  steps(): Step[] {
    const { network } = this.p
    const out: Step[] = []
    for (const at of ['a', 'b'] as const) {
      const [wish, ...rest] = this.due[at]
      if (wish === undefined || wishOf(wish).ready?.(this.p[at]) === false) continue
      const run = (): void => {
        this.due[at] = rest
        wishOf(wish).run(this.p[at], network.now)
        network.runFor(1)
      }
      out.push({ name: `${at} ${wish} ${rest.length}`, at, run })
    }
    const seen = new Set<string>()
    for (const m of this.pool) {
      const from = m.name[0]!
      if (this.c.inOrder && seen.has(from)) continue
      seen.add(from)
      const run = (): void => {
        this.pool = this.pool.filter((x) => x !== m)
        network.inject(m.d.from, m.d.to, m.d.message)
        network.runFor(1)
      }
      out.push({ name: m.name, at: from === 'a' ? 'b' : 'a', run })
    }
    return out
  }

  abandon(): void {
    const { network } = this.p
    network.impairment = () => [5]
    for (const { d } of this.pool) network.inject(d.from, d.to, d.message)
    this.acquires(true)
    calm(this.p)
  }

  end(taken: readonly string[]): void {
    const { p } = this
    p.network.impairment = () => [5]
    this.acquires(true)
    calm(p)
    const messages = messagesOf(p) - this.before
    this.found.messages = Math.max(this.found.messages, messages)
    if (this.c.fresh !== undefined) flow(p, p.policies)
    const wrong = [...(this.gapless ? violations(p, true) : []), ...unsettled(p)]
    if (wrong.length === 0) return
    this.found.wrong.push(`${taken.join(', ')}: ${wrong.join('; ')}`)
    flow(p, [])
    throw new Wrong(wrong.join('; '))
  }
}

let runs = 0

/** Each end's random numbers ascend, and one end's are all lower than the other's. */
function biased(p: Pair, lower: 'a' | 'b'): void {
  runs++
  for (const side of ['a', 'b'] as const) {
    const base = side === lower ? 0x10 : 0x90
    const rest = seededRandom(`${side} ${runs}`)
    let n = 0
    Object.assign(p[side].env, {
      random: (length: number) => {
        const out = rest(length)
        // Single octets are for jitter.
        if (length > 1) out[0] = base + (n++ % 0x60)
        return out
      },
    })
  }
}
