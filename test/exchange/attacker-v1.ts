import { expect } from 'vitest'
import { equalOctets } from '../../src/bytes/octets.js'
import { hash1, hashI, type Phase1Exchange, phase1Iv, phase2Iv } from '../../src/ike/v1/keymat.js'
import type { Phase1, Phase1Keys } from '../../src/ike/v1/main-mode-states.js'
import { open, seal, withHash } from '../../src/ike/v1/protection.js'
import {
  EXCHANGE,
  emitIkeHeader,
  IKE_HEADER_LEN,
  parseIkeHeader,
  VERSION_1,
} from '../../src/wire/ike/header.js'
import { emitMessage, type PayloadInit, parsePayloads } from '../../src/wire/ike/payloads.js'
import { numberAttribute } from '../../src/wire/ike/v1/attributes.js'
import { PAYLOAD } from '../../src/wire/ike/v1/numbers.js'
import { emitSa, parseSa, type Transform } from '../../src/wire/ike/v1/sa.js'
import { convergence, type IkeEnd, type IkeEnds, type TwoIkes, twoIkes } from './ike-ends.js'
import { A, B } from './prephase-ends.js'

// Somebody between or beside two ends that speak IKEv1: changes messages in the clear, and with the keys of end A those
// that are encrypted. B is the victim.

/** What A's end knows and an insider would. */
interface Inside {
  readonly state: {
    readonly kind: string
    readonly x?: Phase1Exchange
    readonly skeyid?: Uint8Array
    readonly keys?: Phase1Keys
    readonly sai?: Uint8Array
  }
  readonly phase2?: { readonly phase1: Phase1 }
}

const insideOf = (end: IkeEnd): Inside => {
  const { sas } = end.ike as unknown as { sas: Map<string, { sa: Inside }> }
  const all = [...sas.values()].map((v) => v.sa)
  const inside = all.find((s) => s.phase2 !== undefined) ?? all[0]
  if (inside === undefined) throw new Error('no IKE SA')
  return inside
}

/** Two ends without a pre-phase, unless told otherwise. Nothing has been sent. */
export const two = (o: TwoIkes = {}): IkeEnds =>
  twoIkes({ ...o, config: { dynamicPsk: 'off', fragmentSize: 0, ...o.config } })

