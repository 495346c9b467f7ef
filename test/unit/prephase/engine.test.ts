import { describe, expect, test } from 'vitest'
import { hex, utf8 } from '../../../src/bytes/octets.js'
import { ConfigError, InternalError, SystemError } from '../../../src/errors.js'
import type { IkePeerConfig } from '../../../src/ike/config.js'
import type { Endpoint } from '../../../src/ike/environment.js'
import { parseIdentity } from '../../../src/ike/identity.js'
import { ClassicCode } from '../../../src/ike/prephase/classic.js'
import { HardenedCode } from '../../../src/ike/prephase/hardened.js'
import { PREPHASE_LIMITS } from '../../../src/ike/prephase/limits.js'
import { idBody } from '../../../src/ike/prephase/messages.js'
import { Prephase } from '../../../src/ike/prephase/prephase.js'
import { REFUSAL_CAUSES } from '../../../src/ike/prephase/refusals.js'
import { labelOf } from '../../../src/ike/prephase/tai64n.js'
import { emitMessage } from '../../../src/wire/ike/payloads.js'
import {
  A,
  B,
  endpoint,
  ip,
  K_AB,
  mirrored,
  PrephaseEnd,
  peerConfig,
  twoEnds,
} from '../../exchange/prephase-ends.js'
import { seededRandom, VirtualEnvironment, VirtualNetwork } from '../../exchange/virtual-network.js'

const SCHEMES = ['classic', 'hardened'] as const
const random = seededRandom('engine test')
const IDA = idBody(parseIdentity('dom0-a.example')!)
const IDB = idBody(parseIdentity('dom0-b.example')!)

/** Host B with peer `a`, and a wire on which the test plays A. */
function hostB(over: Partial<IkePeerConfig> = {}, limits = {}) {
  const network = new VirtualNetwork()
  const b = new PrephaseEnd(network, [mirrored(peerConfig(over), 'a')], 'host b', limits)
  const give = (message: Uint8Array, from: Endpoint = A, to: Endpoint = B): Uint8Array[] => {
    const before = network.sent.length
    network.inject(from, to, message)
    network.runFor(0)
    return network.sent.slice(before).map((d) => d.message)
  }
  return { network, b, give }
}

/** A step 1 that B accepts; later ones have later labels. */
let clock = 1_750_000_001
function step1(
  scheme: 'classic' | 'hardened',
  over: { ci?: Uint8Array; id?: Uint8Array; key?: Uint8Array; seconds?: number } = {},
) {
  const ci = over.ci ?? random(8)
  const key = over.key ?? K_AB
  const na = random(32)
  const label = labelOf({ unixSeconds: over.seconds ?? clock++, nanoseconds: 0 })
  const ida = over.id ?? IDA
  const code = scheme === 'classic' ? new ClassicCode(key) : new HardenedCode(key)
  return { ci, na, code, ida, m1: code.step1(ci, ida, na, label) }
}

/** Expects a refusal under one cause: counted, not answered, nothing kept. */
function expectRefused(
  host: ReturnType<typeof hostB>,
  cause: string,
  message: Uint8Array,
  from?: Endpoint,
): void {
  const { b, give } = host
  const halfOpen = b.prephase.status()[0]?.halfOpen
  const before = b.env.counted(`prephase.${cause}`)
  expect(give(message, from)).toEqual([])
  expect(b.env.counted(`prephase.${cause}`)).toBe(before + 1)
  expect(b.prephase.status()[0]?.halfOpen).toBe(halfOpen)
  expect(b.finished).toEqual([])
}

