import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WireError } from '../../src/errors.js'
import { type IkeHeader, parseIkeHeader } from '../../src/wire/ike/header.js'
import { emitMessage, emitPayloads } from '../../src/wire/ike/payloads.js'
import type { Attribute } from '../../src/wire/ike/v1/attributes.js'
import { checkNonce, emitKe, emitTyped, parseKe, parseTyped } from '../../src/wire/ike/v2/bodies.js'
import { parseChain, parseInner } from '../../src/wire/ike/v2/chain.js'
import { emptySealed, layoutOf, pad, parseFragmentPlace, unpad } from '../../src/wire/ike/v2/encrypted.js'
import { emitDelete, emitNotify, parseDelete, parseNotify } from '../../src/wire/ike/v2/notify.js'
import { PAYLOAD, PROTOCOL } from '../../src/wire/ike/v2/numbers.js'
import { emitSa, type Proposal, parseSa } from '../../src/wire/ike/v2/sa.js'
import { emitSelectors, parseSelectors } from '../../src/wire/ike/v2/traffic-selectors.js'
import type { TrafficSelector } from '../../src/wire/traffic-selector.js'

const octets = (max: number, min = 0) => fc.uint8Array({ minLength: min, maxLength: max })

const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  fc.record({ type: fc.nat(0x7fff), basic: fc.constant(true), value: octets(2, 2) }),
  fc.record({ type: fc.nat(0x7fff), basic: fc.constant(false), value: octets(20) }),
)
const transform = fc.record({
  type: fc.nat(255),
  id: fc.nat(0xffff),
  attributes: fc.array(attribute, { maxLength: 3 }),
})
const proposal: fc.Arbitrary<Proposal> = fc.record({
  number: fc.nat(255),
  protocol: fc.nat(255),
  spi: octets(8),
  transforms: fc.array(transform, { maxLength: 6 }),
})
const sa = fc.array(proposal, { minLength: 1, maxLength: 6 })

const selector: fc.Arbitrary<TrafficSelector> = fc
  .constantFrom(4, 16)
  .chain((n) => fc.tuple(octets(n, n), octets(n, n), fc.nat(0xfffe), fc.nat(0xffff), fc.nat(255)))
  .map(([p, q, x, y, protocol]) => {
    const [start, end] = [p, q].sort((a, b) => Buffer.compare(a, b)) as [Uint8Array, Uint8Array]
    return { start, end, protocol, startPort: Math.min(x, y), endPort: Math.max(x, y) }
  })

const payload = fc.record({
  type: fc.integer({ min: 33, max: 45 }),
  critical: fc.boolean(),
  body: octets(30),
})
const HEAD = {
  initiatorSpi: new Uint8Array(8).fill(1),
  responderSpi: new Uint8Array(8).fill(2),
  version: 0x20,
  exchange: 35,
  flags: 8,
  messageId: 1,
}

describe('parse(emit(x)) = x', () => {
  test('SA', () => {
    fc.assert(
      fc.property(sa, (x) => {
        expect(parseSa(emitSa(x))).toEqual(x)
      }),
    )
  })
  test('traffic selectors', () => {
    const list = fc.array(selector, { minLength: 1, maxLength: 10 })
    fc.assert(
      fc.property(list, (x) => {
        expect(parseSelectors(emitSelectors(x))).toEqual(x)
      }),
    )
  })
  test('KE, ID, AUTH', () => {
    const ke = fc.record({ method: fc.nat(0xffff), data: octets(64, 1) })
    fc.assert(
      fc.property(ke, (x) => {
        expect(parseKe(emitKe(x))).toEqual(x)
      }),
    )
    const typed = fc.record({ type: fc.nat(255), data: octets(64) })
    fc.assert(
      fc.property(typed, (x) => {
        expect(parseTyped(emitTyped(x), 'ID')).toEqual(x)
      }),
    )
  })
  test('notify and delete', () => {
    const notify = fc.record({
      protocol: fc.nat(255),
      spi: octets(8),
      type: fc.nat(0xffff),
      data: octets(40),
    })
    fc.assert(
      fc.property(notify, (x) => {
        expect(parseNotify(emitNotify(x))).toEqual(x)
      }),
    )
    const spis = fc.array(fc.nat(0xffffffff), { maxLength: 20 })
    const deletion = fc.oneof(
      fc.constant({ protocol: PROTOCOL.IKE, spis: [] }),
      fc.record({ protocol: fc.constantFrom(PROTOCOL.AH, PROTOCOL.ESP), spis }),
    )
    fc.assert(
      fc.property(deletion, (x) => {
        expect(parseDelete(emitDelete(x))).toEqual(x)
      }),
    )
  })
  test('a chain in the clear, and one inside SK', () => {
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 8 }), (list) => {
        const message = emitMessage(HEAD, list)
        expect(parseChain(parseIkeHeader(message), message)).toEqual({ payloads: list, encrypted: undefined })
        expect(parseInner(emitPayloads(list), list[0]?.type ?? 0)).toEqual(list)
      }),
    )
  })
  test('padding', () => {
    fc.assert(
      fc.property(octets(70), fc.constantFrom(1, 4, 16), (x, block) => {
        const padded = pad(x, block)
        expect(padded.length % block).toBe(0)
        expect(padded.length).toBeLessThanOrEqual(x.length + block)
        expect(unpad(padded)).toEqual(x)
      }),
    )
  })
  test('the layout of an encrypted payload', () => {
    const lengths = fc.constantFrom({ iv: 8, block: 1, icv: 16 }, { iv: 16, block: 16, icv: 12 })
    const place = fc.option(fc.constant({ number: 2, total: 3 }), { nil: undefined })
    fc.assert(
      fc.property(lengths, place, fc.integer({ min: 1, max: 9 }), (l, fragment, blocks) => {
        const { message, layout } = emptySealed(HEAD, 41, blocks * l.block, l, fragment)
        const header = parseIkeHeader(message)
        const { payloads, encrypted } = parseChain(header, message)
        expect(payloads).toEqual([])
        expect(encrypted).toMatchObject({
          type: fragment === undefined ? PAYLOAD.SK : PAYLOAD.SKF,
          first: 41,
          at: 28,
        })
        expect(layoutOf(28, message.length, fragment !== undefined, l)).toEqual(layout)
        expect(layout.icv - layout.ciphertext).toBe(blocks * l.block)
        expect([layout.end - layout.icv, layout.ciphertext - layout.iv]).toEqual([l.icv, l.iv])
        if (fragment !== undefined) expect(parseFragmentPlace(encrypted!.body)).toEqual(fragment)
      }),
    )
  })
})

