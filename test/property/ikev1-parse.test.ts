import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Reader } from '../../src/bytes/reader.js'
import { Writer } from '../../src/bytes/writer.js'
import { WireError } from '../../src/errors.js'
import { IKE_LIMITS } from '../../src/ike/limits.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { parsePayloads } from '../../src/wire/ike/payloads.js'
import { type Attribute, emitAttributes, parseAttributes } from '../../src/wire/ike/v1/attributes.js'
import { emitId, idOfSelector, parseId, parseNatOa, selectorOfId } from '../../src/wire/ike/v1/id.js'
import { emitDelete, emitNotify, parseDelete, parseNotify } from '../../src/wire/ike/v1/notify.js'
import { emitSa, parseSa, type SaPayload } from '../../src/wire/ike/v1/sa.js'
import { convergence, type IkeEnd, twoIkes } from '../exchange/ike-ends.js'
import { A, B } from '../exchange/prephase-ends.js'
import { mutate, mutation } from './mutations.js'

const octets = (max: number, min = 0) => fc.uint8Array({ minLength: min, maxLength: max })

const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  fc.record({ type: fc.nat(0x7fff), basic: fc.constant(true), value: octets(2, 2) }),
  fc.record({ type: fc.nat(0x7fff), basic: fc.constant(false), value: octets(40) }),
)
const transform = fc.record({
  number: fc.nat(255),
  id: fc.nat(255),
  attributes: fc.array(attribute, { maxLength: 8 }),
})
const proposal = fc.record({
  number: fc.nat(255),
  protocol: fc.nat(255),
  spi: octets(16),
  transforms: fc.array(transform, { minLength: 1, maxLength: 6 }),
})
const sa: fc.Arbitrary<SaPayload> = fc.record({
  doi: fc.nat(0xffffffff),
  situation: fc.nat(0xffffffff),
  proposals: fc.array(proposal, { minLength: 1, maxLength: 6 }),
})

describe('parse(emit(x)) = x', () => {
  test('SA', () => {
    fc.assert(
      fc.property(sa, (x) => {
        expect(parseSa(emitSa(x))).toEqual(x)
      }),
    )
  })
  test('attributes', () => {
    fc.assert(
      fc.property(fc.array(attribute, { maxLength: 32 }), (list) => {
        const w = new Writer()
        emitAttributes(w, list)
        expect(parseAttributes(new Reader(w.finish()))).toEqual(list)
      }),
    )
  })
  test('notify and delete', () => {
    const notify = fc.record({
      doi: fc.nat(0xffffffff),
      protocol: fc.nat(255),
      spi: octets(16),
      type: fc.nat(0xffff),
      data: octets(40),
    })
    fc.assert(
      fc.property(notify, (x) => {
        expect(parseNotify(emitNotify(x))).toEqual(x)
      }),
    )
    const spis = fc.constantFrom(4, 16).chain((n) => fc.array(octets(n, n), { minLength: 1, maxLength: 20 }))
    fc.assert(
      fc.property(spis, (list) => {
        const d = { doi: 1, protocol: 3, spis: list }
        expect(parseDelete(emitDelete(d))).toEqual(d)
      }),
    )
  })
  test('selectors as identities', () => {
    const range = fc
      .constantFrom(4, 16)
      .chain((n) => fc.tuple(octets(n, n), fc.nat(n * 8), fc.boolean(), fc.nat(0xffff), fc.nat(255)))
    fc.assert(
      fc.property(range, ([address, bits, any, port, protocol]) => {
        const start = address.map(
          (v, i) => v & ((0xff << (8 - Math.min(8, Math.max(0, bits - i * 8)))) & 0xff),
        )
        const end = start.map((v, i) => v | (0xff >> Math.min(8, Math.max(0, bits - i * 8))))
        const ports =
          any || port === 0 ? { startPort: 0, endPort: 0xffff } : { startPort: port, endPort: port }
        const ts = { start, end, protocol, ...ports }
        expect(selectorOfId(parseId(emitId(idOfSelector(ts)!)))).toEqual(ts)
        const odd = { ...ts, end: end.map((v, i) => (i === end.length - 1 ? Math.max(v, start[i]!) : v)) }
        expect(selectorOfId(parseId(emitId(idOfSelector(odd)!)))).toEqual(odd)
      }),
    )
  })
})