describe.each(SCHEMES)('%s: a step 1 that is not answered', (scheme) => {
  test('from an address that no peer has', () => {
    expectRefused(hostB({ dynamicPsk: scheme }), 'unknown-address', step1(scheme).m1, endpoint('192.0.2.99'))
  })
  test('under an identity that the peer does not have', () => {
    const id = idBody(parseIdentity('dom0-c.example')!)
    expectRefused(hostB({ dynamicPsk: scheme }), 'unknown-id', step1(scheme, { id }).m1)
  })
  test('under our own identity', () => {
    expectRefused(hostB({ dynamicPsk: scheme }), 'own-id', step1(scheme, { id: IDB }).m1)
  })
  test('with another type for the same name', () => {
    const id = new Uint8Array(IDA)
    id[0] = 11
    expectRefused(hostB({ dynamicPsk: scheme }), 'unknown-id', step1(scheme, { id }).m1)
  })
  test('of the other scheme, with both names in the log', () => {
    const other = scheme === 'classic' ? 'hardened' : 'classic'
    const host = hostB({ dynamicPsk: scheme })
    expectRefused(host, 'scheme-mismatch', step1(other).m1)
    const line = host.b.env.lines.find((l) => l.message.includes('scheme mismatch'))!
    expect(line.level).toBe('warn')
    expect(line.fields).toMatchObject({ peer: 'a', ours: scheme, theirs: other })
    expect(host.b.prephase.status()[0]!.lastRefusal?.message).toMatch(
      /scheme mismatch.*: ours \w+, theirs \w+/,
    )
  })
  test('to a host whose peer has the pre-phase off', () => {
    const host = hostB({ dynamicPsk: 'off' })
    expectRefused(host, 'scheme-mismatch', step1(scheme).m1)
    expect(host.b.env.lines.at(-1)!.fields).toMatchObject({ ours: 'off', theirs: scheme })
  })
  test('that does not parse', () => {
    const { m1 } = step1(scheme)
    m1[17] = 0x20
    expectRefused(hostB({ dynamicPsk: scheme }), 'malformed', m1)
  })
  test('under the cookie of an exchange with other octets', () => {
    const host = hostB({ dynamicPsk: scheme })
    const { ci, m1 } = step1(scheme)
    expect(host.give(m1)).toHaveLength(1)
    expectRefused(host, 'cookie-reused', step1(scheme, { ci }).m1)
  })
})

describe.each(SCHEMES)('%s: repeated steps', (scheme) => {
  test('get the same octets, so many times', () => {
    const host = hostB({ dynamicPsk: scheme })
    const { m1 } = step1(scheme)
    const [m2] = host.give(m1)
    for (let i = 0; i < PREPHASE_LIMITS.repeats; i++) expect(host.give(m1).map(hex)).toEqual([hex(m2!)])
    expectRefused(host, 'repeat-limit', m1)
  })
  test('from another port of the same host are answered there, from another host not at all', () => {
    const host = hostB({ dynamicPsk: scheme })
    const { m1 } = step1(scheme)
    host.give(m1)
    expect(host.give(m1, endpoint('192.0.2.1', 4711))).toHaveLength(1)
    expect(host.network.sent.at(-1)!.to.port).toBe(4711)
    expectRefused(host, 'unknown-address', m1, endpoint('192.0.2.99'))
  })
})

describe.each(SCHEMES)('%s: a step 3 that does not finish the exchange', (scheme) => {
  function halfOpen() {
    const host = hostB({ dynamicPsk: scheme })
    const first = step1(scheme)
    const [m2] = host.give(first.m1)
    const cr = m2!.subarray(8, 16)
    const message = (cookie: Uint8Array, step: number, hash: Uint8Array) =>
      emitMessage(
        {
          initiatorSpi: first.ci,
          responderSpi: cookie,
          version: 0x10,
          exchange: 241,
          flags: 0,
          messageId: step,
        },
        [{ type: 8, body: hash }],
      )
    return { host, cr, message }
  }
  test('a wrong proof; the exchange stays open for the right one', () => {
    const { host, cr, message } = halfOpen()
    expectRefused(host, 'bad-proof', message(cr, 3, random(32)))
    expectRefused(host, 'bad-proof', message(cr, 3, new Uint8Array(32)))
  })
  test('another responder cookie', () => {
    const { host, message } = halfOpen()
    expectRefused(host, 'unknown-cookie', message(random(8), 3, random(32)))
  })
  test('from another peer’s address', () => {
    const network = new VirtualNetwork()
    const toA = mirrored(peerConfig({ dynamicPsk: scheme }), 'a')
    const toC = { ...toA, name: 'c', remote: ip('192.0.2.3'), remoteId: parseIdentity('c')!, key: random(32) }
    const b = new PrephaseEnd(network, [toA, toC], 'host b')
    const first = step1(scheme)
    network.inject(A, B, first.m1)
    network.runFor(0)
    network.inject(endpoint('192.0.2.3'), B, first.m1)
    network.runFor(0)
    expect(network.sent.length).toBe(1)
    expect(b.env.counted('prephase.unknown-cookie')).toBe(1)
  })
})

