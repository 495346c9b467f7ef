import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SCRATCH_LEN, type Slab } from '../../src/bytes/slab.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../../src/crypto/algorithms.js'
import { nobleEngine } from '../../src/crypto/engines/noble.js'
import type { CryptoQueue, QueuedAead, QueuedCipherMac } from '../../src/crypto/types.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { ipsecMbEngines } from '../reference/ipsec-mb-libraries.js'

// A queue of packets of many SAs does what noble does with them one by one: bit for bit, and refuses just the packets that were
// changed. The number of packets a run is any, so that the ring of jobs is crossed everywhere.

const ROOM = 2048
const PACKETS = 64
const slab: Slab = nativeSlab((PACKETS + 1) * ROOM)
const oracle = nobleEngine()

const octets = (n: number) => fc.uint8Array({ minLength: n, maxLength: n })
const HEADER = 8
/** Slab offset of the IV that the next packet is added with. */
const NONCE = SCRATCH_LEN
const placeOf = (i: number): number => SCRATCH_LEN + ROOM + i * ROOM

type Algorithm = { readonly encr: number; readonly integ: number; readonly tail: 0 | 4 }
const AEADS = Object.values(ENCR).filter((id) => encryptionInfo(id)!.kind === 'aead')
const MACS = Object.values(INTEG).filter((id) => ![undefined, 'gmac'].includes(integrityInfo(id)?.kind))
const algorithms: fc.Arbitrary<Algorithm> = fc.oneof(
  fc.constantFrom(...AEADS).map((encr) => ({ encr, integ: INTEG.NONE, tail: 0 as const })),
  fc.record({
    encr: fc.constantFrom(ENCR.NULL, ENCR.AES_CBC, ENCR.AES_CTR),
    integ: fc.constantFrom(...MACS),
    tail: fc.constantFrom(0 as const, 4 as const),
  }),
)
interface Sa extends Algorithm {
  readonly cipherKey: Uint8Array
  readonly macKey: Uint8Array
}
const sas = algorithms.chain((a) =>
  fc.record({
    encr: fc.constant(a.encr),
    integ: fc.constant(a.integ),
    tail: fc.constant(a.tail),
    cipherKey: fc.constantFrom(...encryptionInfo(a.encr)!.keyLengths).chain(octets),
    macKey: octets(integrityInfo(a.integ)?.keyLength ?? 0),
  }),
)
const packets = fc.record({
  sa: fc.nat(3),
  length: fc.integer({ min: 2, max: 1500 }),
  seed: octets(16),
  tail: fc.nat(0xffff_ffff),
  /** Which octet is changed before opening, from the header on; undefined = none. */
  change: fc.option(fc.nat(), { nil: undefined, freq: 3 }),
})
type Packet = typeof packets extends fc.Arbitrary<infer T> ? T : never

interface Subject {
  readonly icvLength: number
  /** Works on the packet at `place`: header, text, ICV. */
  seal(place: number, length: number, tail: number): number
  open(place: number, length: number, tail: number): number
  destroy(): void
}

const fromAead = (a: QueuedAead): Subject => ({
  icvLength: a.icvLength,
  seal: (p, n) => a.seal(NONCE, p, HEADER, p + HEADER, n, p + HEADER, p + HEADER + n),
  open: (p, n) => a.open(NONCE, p, HEADER, p + HEADER, n, p + HEADER, p + HEADER + n),
  destroy: () => a.destroy(),
})
const fromSuite = (s: QueuedCipherMac): Subject => ({
  icvLength: s.icvLength,
  seal: (p, n, tail) => s.seal(NONCE, p, p + HEADER, n, tail),
  open: (p, n, tail) => s.open(NONCE, p, p + HEADER, n, p + HEADER, tail),
  destroy: () => s.destroy(),
})

function subjectOf(queue: CryptoQueue, sa: Sa): Subject | undefined {
  if (sa.integ === INTEG.NONE) {
    const aead = queue.aead(sa.encr, sa.cipherKey)
    return aead && fromAead(aead)
  }
  const suite = queue.cipherMac(sa.encr, sa.cipherKey, sa.integ, sa.macKey, sa.tail)
  return suite && fromSuite(suite)
}

