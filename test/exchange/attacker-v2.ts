import { expect } from 'vitest'
import type { FirstState } from '../../src/ike/v2/first-states.js'
import { Sealer } from '../../src/ike/v2/protection.js'
import { EXCHANGE, type IkeHeader } from '../../src/wire/ike/header.js'
import type { PayloadInit } from '../../src/wire/ike/payloads.js'
import { FLAG } from '../../src/wire/ike/v2/numbers.js'
import { emitSa, parseSa, type Transform } from '../../src/wire/ike/v2/sa.js'
import { two, unharmed } from './attacker-v1.js'
import { convergence, type IkeEnd, type IkeEnds, type TwoIkes } from './ike-ends.js'

// The same for IKEv2, from either end: what an end seals is changed before, so that it is authentic. What is only in the
// clear, and what both versions have alike, is in attacker-v1.ts.

export type Change = (payloads: readonly PayloadInit[]) => readonly PayloadInit[]
type Head = Omit<IkeHeader, 'nextPayload' | 'length'>

const honestSeal = Sealer.prototype.seal

/** Two ends without a pre-phase, unless told otherwise. Nothing has been sent. */
export const ikeV2 = (o: TwoIkes = {}): IkeEnds => two({ ...o, config: { version: 2, ...o.config } })

/** Two ends with an IKE SA, which A began, and a CHILD_SA. */
export function established(o: TwoIkes = {}): IkeEnds {
  const ends = ikeV2(o)
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(500)
  expect(convergence(ends)).toEqual([])
  return ends
}

/** Both ends keep to the rules again. Belongs into every file's afterEach. */
export function honest(): void {
  Sealer.prototype.seal = honestSeal
}

/** Which messages an insider changes: those of the IKE SA's initiator, requests, unless told otherwise. */
export interface Whose {
  readonly exchange: number
  readonly response?: boolean
  readonly fromResponder?: boolean
}

/** From now on such messages are something else before they are sealed: other payloads, or another header as well. */
export function sealing(
  whose: Whose,
  change: (header: Head, payloads: readonly PayloadInit[]) => [Head, readonly PayloadInit[]],
): void {
  const { exchange, response = false, fromResponder = false } = whose
  Sealer.prototype.seal = function (this: Sealer, header, payloads) {
    const is = (flag: number): boolean => (header.flags & flag) !== 0
    const own =
      header.exchange === exchange && is(FLAG.RESPONSE) === response && is(FLAG.INITIATOR) !== fromResponder
    return honestSeal.call(this, ...(own ? change(header, payloads) : ([header, payloads] as const)))
  }
}

/** The same for payloads alone. A number is an exchange: the requests of A, who begins every IKE SA here. */
export const insider = (whose: Whose | number, change: Change): void =>
  sealing(typeof whose === 'number' ? { exchange: whose } : whose, (h, p) => [h, change(p)])

/** A begins; the victim, B unless told otherwise, has nothing of it. */
export function refused(ends: IkeEnds, victim: IkeEnd = ends.b, context: unknown = ''): void {
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(900)
  expect([context, victim.env.sas.size, victim.env.counted('ike.internal')]).toEqual([context, 0, 0])
}

/** IKE_AUTH of A's with other payloads: B has no SA of it. */
export function refusedFromInsider(change: Change, o: TwoIkes = {}): void {
  const ends = ikeV2(o)
  insider(EXCHANGE.IKE_AUTH, change)
  refused(ends)
  honest()
  unharmed(ends)
}

/** A asks for its CHILD_SA to be renewed. */
export function rekey({ a, network }: IkeEnds): void {
  const { spi } = a.env.outbound()[0]!
  a.ike.expire(network.now, {
    ...{ direction: 'outbound', protocol: 'esp', spi, policy: 1, limit: 'soft', cause: 'asked' },
  })
  network.runFor(100)
}

/** A rekey of the CHILD_SA with other payloads; both ends keep to the rules afterwards. */
export function rekeyed(change: Change, ends = established()): IkeEnds {
  insider(EXCHANGE.CREATE_CHILD_SA, change)
  rekey(ends)
  expect(ends.b.env.counted('ike.internal')).toBe(0)
  honest()
  return ends
}

/** The same: B has nothing new of it. */
export function rekeyRefused(change: Change): void {
  const ends = rekeyed(change)
  // What is no syntax ends the IKE SA with all it has (RFC 7296 section 2.21.3).
  expect(ends.b.env.inbound().length).toBeLessThanOrEqual(1)
  unharmed(ends)
}

/** An end's first exchange, as far as it is: with its keys. */
export function halfway(end: IkeEnd): FirstState {
  const { sas } = end.ike as unknown as { sas: Map<string, { sa: { state: FirstState } }> }
  const [only] = [...sas.values()]
  if (only === undefined) throw new Error('no IKE SA')
  return only.sa.state
}

/** Changes every transform of an SA payload; undefined leaves it out. */
export const transforms =
  (change: (t: Transform) => Transform | undefined) =>
  (body: Uint8Array): Uint8Array =>
    emitSa(
      parseSa(body).map((p) => ({
        ...p,
        transforms: p.transforms.map(change).filter((t) => t !== undefined),
      })),
    )
