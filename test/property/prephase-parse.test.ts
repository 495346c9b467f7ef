import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../src/bytes/octets.js'
import { WireError } from '../../src/errors.js'
import { emitPrephase, parsePrephase, VENDOR_ID } from '../../src/ike/prephase/messages.js'
import { parseIkeHeader } from '../../src/wire/ike/header.js'
import { A, B, twoEnds } from '../exchange/prephase-ends.js'

const { cases } = JSON.parse(readFileSync(new URL('../vectors/prephase.json', import.meta.url), 'utf8')) as {
  cases: { m1: string; m2: string; m3: string; m4: string }[]
}
const corpus = cases.flatMap((c) => [c.m1, c.m2, c.m3, c.m4]).map(fromHex)

const octets = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength })
const cookie = octets(8).filter((c) => c.some((v) => v !== 0))
const idBody = fc
  .tuple(fc.integer({ min: 0, max: 255 }), octets(1, 255))
  .map(([type, value]) => Uint8Array.from([type, 0, 0, 0, ...value]))
const label = fc
  .tuple(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), fc.integer({ min: 0, max: 999_999_999 }))
  .map(([seconds, ns]) => {
    const out = new Uint8Array(12)
    new DataView(out.buffer).setBigUint64(0, seconds)
    new DataView(out.buffer).setUint32(8, ns)
    return out
  })

/** Parses, or gives undefined on the only error that may come. */
function tryParse(message: Uint8Array) {
  try {
    return parsePrephase(parseIkeHeader(message), message)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

/** A message of the corpus with octets changed, removed, inserted or repeated, its length field put right or not. */
const mutated = fc
  .tuple(
    fc.constantFrom(...corpus),
    fc.array(fc.tuple(fc.constantFrom('set', 'cut', 'insert', 'double'), fc.nat(), fc.nat(255), fc.nat(40)), {
      maxLength: 4,
    }),
    fc.boolean(),
  )
  .map(([message, edits, mend]) => {
    let m = [...message]
    for (const [kind, where, value, length] of edits) {
      const at = m.length === 0 ? 0 : where % m.length
      if (kind === 'set') m[at] = value
      else if (kind === 'cut') m.splice(at, length)
      else if (kind === 'insert') m.splice(at, 0, ...new Array<number>(length).fill(value))
      else m = [...m.slice(0, at), ...m.slice(Math.max(0, at - length))]
    }
    const out = Uint8Array.from(m)
    if (mend && out.length >= 28) new DataView(out.buffer).setUint32(24, out.length)
    return out
  })

describe('parsing', () => {
  test('is the inverse of emitting, for every legal value', () => {
    fc.assert(
      fc.property(cookie, cookie, idBody, label, octets(32), octets(32), (ci, cr, id, t, nonce, hash) => {
        const first = Uint8Array.from([...t, ...nonce])
        const h1 = emitPrephase('hardened', 1, ci, new Uint8Array(8), [VENDOR_ID.hardened, id, first, hash])
        expect(tryParse(h1)).toEqual({ step: 1, scheme: 'hardened', id, nonce: first, hash })
        const c1 = emitPrephase('classic', 1, ci, new Uint8Array(8), [VENDOR_ID.classic, id, nonce])
        expect(tryParse(c1)).toEqual({ step: 1, scheme: 'classic', id, nonce, hash: new Uint8Array(0) })
        const h2 = emitPrephase('hardened', 2, ci, cr, [VENDOR_ID.hardened, id, nonce, hash])
        expect(tryParse(h2)).toEqual({ step: 2, scheme: 'hardened', id, nonce, hash })
        const c2 = emitPrephase('classic', 2, ci, cr, [VENDOR_ID.classic, id, hash, nonce])
        expect(tryParse(c2)).toEqual({ step: 2, scheme: 'classic', id, nonce, hash })
        expect(tryParse(emitPrephase('hardened', 3, ci, cr, [hash]))).toEqual({ step: 3, hash })
        expect(tryParse(emitPrephase('hardened', 4, ci, cr, [hash]))).toEqual({
          step: 4,
          scheme: 'hardened',
          hash,
        })
      }),
    )
  })

  test('of random octets gives a WireError or nothing', () => {
    fc.assert(
      fc.property(octets(0, 600), (m) => void tryParse(m)),
      { numRuns: 2_000 },
    )
  })

  test('of damaged messages gives a WireError, or a message with exactly these octets', () => {
    fc.assert(
      fc.property(mutated, (m) => {
        const parsed = tryParse(m)
        if (parsed === undefined) return
        const header = parseIkeHeader(m)
        const scheme = parsed.step === 3 ? 'hardened' : parsed.scheme
        const bodies =
          parsed.step === 1
            ? [VENDOR_ID[scheme], parsed.id, parsed.nonce, ...(scheme === 'hardened' ? [parsed.hash] : [])]
            : parsed.step === 2
              ? scheme === 'hardened'
                ? [VENDOR_ID[scheme], parsed.id, parsed.nonce, parsed.hash]
                : [VENDOR_ID[scheme], parsed.id, parsed.hash, parsed.nonce]
              : [scheme === 'hardened' ? parsed.hash : fromHex('0000000101004000')]
        const again = emitPrephase(scheme, parsed.step, header.initiatorSpi, header.responderSpi, bodies)
        expect(hex(again)).toBe(hex(m))
      }),
      { numRuns: 5_000 },
    )
  })
})

describe.each(['classic', 'hardened'] as const)('%s: the engine', (scheme) => {
  test('throws at nothing, keeps nothing without bound, and still works afterwards', () => {
    const { network, a, b } = twoEnds(scheme)
    fc.assert(
      fc.property(fc.oneof(mutated, octets(28, 120)), fc.boolean(), (m, toA) => {
        const message = new Uint8Array(m)
        if (message.length >= 28) {
          message[18] = 241
          new DataView(message.buffer).setUint32(24, message.length)
        }
        try {
          parseIkeHeader(message)
        } catch {
          return
        }
        if (toA) network.inject(B, A, message)
        else network.inject(A, B, message)
        network.runFor(1)
      }),
      { numRuns: 2_000 },
    )
    for (const end of [a, b]) {
      expect(end.env.counted('prephase.internal')).toBe(0)
      expect(end.prephase.status()[0]!.halfOpen).toBeLessThanOrEqual(16)
    }
    network.runFor(60_000)
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    expect(a.results('initiator')).toHaveLength(1)
    expect(b.results('responder').at(-1)).toBeDefined()
  })
})
