import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { equalOctets, hex, xor } from '../../../src/bytes/octets.js'
import type { Endpoint } from '../../../src/ike/environment.js'
import { parseIdentity } from '../../../src/ike/identity.js'
import { idBody, type PrephaseMessage, parsePrephase, VENDOR_ID } from '../../../src/ike/prephase/messages.js'
import { EXCHANGE, parseIkeHeader } from '../../../src/wire/ike/header.js'
import { emitMessage, type PayloadInit } from '../../../src/wire/ike/payloads.js'
import { A, B, K_AB, mirrored, PrephaseEnd, peerConfig, twoEnds } from '../../exchange/prephase-ends.js'
import { seededRandom, VirtualNetwork } from '../../exchange/virtual-network.js'

// The known weaknesses of the published exchange, each as an attack that is carried out here on the real engine and
// succeeds, followed by the same attack on the hardened exchange, which fails. The attacker has no key: it sees the wire
// and sends from any address.

type Scheme = 'classic' | 'hardened'
const sha256 = (b: Uint8Array): Uint8Array => createHash('sha256').update(b).digest()
const IDA = idBody(parseIdentity('dom0-a.example')!)
const IDB = idBody(parseIdentity('dom0-b.example')!)
const random = seededRandom('attacker')
const NO_COOKIE = new Uint8Array(8)

const body = (m: Uint8Array): PrephaseMessage => parsePrephase(parseIkeHeader(m), m)
type Step2 = Extract<PrephaseMessage, { step: 2 }>

function forge(step: number, ci: Uint8Array, cr: Uint8Array, payloads: PayloadInit[]): Uint8Array {
  return emitMessage(
    {
      initiatorSpi: ci,
      responderSpi: cr,
      version: 0x10,
      exchange: EXCHANGE.PREPHASE,
      flags: 0,
      messageId: step,
    },
    payloads,
  )
}

/** The best that an outsider can make of 32 octets: step 1 with them as the masked nonce. */
function forgeStep1(scheme: Scheme, ci: Uint8Array, id: Uint8Array, masked: Uint8Array): Uint8Array {
  const nonce =
    scheme === 'classic' ? masked : Uint8Array.from([0x40, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, ...masked])
  const payloads = [
    { type: 13, body: VENDOR_ID[scheme] },
    { type: 5, body: id },
    { type: 10, body: nonce },
  ]
  return forge(
    1,
    ci,
    NO_COOKIE,
    scheme === 'classic' ? payloads : [...payloads, { type: 8, body: random(32) }],
  )
}

/** A host under attack: sends it a message in its peer's name and returns what it answers. */
function victim(scheme: Scheme, local: 'a' | 'b', network = new VirtualNetwork()) {
  const config = peerConfig({ dynamicPsk: scheme })
  const host = new PrephaseEnd(network, [local === 'a' ? config : mirrored(config, 'a')], `victim ${local}`)
  const [own, other]: [Endpoint, Endpoint] = local === 'a' ? [A, B] : [B, A]
  const ask = (message: Uint8Array): Uint8Array | undefined => {
    const before = network.sent.length
    network.inject(other, own, message)
    network.runFor(0)
    return network.sent[before]?.message
  }
  return { network, host, ask }
}