describe('hardened: what verifies step 1', () => {
  test('another key', () => {
    expectRefused(hostB(), 'bad-mac', step1('hardened', { key: random(32) }).m1)
  })
  test('a timestamp that was accepted before, or an earlier one, even under a new cookie', () => {
    const host = hostB()
    expect(host.give(step1('hardened', { seconds: 1_800_000_000 }).m1)).toHaveLength(1)
    expectRefused(host, 'stale-timestamp', step1('hardened', { seconds: 1_800_000_000 }).m1)
    expectRefused(host, 'stale-timestamp', step1('hardened', { seconds: 1_799_999_999 }).m1)
    expect(host.give(step1('hardened', { seconds: 1_800_000_001 }).m1)).toHaveLength(1)
  })
  test('the timestamp outlives the process', () => {
    const host = hostB()
    const { m1 } = step1('hardened')
    host.give(m1)
    const again = hostB()
    again.b.env.timestamps.accepted.set(
      [...host.b.env.timestamps.accepted.keys()][0]!,
      [...host.b.env.timestamps.accepted.values()][0]!,
    )
    expectRefused(again, 'stale-timestamp', m1)
  })
  test('a timestamp is stored before the answer, and without storing there is no answer', () => {
    const host = hostB()
    host.b.env.timestamps.fail = new SystemError('fsync', 28, 'no space left')
    const { m1 } = step1('hardened')
    expectRefused(host, 'timestamp-store', m1)
    expect(host.b.env.lines.at(-1)!.level).toBe('error')
    // Once it can be stored again, the very same message is answered: it was not taken as seen.
    host.b.env.timestamps.fail = undefined
    expect(host.give(m1)).toHaveLength(1)
  })
  test('a forged message changes no timestamp', () => {
    const host = hostB()
    expectRefused(host, 'bad-mac', step1('hardened', { key: random(32), seconds: 9_000_000_000 }).m1)
    expect(host.b.env.timestamps.accepted.size).toBe(0)
    expect(host.give(step1('hardened').m1)).toHaveLength(1)
  })
  test('a new key starts a new history of timestamps', () => {
    const key = random(32)
    const host = hostB()
    host.give(step1('hardened', { seconds: 5_000_000_000 }).m1)
    const renewed = hostB({ key })
    renewed.b.env.timestamps = host.b.env.timestamps
    expect(renewed.give(step1('hardened', { key, seconds: 1_750_000_000 }).m1)).toHaveLength(1)
  })
})

