import { equalOctets } from '../bytes/octets.js'
import { SCRATCH_LEN, type Slab } from '../bytes/slab.js'
import { ENCR, INTEG } from './algorithms.js'
import {
  AEAD_ANSWERS,
  CIPHER_ANSWERS,
  type CipherAnswer,
  GMAC_ANSWERS,
  LONG_ODD,
  LONG_TEXT,
  MAC_ANSWERS,
  type MacAnswer,
} from './known-answers.js'
import { SELF_TEST_ROOM } from './self-test.js'
import type { CryptoQueue } from './types.js'

// What a queue must show before it carries packets: the known answers, three packets of different lengths in a run, and that
// it refuses the one that was changed, and no other.

const IV = 0
const AAD = 16
/** Where the packets stand: a short one, the long one, a short one. */
const PLACES = [64, 1280, 2560] as const
const LONG_PLACE = 1
const CHANGED = 2
/** Octets in front of a text that a MAC covers too. */
const HEADER = 8

/**
 * @param at slab offset of SELF_TEST_ROOM octets, which are overwritten and cleared
 * @returns what went wrong, or undefined when all answers are right
 */
export function queueSelfTest(queue: CryptoQueue, slab: Slab, at = SCRATCH_LEN): string | undefined {
  // Native calls know no bounds.
  if (slab.bytes.length < at + SELF_TEST_ROOM) return 'the slab has no room for a self-test'
  try {
    const wrong = firstWrong(queue, slab, at)
    return wrong === undefined ? undefined : `wrong answer for ${wrong}`
  } finally {
    slab.bytes.fill(0, at, at + SELF_TEST_ROOM)
  }
}

function firstWrong(queue: CryptoQueue, slab: Slab, at: number): string | undefined {
  for (const a of AEAD_ANSWERS) if (!aeadPasses(queue, a, slab.bytes, at)) return a.name
  for (const { name, key, iv, text, icv, long } of GMAC_ANSWERS) {
    const a = { name, id: ENCR.AES_GCM_16, key, iv, aad: text, plain: new Uint8Array(0), sealed: icv, long }
    if (!gmacPasses(queue, a, slab.bytes, at)) return name
  }
  for (const a of MAC_ANSWERS) if (!macPasses(queue, a, slab, at)) return a.name
  for (const a of CIPHER_ANSWERS) if (!cipherPasses(queue, a, slab.bytes, at)) return a.name
  return undefined
}

const holds = (b: Uint8Array, place: number, octets: Uint8Array): boolean =>
  equalOctets(b.subarray(place, place + octets.length), octets)

/** Adds what `add` adds for each place, runs, and compares the verdicts. */
function runs(queue: CryptoQueue, add: (i: number) => number, expected: readonly boolean[]): boolean {
  const indices = PLACES.map((_, i) => add(i))
  queue.run()
  return indices.every((index, i) => index === i && queue.done(index) === expected[i])
}
const ALL = [true, true, true]
const BUT_CHANGED = [true, true, false]

function aeadPasses(queue: CryptoQueue, a: CipherAnswer, b: Uint8Array, at: number): boolean {
  const aead = queue.aead(a.id, a.key)
  if (!aead) return true
  try {
    const texts = [a.plain, LONG_TEXT.subarray(0, LONG_ODD), a.plain]
    const n = aead.icvLength
    const places = PLACES.map((place) => at + place)
    b.set(a.iv, at + IV)
    b.set(a.aad, at + AAD)
    for (const [i, text] of texts.entries()) b.set(text, places[i]!)
    const each =
      (work: 'seal' | 'open') =>
      (i: number): number => {
        const [text, place] = [texts[i]!, places[i]!]
        return aead[work](at + IV, at + AAD, a.aad.length, place, text.length, place, place + text.length)
      }
    if (aead.nonceLength !== a.iv.length || !runs(queue, each('seal'), ALL)) return false
    const end = places[LONG_PLACE]! + LONG_ODD + n
    for (const i of [0, CHANGED]) if (!holds(b, places[i]!, a.sealed)) return false
    if (!holds(b, end - a.long.length, a.long)) return false
    const last = places[CHANGED]! + a.plain.length + n - 1
    b[last] = b[last]! ^ 1
    return (
      runs(queue, each('open'), BUT_CHANGED) &&
      texts.every((text, i) => i === CHANGED || holds(b, places[i]!, text))
    )
  } finally {
    aead.destroy()
  }
}