describe('1. the responder is a hash oracle', () => {
  /** Passes the gate as "A" with two step 1 messages and one step 3, without K_ab. Returns whether B let it in. */
  function passTheGate(scheme: Scheme): {
    passed: boolean
    learned: Uint8Array | undefined
    psk: Uint8Array | undefined
  } {
    const { host, ask } = victim(scheme, 'b')
    const ci = random(8)
    const first = ask(forgeStep1(scheme, ci, IDA, random(32)))
    if (first === undefined) return { passed: false, learned: undefined, psk: undefined }
    // B's own masked nonce, shown to B in a second exchange, is answered with the hash that the first one waits for.
    const second = ask(forgeStep1(scheme, random(8), IDA, (body(first) as Step2).nonce))
    const proof = (body(second!) as Step2).hash
    ask(forge(3, ci, first.subarray(8, 16), [{ type: 8, body: proof }]))
    const [seen] = host.finished
    return { passed: seen !== undefined, learned: proof, psk: seen?.result.psk }
  }

  test('classic: an outsider finishes as "A"; only IKE, which needs the PSK, stops it', () => {
    const { passed, learned, psk } = passTheGate('classic')
    expect(passed).toBe(true)
    // What it holds is Hash(N_b), not N_a | N_b.
    expect(equalOctets(learned!, sha256(psk!.subarray(32)))).toBe(true)
  })
  test('hardened: it receives no answer at all', () => {
    expect(passTheGate('hardened')).toEqual({ passed: false, learned: undefined, psk: undefined })
  })

  /** The mirror image: A is answered by an outsider that asks B for the hash it needs. */
  function standInForB(scheme: Scheme): boolean {
    const a = victim(scheme, 'a')
    const b = victim(scheme, 'b')
    a.host.prephase.start(a.network.now, 'b')
    const m1 = a.network.sent[0]!.message
    const ci = m1.subarray(0, 8)
    const asked = body(m1) as Extract<PrephaseMessage, { step: 1 }>
    const oracle = b.ask(
      scheme === 'classic' ? forgeStep1('classic', random(8), IDA, asked.nonce) : changedCookie(m1),
    )
    const hash = oracle === undefined ? random(32) : (body(oracle) as Step2).hash
    const vid = { type: 13, body: VENDOR_ID[scheme] }
    const id = { type: 5, body: IDB }
    const nonce = { type: 10, body: random(32) }
    const proof = { type: 8, body: hash }
    const cr = random(8)
    a.ask(forge(2, ci, cr, scheme === 'classic' ? [vid, id, proof, nonce] : [vid, id, nonce, proof]))
    const step4 =
      scheme === 'classic'
        ? { type: 11, body: Uint8Array.of(0, 0, 0, 1, 1, 0, 0x40, 0) }
        : { type: 8, body: random(32) }
    a.ask(forge(4, ci, cr, [step4]))
    return a.host.results('initiator').length === 1
  }
  const changedCookie = (m: Uint8Array): Uint8Array => {
    const copy = new Uint8Array(m)
    copy.set(random(8))
    return copy
  }
  test('classic: an outsider finishes as "B" towards A', () => expect(standInForB('classic')).toBe(true))
  test('hardened: it does not', () => expect(standInForB('hardened')).toBe(false))
})

describe('2. one leaked session key gives everything', () => {
  /** From one exchange's messages and its PSK: the key K_ab, if the nonces' masks are K_ab. */
  function record(scheme: Scheme) {
    const ends = twoEnds(scheme)
    ends.a.prephase.start(ends.network.now, 'b')
    ends.network.runFor(100)
    const first = ends.network.sent.map((d) => d.message)
    ends.network.runFor(1_000)
    ends.a.prephase.start(ends.network.now, 'b')
    ends.network.runFor(100)
    const masked = (m: Uint8Array): Uint8Array => (body(m) as Step2).nonce.subarray(-32)
    return {
      leaked: ends.a.results('initiator')[0]!.psk,
      other: ends.a.results('initiator')[1]!.psk,
      masks: first.slice(0, 2).map(masked),
      otherMasks: ends.network.sent.slice(4, 6).map((d) => masked(d.message)),
    }
  }

  test('classic: a PSK and the recording give K_ab, and with it every other PSK', () => {
    const r = record('classic')
    const key = xor(r.masks[0]!, r.leaked.subarray(0, 32))
    expect(equalOctets(key, K_AB)).toBe(true)
    const past = [xor(r.otherMasks[0]!, key), xor(r.otherMasks[1]!, key)]
    expect(hex(past[0]!) + hex(past[1]!)).toBe(hex(r.other))
  })
  test('hardened: they do not', () => {
    const r = record('hardened')
    for (const half of [r.leaked.subarray(0, 32), r.leaked.subarray(32)]) {
      for (const mask of r.masks) {
        const key = xor(mask, half)
        expect(equalOctets(key, K_AB)).toBe(false)
        const past = [xor(r.otherMasks[0]!, key), xor(r.otherMasks[1]!, key)]
        expect(hex(past[0]!) + hex(past[1]!)).not.toBe(hex(r.other))
      }
    }
  })

  test('classic: a listener learns N_a xor N_b without any leak', () => {
    const r = record('classic')
    const known = xor(r.masks[0]!, r.masks[1]!)
    expect(equalOctets(known, xor(r.leaked.subarray(0, 32), r.leaked.subarray(32)))).toBe(true)
  })
  test('hardened: the masked nonces say nothing about each other', () => {
    const r = record('hardened')
    const known = xor(r.masks[0]!, r.masks[1]!)
    expect(equalOctets(known, xor(r.leaked.subarray(0, 32), r.leaked.subarray(32)))).toBe(false)
  })
})