test('random octets give values or WireError, nothing else', () => {
  const parsers: ((b: Uint8Array) => unknown)[] = [
    parseSa,
    parseId,
    parseNotify,
    parseDelete,
    parseNatOa,
    (b) => selectorOfId(parseId(b)),
    (b) => parseAttributes(new Reader(b)),
    (b) => parsePayloads(b, 1),
  ]
  fc.assert(
    fc.property(octets(200), (b) => {
      for (const parse of parsers) {
        try {
          parse(b)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }
    }),
    { numRuns: 500 },
  )
})

function expectBounded(e: IkeEnd): void {
  const { halfOpenPerPeer, ikeSasPerPeer, childSasPerPolicy } = IKE_LIMITS
  expect(e.peer.ikeSas.length).toBeLessThanOrEqual(halfOpenPerPeer + ikeSasPerPeer + 1)
  expect(e.peer.children.length).toBeLessThanOrEqual(childSasPerPolicy)
  expect(e.env.counted('ike.internal')).toBe(0)
}

describe('a hostile network', () => {
  test('whatever arrives while SAs are up is counted and changes nothing', () => {
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 20, maxLength: 60 }), fc.nat(1_000), (mutations, seed) => {
        const ends = twoIkes({ seed, config: { dynamicPsk: seed % 2 === 0 ? 'off' : 'hardened' } })
        const { network, a, b } = ends
        a.ike.acquire(network.now, 1)
        network.runFor(500)
        const sas = [...a.env.sas.keys(), ...b.env.sas.keys()]
        const real = [...network.sent]
        for (const m of mutations) {
          const d = real[m.index % real.length]!
          network.inject(d.from, d.to, mutate(d.message, m))
          network.inject(d.to, d.from, mutate(d.message, m))
        }
        network.runFor(100)
        for (const e of [a, b]) expectBounded(e)
        expect([...a.env.sas.keys(), ...b.env.sas.keys()]).toEqual(sas)
        expect(convergence(ends)).toEqual([])
        network.runFor(120_000)
        expect(convergence(ends)).toEqual([])
      }),
      { numRuns: 40 },
    )
  })

  test('mutated messages during an establishment throw nothing, and it comes up afterwards', () => {
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 5, maxLength: 30 }), fc.nat(1_000), (mutations, seed) => {
        const ends = twoIkes({ seed, config: { dynamicPsk: seed % 2 === 0 ? 'off' : 'hardened' } })
        const { network, a, b } = ends
        a.ike.acquire(network.now, 1)
        for (const m of mutations) {
          network.runFor(3)
          const d = network.sent[m.index % network.sent.length]!
          network.inject(d.from, d.to, mutate(d.message, m))
        }
        for (const e of [a, b]) expectBounded(e)
        for (let i = 0; i < 200; i++) {
          a.ike.acquire(network.now, 1)
          network.runFor(1_000)
        }
        for (const e of [a, b]) expectBounded(e)
        expect(convergence(ends)).toEqual([])
      }),
      { numRuns: 40 },
    )
  })

  test('random messages of every exchange type', () => {
    const { network, a, b } = twoIkes({ config: { dynamicPsk: 'off' } })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const known = network.sent[0]!.message.slice(0, 16)
    fc.assert(
      fc.property(
        octets(300, 28),
        fc.constantFrom(
          EXCHANGE.MAIN_MODE,
          EXCHANGE.QUICK_MODE,
          EXCHANGE.INFORMATIONAL_V1,
          EXCHANGE.AGGRESSIVE,
          241,
        ),
        fc.boolean(),
        fc.boolean(),
        (bytes, exchange, ours, first) => {
          const m = new Uint8Array(bytes)
          if (ours) m.set(known)
          if (first) m.fill(0, 8, 16)
          m[17] = 0x10
          m[18] = exchange
          new DataView(m.buffer).setUint32(24, m.length)
          network.inject(A, B, m)
          network.inject(B, A, m)
          network.runFor(1)
        },
      ),
      { numRuns: 2_000 },
    )
    for (const e of [a, b]) expectBounded(e)
    network.runFor(60_000)
    expect(convergence({ network, a, b })).toEqual([])
  })
})