describe('hardened: the initiator’s timestamps', () => {
  test('rise although the clock stands still or is set back', () => {
    const { network, a, b } = twoEnds('hardened')
    for (const offset of [2_000_000_000, 2_000_000_000, 1_000, 2_000_000_001, 0]) {
      a.env.wallOffsetSeconds = offset
      a.prephase.start(network.now, 'b')
      network.runFor(50)
    }
    expect(a.results('initiator')).toHaveLength(5)
    expect(b.env.counted('prephase.stale-timestamp')).toBe(0)
  })
  test('that cannot be stored fail the start and send nothing', () => {
    const { network, a } = twoEnds('hardened')
    a.env.timestamps.fail = new SystemError('fsync', 28, 'no space left')
    a.prephase.start(network.now, 'b')
    expect(network.sent).toEqual([])
    expect(a.failed).toMatchObject([
      { peer: 'b', reason: expect.stringMatching(/cannot be stored.*no space left/) },
    ])
    expect(a.nextDeadline()).toBeUndefined()
    a.env.timestamps.fail = undefined
    a.prephase.start(network.now, 'b')
    expect(network.sent).toHaveLength(1)
  })
  test('are not needed in classic', () => {
    const { network, a, b } = twoEnds('classic')
    for (const end of [a, b]) end.env.timestamps.fail = new SystemError('fsync', 28, 'no space left')
    a.prephase.start(network.now, 'b')
    network.runFor(50)
    expect(a.results('initiator')).toHaveLength(1)
  })
})

describe.each(SCHEMES)('%s: what the initiator drops', (scheme) => {
  /** Host A waiting for step 2 under cookie ci. */
  function waiting() {
    const ends = twoEnds(scheme, { impairment: () => [] })
    const { network, a } = ends
    a.prephase.start(network.now, 'b')
    const m1 = network.sent[0]!.message
    const ci = m1.subarray(0, 8)
    const give = (message: Uint8Array, from = B) => {
      network.inject(from, A, message)
      network.runFor(0)
    }
    const answer = (key: Uint8Array, id: Uint8Array, cookie: Uint8Array, over = scheme): Uint8Array => {
      const code = over === 'classic' ? new ClassicCode(key) : new HardenedCode(key)
      return code.step2({ ci, ida: IDA, idb: id, na: new Uint8Array(32), m1 }, cookie, random(32))
    }
    const expectDropped = (cause: string, message: Uint8Array, from?: Endpoint): void => {
      give(message, from)
      expect(a.env.counted(`prephase.${cause}`)).toBe(1)
      expect(a.prephase.status()[0]!.initiator).toBe('STEP1_SENT')
      expect(network.sent.length).toBe(1)
    }
    return { ...ends, ci, m1, answer, expectDropped }
  }
  test('its own step 1 come back', () => {
    const w = waiting()
    w.expectDropped('own-cookie', w.m1)
  })
  test('its own step 1 come back under another cookie', () => {
    const w = waiting()
    const echo = new Uint8Array(w.m1)
    echo.set(random(8))
    w.expectDropped('own-id', echo)
  })
  test('an answer under its own identity', () => {
    const w = waiting()
    w.expectDropped('own-id', w.answer(K_AB, IDA, random(8)))
  })
  test('an answer under another identity than the configured one', () => {
    const w = waiting()
    w.expectDropped('other-id', w.answer(K_AB, idBody(parseIdentity('c')!), random(8)))
  })
  test('an answer with its own cookie as the responder’s', () => {
    const w = waiting()
    w.expectDropped('own-cookie', w.answer(K_AB, IDB, w.ci))
  })
  test('an answer that proves nothing', () => {
    const w = waiting()
    w.expectDropped('bad-proof', w.answer(K_AB, IDB, random(8)))
  })
  test('an answer of the other scheme', () => {
    const w = waiting()
    w.expectDropped(
      'scheme-mismatch',
      w.answer(K_AB, IDB, random(8), scheme === 'classic' ? 'hardened' : 'classic'),
    )
  })
  test('an answer from another address', () => {
    const w = waiting()
    w.expectDropped('unknown-address', w.answer(K_AB, IDB, random(8)), endpoint('192.0.2.77'))
  })
  test('an answer to nothing it asked', () => {
    const w = waiting()
    const other = new Uint8Array(w.answer(K_AB, IDB, random(8)))
    other.set(random(8))
    w.expectDropped('unknown-cookie', other)
  })
  test('steps 3 and 4 out of turn', () => {
    const w = waiting()
    const message = (step: number) =>
      emitMessage(
        {
          initiatorSpi: w.ci,
          responderSpi: random(8),
          version: 0x10,
          exchange: 241,
          flags: 0,
          messageId: step,
        },
        [{ type: 8, body: random(32) }],
      )
    w.expectDropped('own-cookie', message(3))
    w.expectDropped('unexpected-step', message(4))
  })
})