/** Two ends with an IKE SA and a CHILD_SA. */
export function established(o: TwoIkes = {}): IkeEnds {
  const ends = two(o)
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(1_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

/** The first message that A would send; it is lost. */
export function firstMessage(ends: IkeEnds): Uint8Array {
  const { network, a } = ends
  network.impairment = () => []
  a.ike.acquire(network.now, 1)
  const [first] = network.sent
  if (first === undefined) throw new Error('nothing was sent')
  a.ike.terminate(network.now, 'b')
  network.sent.length = 0
  network.impairment = () => [5]
  return first.message
}

/** Sends it to B in A's name, and gives B's answers. */
export function toB(ends: IkeEnds, message: Uint8Array, ms = 100): Uint8Array[] {
  const { network } = ends
  const before = network.sent.length
  network.inject(A, B, message)
  network.runFor(ms)
  return network.sent
    .slice(before)
    .filter(fromB)
    .map((d) => d.message)
}

const fromB = (d: { from: { address: Uint8Array } }): boolean => equalOctets(d.from.address, B.address)

/** What arrives in the place of A's datagram with this number, from 0; undefined: the datagram itself. */
export function alter(ends: IkeEnds, number: number, change: (m: Uint8Array) => Uint8Array): void {
  const { network } = ends
  let n = 0
  network.impairment = (d) => {
    if (fromB(d) || n++ !== number) return [5]
    network.inject(d.from, d.to, change(d.message), 5)
    return []
  }
}

/** A message in the clear with other payloads. */
export function rebuilt(
  message: Uint8Array,
  change: (payloads: readonly PayloadInit[]) => readonly PayloadInit[],
): Uint8Array {
  const header = parseIkeHeader(message)
  const payloads = parsePayloads(message.subarray(IKE_HEADER_LEN), header.nextPayload)
  return emitMessage(header, change(payloads))
}

export const replaced =
  (type: number, body: (old: Uint8Array) => Uint8Array) =>
  (payloads: readonly PayloadInit[]): readonly PayloadInit[] =>
    payloads.map((p) => (p.type === type ? { ...p, body: body(p.body) } : p))

export const without =
  (type: number) =>
  (payloads: readonly PayloadInit[]): readonly PayloadInit[] =>
    payloads.filter((p) => p.type !== type)

/** A's message 5 with other payloads; HASH_I is made again for the identity in it, unless `hash` gives another. */
export function message5(
  { a }: IkeEnds,
  message: Uint8Array,
  change: (payloads: readonly PayloadInit[]) => readonly PayloadInit[],
  hash?: (right: Uint8Array) => Uint8Array,
): Uint8Array {
  const { x, skeyid, keys, sai } = insideOf(a).state
  if (x === undefined || skeyid === undefined || keys === undefined || sai === undefined)
    throw new Error('not in time')
  const iv = phase1Iv(keys.prfId, x.gxi, x.gxr, 16)
  const payloads = change(open(parseIkeHeader(message), message, keys.key, iv).payloads)
  const id = payloads.find((p) => p.type === PAYLOAD.ID)?.body ?? new Uint8Array(0)
  const right = hashI(keys.prfId, skeyid, x, sai, id)
  const hashed = payloads.map((p) => (p.type === PAYLOAD.HASH ? { ...p, body: hash?.(right) ?? right } : p))
  const head = { ci: x.ci, cr: x.cr, exchange: EXCHANGE.MAIN_MODE, messageId: 0 }
  return seal(head, hashed, keys.key, iv).message
}

/** How an insider authenticates: with the right hash unless told otherwise. */
export interface Sealing {
  readonly exchange?: number
  readonly messageId?: number
  /** Instead of the right hash; undefined leaves the payload out. */
  readonly hash?: (right: Uint8Array) => Uint8Array | undefined
}

let lastId = 0x7000_0000

/** An encrypted message of A's under the established IKE SA. */
export function sealedBy(end: IkeEnd, payloads: readonly PayloadInit[], o: Sealing = {}): Uint8Array {
  const { phase2 } = insideOf(end)
  if (phase2 === undefined) throw new Error('no established IKE SA')
  const { prfId, a, key, ci, cr, lastBlock } = phase2.phase1
  const messageId = o.messageId ?? ++lastId
  const head = { ci, cr, exchange: o.exchange ?? EXCHANGE.INFORMATIONAL_V1, messageId }
  const [first, ...rest] = withHash(payloads, (octets) => hash1(prfId, a, messageId, octets))
  const body = o.hash === undefined ? first!.body : o.hash(first!.body)
  const chain = body === undefined ? rest : [{ type: PAYLOAD.HASH, body }, ...rest]
  return seal(head, chain, key, phase2Iv(prfId, lastBlock, messageId, 16)).message
}

/** Payloads of A's Quick Mode message 1, without the hash: what an honest end asks for. */
export function quickModePayloads(ends: IkeEnds): readonly PayloadInit[] {
  const { phase2 } = insideOf(ends.a)
  const sent = ends.network.sent.find((d) => !fromB(d) && d.message[18] === EXCHANGE.QUICK_MODE)
  if (phase2 === undefined || sent === undefined) throw new Error('no Quick Mode')
  const header = parseIkeHeader(sent.message)
  const { prfId, key, lastBlock } = phase2.phase1
  const iv = phase2Iv(prfId, lastBlock, header.messageId, 16)
  return open(header, sent.message, key, iv)
    .payloads.slice(1)
    .map((p) => ({ ...p, body: p.body.slice() }))
}

/** A message in the clear under the cookies of A's IKE SA. */
export function clearOf(
  end: IkeEnd,
  exchange: number,
  payloads: readonly PayloadInit[],
  flags = 0,
): Uint8Array {
  const { phase2, state } = insideOf(end)
  const { ci, cr } = phase2?.phase1 ?? state.x!
  const head = { initiatorSpi: ci, responderSpi: cr, version: VERSION_1, flags, messageId: ++lastId }
  return emitMessage({ ...head, exchange }, payloads)
}

/** A header alone, or with octets behind it that need not be payloads. */
export function raw(
  first: Uint8Array,
  change: Partial<ReturnType<typeof parseIkeHeader>>,
  rest = new Uint8Array(0),
): Uint8Array {
  const out = new Uint8Array(IKE_HEADER_LEN + rest.length)
  emitIkeHeader({ ...parseIkeHeader(first), length: out.length, ...change }, out, 0)
  out.set(rest, IKE_HEADER_LEN)
  return out
}

/** Nothing has failed inside, B keeps no more than it may, and honest ends come to exactly one SA each. */
export function unharmed(ends: IkeEnds): void {
  const { network, a, b } = ends
  for (const e of [a, b]) {
    expect(e.env.counted('ike.internal')).toBe(0)
    expect(e.peer.ikeSas.length).toBeLessThanOrEqual(16)
  }
  network.impairment = () => [5]
  network.runFor(3_000)
  a.ike.terminate(network.now, 'b')
  b.ike.terminate(network.now, 'a')
  network.runFor(1_000)
  a.ike.initiate(network.now, 'b')
  expect(network.runUntil(() => convergence(ends).length === 0, 120_000)).toBe(true)
}

/** Both cookies of A's IKE SA. */
export const ikeSaOf = (ends: IkeEnds): Uint8Array =>
  clearOf(ends.a, EXCHANGE.INFORMATIONAL_V1, []).slice(0, 16)

/** Changes every transform of an SA payload. */
export const transforms =
  (change: (t: Transform) => Transform) =>
  (body: Uint8Array): Uint8Array => {
    const sa = parseSa(body)
    return emitSa({
      ...sa,
      proposals: sa.proposals.map((p) => ({ ...p, transforms: p.transforms.map(change) })),
    })
  }
/** One attribute of a transform, replaced. */
export const withNumber =
  (type: number, value: number) =>
  (t: Transform): Transform => ({
    ...t,
    attributes: [...t.attributes.filter((a) => a.type !== type), numberAttribute(type, value)],
  })
/** A transform without one attribute. */
export const lacking =
  (type: number) =>
  (t: Transform): Transform => ({ ...t, attributes: t.attributes.filter((a) => a.type !== type) })

/** Main Mode with A's message `number` changed on its way: B has no IKE SA of it. */
export function refused(ends: IkeEnds, number: number, change: (m: Uint8Array) => Uint8Array): void {
  alter(ends, number, change)
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(900)
  expect(ends.b.established()).toEqual([])
  expect(ends.b.env.sas.size).toBe(0)
}