describe('3. guesses at a weak key are tested offline', () => {
  // A dictionary of passphrases that somebody might have hashed into 32 octets.
  const dictionary = ['123456', 'password', 'xen-migration', 'letmein'].map((word) =>
    sha256(Buffer.from(word)),
  )
  const weak = dictionary[2]!

  function listen(scheme: Scheme, key: Uint8Array): Uint8Array[] {
    const network = new VirtualNetwork()
    const config = peerConfig({ dynamicPsk: scheme, key })
    const a = new PrephaseEnd(network, [config], 'a')
    new PrephaseEnd(network, [mirrored(config, 'a')], 'b')
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    return network.sent.map((d) => d.message)
  }
  /** Classic: Hash((K xor N_a) xor guess) = Hash(N_a) in the recorded step 2. */
  const guess = ([m1, m2]: Uint8Array[]): Uint8Array | undefined =>
    dictionary.find((g) =>
      equalOctets(sha256(xor((body(m1!) as Step2).nonce.subarray(-32), g)), (body(m2!) as Step2).hash),
    )

  test('classic: a recorded exchange names the passphrase', () => {
    expect(guess(listen('classic', weak))).toBe(weak)
  })
  test('hardened: that test tells nothing; but a guessable key is guessable in any scheme, so such keys are not loaded', () => {
    expect(guess(listen('hardened', weak))).toBeUndefined()
  })
  test('classic: asked with 32 zero octets, B says Hash(K_ab)', () => {
    const answer = victim('classic', 'b').ask(forgeStep1('classic', random(8), IDA, new Uint8Array(32)))
    expect(equalOctets((body(answer!) as Step2).hash, sha256(K_AB))).toBe(true)
  })
  test('hardened: B says nothing', () => {
    expect(
      victim('hardened', 'b').ask(forgeStep1('hardened', random(8), IDA, new Uint8Array(32))),
    ).toBeUndefined()
  })
})

describe('4. messages are bound to no role, identity or time', () => {
  /** A's own step 1, given back to A under B's identity and a new cookie. */
  function reflect(scheme: Scheme): { answer: Uint8Array | undefined; na: Uint8Array } {
    const a = victim(scheme, 'a')
    let na = new Uint8Array(0)
    const draw = a.host.env.random
    Object.assign(a.host.env, {
      random: (length: number) => {
        const octets = draw(length)
        if (length === 32 && na.length === 0) na = new Uint8Array(octets)
        return octets
      },
    })
    a.host.prephase.start(a.network.now, 'b')
    const m1 = new Uint8Array(a.network.sent[0]!.message)
    a.host.prephase.cancel('b')
    m1.set(random(8))
    m1.set(IDB, 28 + 20 + 4)
    return { answer: a.ask(m1), na }
  }
  test('classic: A proves the knowledge of its own N_a to whoever reflects it', () => {
    const { answer, na } = reflect('classic')
    expect(equalOctets((body(answer!) as Step2).hash, sha256(na))).toBe(true)
  })
  test('hardened: the MAC covers cookie and identity, A does not answer', () => {
    expect(reflect('hardened').answer).toBeUndefined()
  })

  /** A recorded step 1, sent again after everything else is over. */
  function replay(scheme: Scheme): boolean {
    const ends = twoEnds(scheme)
    ends.a.prephase.start(ends.network.now, 'b')
    ends.network.runFor(120_000)
    const recorded = ends.network.sent[0]!.message
    const before = ends.network.sent.length
    ends.network.inject(A, B, recorded)
    ends.network.runFor(0)
    return ends.network.sent.length > before
  }
  test('classic: an old step 1 is answered again', () => expect(replay('classic')).toBe(true))
  test('hardened: its timestamp is not newer than the last accepted one', () => {
    expect(replay('hardened')).toBe(false)
  })
})