test('classic: a forged acknowledgement must at least know the responder’s cookie', () => {
  const { network, a } = twoEnds('classic', { impairment: (d) => (d.message[23] === 3 ? [] : [5]) })
  a.prephase.start(network.now, 'b')
  network.runFor(50)
  const ci = network.sent[0]!.message.subarray(0, 8)
  const body = Uint8Array.of(0, 0, 0, 1, 1, 0, 0x40, 0)
  const header = { initiatorSpi: ci, version: 0x10, exchange: 241, flags: 0, messageId: 4 }
  network.inject(B, A, emitMessage({ ...header, responderSpi: random(8) }, [{ type: 11, body }]))
  network.runFor(0)
  expect(a.env.counted('prephase.unknown-cookie')).toBe(1)
  expect(a.finished).toEqual([])
  const cr = network.sent[1]!.message.subarray(8, 16)
  network.inject(B, A, emitMessage({ ...header, responderSpi: cr }, [{ type: 8, body: random(32) }]))
  network.runFor(0)
  expect(a.env.counted('prephase.bad-proof')).toBe(1)
  expect(a.finished).toEqual([])
})

test.each(SCHEMES)('%s: an answer to an attempt that is over belongs to nothing', (scheme) => {
  const { network, a } = twoEnds(scheme)
  a.prephase.start(network.now, 'b')
  a.prephase.cancel('b')
  network.runFor(50)
  expect(a.env.counted('prephase.unknown-cookie')).toBe(1)
  expect(network.sent).toHaveLength(2)
})

describe.each(SCHEMES)('%s: reflected messages', (scheme) => {
  test('every message of an exchange comes back to its sender: dropped, and the exchange finishes', () => {
    const { network, a, b } = twoEnds(scheme)
    network.impairment = (d) => {
      network.inject(d.to, d.from, d.message, 1)
      return [5]
    }
    a.prephase.start(network.now, 'b')
    network.runFor(200)
    expect(a.finished.length).toBe(1)
    expect(b.finished.length).toBe(1)
    expect(a.env.counted('prephase.own-cookie')).toBe(2)
    expect(b.env.counted('prephase.own-cookie')).toBe(2)
  })
})

describe('hosts that do not fit', () => {
  test.each(SCHEMES)('%s, different keys: no end finishes, one log says why', (scheme) => {
    const network = new VirtualNetwork()
    const config = peerConfig({ dynamicPsk: scheme })
    const a = new PrephaseEnd(network, [config], 'a')
    const b = new PrephaseEnd(network, [{ ...mirrored(config, 'a'), key: random(32) }], 'b')
    a.prephase.start(network.now, 'b')
    network.runUntil(() => a.failed.length > 0, 100_000)
    expect(a.failed).toHaveLength(1)
    expect([...a.finished, ...b.finished]).toEqual([])
    const teller = scheme === 'classic' ? a : b
    const lines = teller.env.lines.filter((l) => l.message.includes('the keys of the two hosts differ'))
    expect(lines.length).toBeGreaterThanOrEqual(1)
    expect(lines.length).toBeLessThanOrEqual(8)
    if (scheme === 'classic') expect(a.failed[0]!.reason).toMatch(/the keys of the two hosts differ/)
  })
  test('different schemes', () => {
    const network = new VirtualNetwork()
    const config = peerConfig()
    const a = new PrephaseEnd(network, [config], 'a')
    const b = new PrephaseEnd(network, [{ ...mirrored(config, 'a'), dynamicPsk: 'classic' }], 'b')
    a.prephase.start(network.now, 'b')
    b.prephase.start(network.now, 'a')
    network.runFor(70_000)
    expect([...a.finished, ...b.finished]).toEqual([])
    for (const end of [a, b]) expect(end.failed[0]!.reason).toMatch(/dynamic PSK scheme mismatch/)
  })
})