test('random octets give values or WireError, nothing else', () => {
  const header = (b: Uint8Array): IkeHeader => ({ ...HEAD, nextPayload: b[0] ?? 0, length: b.length })
  const parsers: ((b: Uint8Array) => unknown)[] = [
    parseSa,
    parseKe,
    (b) => parseTyped(b, 'AUTH'),
    parseNotify,
    parseDelete,
    parseSelectors,
    parseFragmentPlace,
    unpad,
    checkNonce,
    (b) => parseChain(header(b), b),
    (b) => parseInner(b, b[0] ?? 0),
    (b) => layoutOf(0, b.length, b.length % 2 === 0, { iv: 8, block: 16, icv: 16 }),
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
    { numRuns: 1_000 },
  )
})

describe('what is refused', () => {
  const refuses = (parse: () => unknown, field: string): void => {
    try {
      parse()
    } catch (error) {
      expect(error).toBeInstanceOf(WireError)
      return expect((error as WireError).field).toContain(field)
    }
    expect.unreachable(`nothing was thrown for ${field}`)
  }
  test('octets behind the last payload', () => {
    const message = new Uint8Array([...emitMessage(HEAD, [{ type: 40, body: new Uint8Array(4) }]), 0])
    new DataView(message.buffer).setUint32(24, message.length)
    refuses(() => parseChain(parseIkeHeader(message), message), 'message')
  })
  test('an encrypted payload inside an encrypted one', () =>
    refuses(() => parseInner(Uint8Array.of(0, 0, 0, 4), PAYLOAD.SK), 'payload.type'))
  test('selectors that run backwards', () => {
    const a = Uint8Array.of(10, 0, 0, 2)
    const b = Uint8Array.of(10, 0, 0, 1)
    const ts = { start: a, end: b, protocol: 0, startPort: 0, endPort: 65535 }
    refuses(() => parseSelectors(emitSelectors([ts])), 'TS.end')
    const ports = { start: a, end: a, protocol: 6, startPort: 9, endPort: 8 }
    refuses(() => parseSelectors(emitSelectors([ports])), 'TS.endPort')
  })
  test('no selector, and fewer than announced', () => {
    refuses(() => parseSelectors(new Uint8Array(4)), 'TS.count')
    refuses(() => parseSelectors(Uint8Array.of(255, 0, 0, 0)), 'TS.type')
  })
  test('a Delete of the IKE SA with SPIs', () =>
    refuses(() => parseDelete(Uint8Array.of(1, 4, 0, 1, 0, 0, 0, 9)), 'D.spiSize'))
  test('fragment 3 of 2', () => refuses(() => parseFragmentPlace(Uint8Array.of(0, 3, 0, 2)), 'SKF.number'))
  test('short and long nonces', () => {
    for (const n of [15, 257]) refuses(() => checkNonce(new Uint8Array(n)), 'NONCE')
  })
})

test('OPAQUE ports and unknown types are left out, the others stay', () => {
  const ts = {
    start: Uint8Array.of(10, 0, 0, 1),
    end: Uint8Array.of(10, 0, 0, 9),
    protocol: 6,
    startPort: 22,
    endPort: 22,
  }
  const known = emitSelectors([ts])
  const opaque = emitSelectors([{ ...ts, startPort: 0xffff, endPort: 0 }]).subarray(4)
  const body = Uint8Array.of(3, 0, 0, 0, 10, 0, 0, 6, 1, 2, ...known.subarray(4), ...opaque)
  expect(parseSelectors(body)).toEqual([ts])
})