/** The AAD is the packet, and the ICV stands behind it. */
function gmacPasses(queue: CryptoQueue, a: CipherAnswer, b: Uint8Array, at: number): boolean {
  const aead = queue.aead(a.id, a.key)
  if (!aead) return true
  try {
    const texts = [a.aad, LONG_TEXT.subarray(0, LONG_ODD), a.aad]
    b.set(a.iv, at + IV)
    for (const [i, text] of texts.entries()) b.set(text, at + PLACES[i]!)
    const each =
      (work: 'seal' | 'open') =>
      (i: number): number => {
        const place = at + PLACES[i]!
        const icv = place + texts[i]!.length
        return aead[work](at + IV, place, texts[i]!.length, icv, 0, icv, icv)
      }
    if (!runs(queue, each('seal'), ALL)) return false
    const answers = [a.sealed, a.long, a.sealed]
    if (!texts.every((text, i) => holds(b, at + PLACES[i]! + text.length, answers[i]!))) return false
    b[at + PLACES[CHANGED]] = b[at + PLACES[CHANGED]]! ^ 1
    return runs(queue, each('open'), BUT_CHANGED)
  } finally {
    aead.destroy()
  }
}

/** With NULL, and the last octets of the text as tail. */
function macPasses(queue: CryptoQueue, a: MacAnswer, { bytes: b, view }: Slab, at: number): boolean {
  const suite = queue.cipherMac(ENCR.NULL, new Uint8Array(0), a.id, a.key, 4)
  if (!suite) return true
  try {
    const texts = [a.text, LONG_TEXT.subarray(0, LONG_ODD), a.text]
    const n = suite.icvLength
    const tails: number[] = []
    for (const [i, text] of texts.entries()) {
      b.set(text, at + PLACES[i]!)
      tails.push(view.getUint32(at + PLACES[i]! + text.length - 4))
    }
    const each =
      (work: 'seal' | 'open') =>
      (i: number): number => {
        const from = at + PLACES[i]!
        const text = from + HEADER
        const len = texts[i]!.length - HEADER - 4
        return work === 'seal'
          ? suite.seal(at + IV, from, text, len, tails[i]!)
          : suite.open(at + IV, from, text, len, text, tails[i]!)
      }
    if (!runs(queue, each('seal'), ALL)) return false
    const answers = [a.mac, a.long, a.mac]
    if (!texts.every((t, i) => holds(b, at + PLACES[i]! + t.length - 4, answers[i]!.subarray(0, n))))
      return false
    const last = at + PLACES[CHANGED] + a.text.length - 4 + n - 1
    b[last] = b[last]! ^ 1
    return runs(queue, each('open'), BUT_CHANGED)
  } finally {
    suite.destroy()
  }
}

/** With an HMAC beside it, whose ICV is checked by itself. */
function cipherPasses(queue: CryptoQueue, a: CipherAnswer, b: Uint8Array, at: number): boolean {
  const key = new Uint8Array(32)
  const suite = queue.cipherMac(a.id, a.key, INTEG.HMAC_SHA2_256_128, key, 0)
  const check = queue.cipherMac(ENCR.NULL, new Uint8Array(0), INTEG.HMAC_SHA2_256_128, key, 0)
  try {
    if (!suite || !check) return true
    const texts = [
      a.plain,
      LONG_TEXT.subarray(0, a.id === ENCR.AES_CBC ? LONG_TEXT.length : LONG_ODD),
      a.plain,
    ]
    b.set(a.iv, at + IV)
    for (const [i, text] of texts.entries()) b.set(text, at + PLACES[i]! + HEADER)
    const seal = (i: number): number =>
      suite.seal(at + IV, at + PLACES[i]!, at + PLACES[i]! + HEADER, texts[i]!.length, 0)
    const open = (by: typeof suite) => (i: number) => {
      const from = at + PLACES[i]!
      return by.open(at + IV, from, from + HEADER, texts[i]!.length, from + HEADER, 0)
    }
    if (!runs(queue, seal, ALL)) return false
    const longEnd = at + PLACES[LONG_PLACE] + HEADER + texts[LONG_PLACE]!.length
    for (const i of [0, CHANGED]) if (!holds(b, at + PLACES[i]! + HEADER, a.sealed)) return false
    if (!holds(b, longEnd - a.long.length, a.long) || !runs(queue, open(check), ALL)) return false
    b[at + PLACES[CHANGED]] = b[at + PLACES[CHANGED]]! ^ 1
    return (
      runs(queue, open(suite), BUT_CHANGED) &&
      texts.every((text, i) => i === CHANGED || holds(b, at + PLACES[i]! + HEADER, text))
    )
  } finally {
    suite?.destroy()
    check?.destroy()
  }
}