describe('configurations that are refused', () => {
  const make = (peers: readonly IkePeerConfig[]) => () =>
    new Prephase(peers, new VirtualEnvironment(new VirtualNetwork(), 0), { finished() {}, failed() {} })
  const other = peerConfig({
    name: 'c',
    remote: ip('192.0.2.3'),
    remoteId: parseIdentity('c')!,
    key: random(32),
  })
  test('a key of another length', () => {
    expect(make([peerConfig({ key: random(31) })])).toThrow(/peer b: the key has 31 octets; .* needs 32/)
    expect(make([peerConfig({ key: random(31), dynamicPsk: 'off' })])).not.toThrow()
  })
  test('one key for two peers, named by fingerprint', () => {
    const same = { ...other, key: new Uint8Array(K_AB) }
    expect(make([peerConfig(), same])).toThrow(ConfigError)
    expect(make([peerConfig(), same])).toThrow(/peers b and c have the same key \(fingerprint [0-9a-f]{16}\)/)
    expect(make([peerConfig(), { ...same, dynamicPsk: 'off' }])).toThrow(/same key/)
    expect(make([peerConfig({ dynamicPsk: 'off' }), { ...same, dynamicPsk: 'off' }])).not.toThrow()
    expect(make([peerConfig(), other])).not.toThrow()
  })
  test('equal identities at both ends', () => {
    expect(make([peerConfig({ remoteId: peerConfig().localId })])).toThrow(
      /both ends have the identity dom0-a.example/,
    )
  })
  test('two peers that cannot be told apart', () => {
    expect(make([peerConfig(), { ...other, remote: B.address, remoteId: peerConfig().remoteId }])).toThrow(
      /told apart/,
    )
  })
  test('start for a peer that has no pre-phase is a fault of the caller', () => {
    const { a, network } = twoEnds('hardened')
    expect(() => a.prephase.start(network.now, 'nobody')).toThrow(InternalError)
  })
})