/** Header, ciphertext and ICV by noble, from what stands at `place`. */
function expectedOf(sa: Sa, place: number, length: number, tail: number): Uint8Array {
  const icv = place + HEADER + length
  const text = place + HEADER
  if (sa.integ === INTEG.NONE) {
    const aead = oracle.aead(sa.encr, sa.cipherKey, slab)!
    aead.seal(NONCE, place, HEADER, text, length, text, icv)
    return slab.bytes.slice(place, icv + aead.icvLength)
  }
  if (sa.encr !== ENCR.NULL) oracle.cipher(sa.encr, sa.cipherKey, slab)!.encrypt(NONCE, text, length, text)
  const mac = oracle.mac(sa.integ, sa.macKey, slab)!
  slab.view.setUint32(NONCE + 32, tail)
  mac.compute(place, HEADER + length, NONCE + 32, sa.tail, icv)
  return slab.bytes.slice(place, icv + mac.icvLength)
}

/** Puts the plain packet there. @returns what opening gives back */
function putPlain({ seed }: Packet, place: number, length: number): Uint8Array {
  for (let i = 0; i < HEADER + length; i++) slab.bytes[place + i] = seed[i & 15]! + i
  return slab.bytes.slice(place, place + HEADER + length)
}
const putIv = ({ seed }: Packet): void => slab.bytes.set(seed, NONCE)
const lengthOf = (sa: Sa, { length }: Packet): number =>
  sa.encr === ENCR.AES_CBC ? Math.max(16, length & ~15) : length

const libraries = ipsecMbEngines()
if (libraries.length === 0) test.skip('no libIPSec_MB is installed', () => {})

describe.each(libraries)('$file', ({ engine }) => {
  const queue = engine.queue!(slab)!

  test('packets of several SAs in a run', () => {
    fc.assert(
      fc.property(
        fc.array(sas, { minLength: 4, maxLength: 4 }),
        fc.array(packets, { minLength: 1, maxLength: PACKETS }),
        (specs, sent) => {
          const subjects = specs.map((sa) => subjectOf(queue, sa))
          const usable = sent.filter((p) => subjects[p.sa])
          const plain: Uint8Array[] = []
          const expected: Uint8Array[] = []
          for (const [i, p] of usable.entries()) {
            const sa = specs[p.sa]!
            const length = lengthOf(sa, p)
            putIv(p)
            plain.push(putPlain(p, placeOf(i), length))
            expected.push(expectedOf(sa, placeOf(i), length, p.tail))
            putPlain(p, placeOf(i), length)
          }
          for (const [i, p] of usable.entries()) {
            putIv(p)
            expect(subjects[p.sa]!.seal(placeOf(i), lengthOf(specs[p.sa]!, p), p.tail)).toBe(i)
            // All that may change is copied.
            slab.bytes.fill(0xee, NONCE, NONCE + 16)
          }
          queue.run()
          for (const [i, want] of expected.entries()) {
            expect(queue.done(i)).toBe(true)
            const got = slab.bytes.slice(placeOf(i), placeOf(i) + want.length)
            expect(Buffer.from(got).toString('hex')).toBe(Buffer.from(want).toString('hex'))
          }
          for (const [i, p] of usable.entries()) {
            if (p.change !== undefined) {
              const at = placeOf(i) + (p.change % expected[i]!.length)
              slab.bytes[at] = slab.bytes[at]! ^ 0x10
            }
            putIv(p)
            expect(subjects[p.sa]!.open(placeOf(i), lengthOf(specs[p.sa]!, p), p.tail)).toBe(i)
          }
          queue.run()
          for (const [i, p] of usable.entries()) {
            expect(queue.done(i)).toBe(p.change === undefined)
            if (p.change !== undefined) continue
            const got = slab.bytes.slice(placeOf(i), placeOf(i) + plain[i]!.length)
            expect(Buffer.from(got).toString('hex')).toBe(Buffer.from(plain[i]!).toString('hex'))
          }
          for (const s of subjects) s?.destroy()
        },
      ),
      { numRuns: 40 },
    )
  }, 30_000)
})