describe('floods', () => {
  test('classic: a stranger in the peer’s name gets the rate, not more, and the table stays small', () => {
    const host = hostB({ dynamicPsk: 'classic' })
    let answered = 0
    for (let i = 0; i < 5_000; i++) {
      answered += host.give(step1('classic').m1).length
      host.network.runFor(10)
    }
    const seconds = 50
    expect(answered).toBeLessThanOrEqual(
      PREPHASE_LIMITS.classicBurst + PREPHASE_LIMITS.classicPerSecond * seconds,
    )
    expect(answered).toBeGreaterThanOrEqual(PREPHASE_LIMITS.classicPerSecond * seconds)
    expect(host.b.prephase.status()[0]!.halfOpen).toBeLessThanOrEqual(PREPHASE_LIMITS.halfOpenPerPeer)
    expect(host.b.env.counted('prephase.half-open')).toBeGreaterThan(0)
    expect(host.b.env.lines.filter((l) => l.level !== 'debug').length).toBeLessThan(30)
    host.network.runFor(PREPHASE_LIMITS.halfOpenMs)
    expect(host.b.prephase.status()[0]!.halfOpen).toBe(0)
    expect(host.b.nextDeadline()).toBeUndefined()
  })

  test('hardened: forged step 1 messages keep nothing, and their cost is bounded', () => {
    const host = hostB()
    const forged = step1('hardened', { key: random(32) }).m1
    const { strangersBurst } = PREPHASE_LIMITS
    for (let i = 0; i < strangersBurst + 2_000; i++) host.give(forged)
    expect(host.b.env.counted('prephase.bad-mac')).toBe(strangersBurst)
    expect(host.b.env.counted('prephase.rate-limit')).toBe(2_000)
    expect(host.b.prephase.status()[0]).toMatchObject({ halfOpen: 0, finished: 0 })
    expect(host.b.env.lines.length).toBe(2)
    host.network.runFor(1_000)
    expect(host.give(step1('hardened').m1)).toHaveLength(1)
  })

  test('a flood in one peer’s name takes nothing from another', () => {
    const network = new VirtualNetwork()
    const toA = mirrored(peerConfig({ dynamicPsk: 'classic' }), 'a')
    const toC = { ...toA, name: 'c', remote: ip('192.0.2.3'), remoteId: parseIdentity('c')!, key: random(32) }
    new PrephaseEnd(network, [toA, toC], 'host b')
    for (let i = 0; i < 2_000; i++) network.inject(A, B, step1('classic').m1)
    network.runFor(0)
    const before = network.sent.length
    network.inject(endpoint('192.0.2.3'), B, step1('classic', { id: idBody(toC.remoteId), key: toC.key }).m1)
    network.runFor(0)
    expect(network.sent.length).toBe(before + 1)
  })

  test('finished exchanges that nobody uses are bounded as well', () => {
    const { network, a, b } = twoEnds('hardened')
    for (let i = 0; i < 20; i++) {
      a.prephase.start(network.now, 'b')
      network.runFor(100)
    }
    expect(a.results('initiator').length).toBe(20)
    expect(b.prephase.status()[0]!.finished).toBe(PREPHASE_LIMITS.finishedPerPeer)
    // The newest are the ones that stay.
    expect(b.prephase.take(network.now, a.results('initiator').at(-1)!.initiatorCookie)).toBeDefined()
    expect(b.prephase.take(network.now, a.results('initiator')[0]!.initiatorCookie)).toBeUndefined()
  })
})

describe('a forged step 3', () => {
  test('displaces no finished exchange', () => {
    const { network, a, b } = twoEnds('hardened')
    for (let i = 0; i < PREPHASE_LIMITS.finishedPerPeer; i++) {
      a.prephase.start(network.now, 'b')
      network.runFor(100)
    }
    network.impairment = (d) => (d.message[23] === 3 ? [] : [5])
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    const forged = new Uint8Array(network.sent.at(-1)!.message)
    expect(forged[23]).toBe(3)
    forged[forged.length - 1]! ^= 1
    network.inject(A, B, forged)
    network.runFor(0)
    expect(b.env.counted('prephase.bad-proof')).toBe(1)
    expect(b.env.counted('prephase.evicted')).toBe(0)
    expect(b.prephase.take(network.now, a.results('initiator')[0]!.initiatorCookie)).toBeDefined()
  })
})

describe('secrets', () => {
  test.each(SCHEMES)('%s: no log line and no error has a key, a nonce or a mask', (scheme) => {
    const { network, a, b } = twoEnds(scheme)
    network.impairment = (d) => (d.index % 3 === 1 ? [] : [5])
    a.prephase.start(network.now, 'b')
    network.runFor(10_000)
    const text = JSON.stringify([a.env.lines, b.env.lines, a.failed, a.prephase.status()])
    const secrets = [
      K_AB,
      a.results('initiator')[0]!.psk.subarray(0, 32),
      a.results('initiator')[0]!.psk.subarray(32),
    ]
    for (const s of secrets) {
      expect(text).not.toContain(hex(s))
      expect(text).not.toContain(hex(s.subarray(0, 8)))
      expect(text).not.toContain(Buffer.from(s).toString('base64').slice(0, 12))
    }
  })

  test.each(SCHEMES)('%s: nonces are wiped when an exchange ends, keys when nobody takes them', (scheme) => {
    const network = new VirtualNetwork()
    const drawn: Uint8Array[] = []
    const config = peerConfig({ dynamicPsk: scheme })
    const watch = (seed: string) => {
      const env = new VirtualEnvironment(network, seed)
      const draw = env.random
      return Object.assign(env, {
        random: (length: number) => {
          const octets = draw(length)
          if (length === 32) drawn.push(octets)
          return octets
        },
      })
    }
    const a = new PrephaseEnd(network, [config], 'a', {}, watch('a'))
    const b = new PrephaseEnd(network, [mirrored(config, 'a')], 'b', {}, watch('b'))
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    expect(a.finished.length + b.finished.length).toBe(2)
    a.prephase.start(network.now, 'b')
    network.runFor(7)
    a.prephase.cancel('b')
    // One of the two stands back.
    a.prephase.start(network.now, 'b')
    b.prephase.cancel('a')
    b.prephase.take(network.now, a.results('initiator')[0]!.initiatorCookie)
    b.prephase.start(network.now, 'a')
    network.runFor(6)
    expect([a, b].some((end) => end.prephase.status()[0]!.initiator === 'HOLD')).toBe(true)
    network.runFor(100)
    a.prephase.start(network.now, 'b')
    a.prephase.shutdown()
    b.prephase.shutdown()
    expect(drawn.length).toBeGreaterThanOrEqual(8)
    for (const nonce of drawn) expect(nonce.every((v) => v === 0)).toBe(true)
    expect(config.key).toEqual(K_AB)
    expect(a.nextDeadline()).toBeUndefined()
  })
})

describe('robustness', () => {
  test('a socket that fails is like a lost datagram', () => {
    const { network, a, b } = twoEnds('hardened')
    const send = a.env.send.bind(a.env)
    let fail = true
    a.env.send = (...args) => {
      if (fail) throw new SystemError('sendto', 101, 'network is unreachable')
      send(...args)
    }
    a.prephase.start(network.now, 'b')
    expect(a.env.counted('prephase.send-failed')).toBe(1)
    fail = false
    network.runFor(1_200)
    expect(a.results('initiator')).toHaveLength(1)
    expect(b.results('responder')).toHaveLength(1)
  })

  test('a listener that throws hurts nobody', () => {
    const { network, a, b } = twoEnds('hardened')
    b.onFinished = () => {
      throw new Error('listener')
    }
    a.prephase.start(network.now, 'b')
    network.runFor(100)
    expect(a.results('initiator')).toHaveLength(1)
    expect(b.env.counted('prephase.internal')).toBe(1)
  })

  test('a random source that breaks ends the attempt, and no deadline is left in the past', () => {
    const { network, a } = twoEnds('hardened', { impairment: () => [] })
    const draw = a.env.random
    const broken = () => {
      throw new Error('no randomness')
    }
    Object.assign(a.env, { random: broken })
    a.prephase.start(network.now, 'b')
    expect(a.failed).toHaveLength(1)
    Object.assign(a.env, { random: draw })
    a.prephase.start(network.now, 'b')
    Object.assign(a.env, { random: broken })
    network.runFor(30_000)
    expect(a.failed).toHaveLength(2)
    expect(a.prephase.status()[0]!.initiator).toBe('IDLE')
    expect(a.nextDeadline()).toBeUndefined()
  })

  test('a listener may call the engine', () => {
    const { network, a, b } = twoEnds('hardened')
    b.onFinished = (now, r) => expect(b.prephase.take(now, r.initiatorCookie)).toBeDefined()
    a.onFinished = (now) => a.finished.length < 3 && a.prephase.start(now, 'b')
    a.prephase.start(network.now, 'b')
    network.runFor(1_000)
    expect(a.results('initiator')).toHaveLength(3)
    expect(b.env.counted('prephase.internal') + a.env.counted('prephase.internal')).toBe(0)
  })

  test('causes are the counters’ names', () => {
    expect(new Set(REFUSAL_CAUSES).size).toBe(REFUSAL_CAUSES.length)
    for (const cause of REFUSAL_CAUSES) expect(utf8(cause).length).toBeLessThan(32)
  })
})
