import { describe, expect, test } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import type { IkePeerConfig } from '../../src/ike/config.js'
import { EXPLANATION_MAX, emitExplanation, mirrored, readExplanation } from '../../src/ike/explanation.js'
import { parseIdentity } from '../../src/ike/identity.js'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { PAYLOAD, PHASE1 } from '../../src/wire/ike/v1/numbers.js'
import { established as establishedV1, rebuilt, replaced, transforms, withNumber } from './attacker-v1.js'
import { childConfig, type IkeEnd, type IkeEnds, selector, twoIkes } from './ike-ends.js'
import { A, B, endpoint, ip, K_AB } from './prephase-ends.js'
import { type Impairment, seededRandom } from './virtual-network.js'

// Each way in which two ends can be set up wrongly, or kept apart, and what the operator of each end is told on first reading:
// as the last error in `status`, and by a line in the log. Host A begins.

type Version = 1 | 2
type Texts = RegExp | Readonly<Record<Version, RegExp>>

interface Fault {
  readonly name: string
  readonly versions?: readonly Version[]
  readonly config?: Partial<IkePeerConfig>
  readonly b?: Partial<IkePeerConfig>
  readonly impairment?: Impairment
  /** Until both ends know. Default 2 s. */
  readonly afterMs?: number
  /** Undefined where the end cannot know of anything. */
  readonly onA?: Texts
  readonly onB?: Texts
}

const ike = (...texts: string[]) => ({ proposals: texts.map(parseIkeProposal) })
const esp = (text: string) => ({ proposals: [parseChildProposal('esp', text)] })
const child = (over: Parameters<typeof childConfig>[0]) => ({ children: [childConfig(over)] })
const bsChild = (over: Parameters<typeof childConfig>[0] = {}) =>
  child({ localTs: [selector('10.88.2.0/24')], remoteTs: [selector('10.88.1.0/24')], ...over })
const id = (text: string) => parseIdentity(text)!
const OTHER_KEY = { key: seededRandom('another key')(32) }
const fromB: Impairment = (d) => (d.from.address === B.address || d.from.address[3] === 2 ? [] : [5])

const FAULTS: readonly Fault[] = [
  {
    name: 'IKE: another cipher',
    config: ike('aes128-sha256-x25519'),
    b: ike('aes256-sha256-x25519'),
    onA: /seems to say NO_PROPOSAL_CHOSEN: encryption: ours aes128, theirs aes256/,
    onB: /NO_PROPOSAL_CHOSEN: encryption: ours aes256, theirs aes128/,
  },
  {
    name: 'IKE: another hash',
    config: ike('aes128-sha256-x25519'),
    b: ike('aes128-sha512-x25519'),
    onA: /NO_PROPOSAL_CHOSEN: (hash|integrity): ours sha256, theirs sha512/,
    onB: /NO_PROPOSAL_CHOSEN: (hash|integrity): ours sha512, theirs sha256/,
  },
  {
    name: 'IKE: no group in common, behind a pre-phase',
    config: { dynamicPsk: 'hardened', ...ike('aes128-sha256-x25519') },
    b: ike('aes128-sha256-ecp384', 'aes128-sha256-modp3072'),
    onA: /NO_PROPOSAL_CHOSEN: group: ours x25519, theirs ecp384/,
    onB: /NO_PROPOSAL_CHOSEN: group: ours ecp384, theirs x25519/,
  },
  {
    name: 'IKE: of several the closest is told',
    config: ike('aes256-sha512-ecp384', 'aes128-sha256-x25519'),
    b: ike('aes128-sha1-x25519'),
    onA: /NO_PROPOSAL_CHOSEN: (hash|integrity): ours sha256, theirs sha1/,
    onB: /NO_PROPOSAL_CHOSEN: (hash|integrity): ours sha1, theirs sha256/,
  },
  {
    name: 'child: another cipher',
    config: child(esp('aes128gcm16')),
    b: bsChild(esp('aes256-sha256')),
    onA: /child migration: the peer says NO_PROPOSAL_CHOSEN: encryption: ours aes128gcm16, theirs aes256/,
    onB: /NO_PROPOSAL_CHOSEN: child migration: encryption: ours aes256, theirs aes128gcm16/,
  },
  {
    name: 'child: ESP and AH',
    config: child({ protocol: 'ah' }),
    b: bsChild(),
    onA: /NO_PROPOSAL_CHOSEN: protocol: ours ah, theirs esp/,
    onB: /NO_PROPOSAL_CHOSEN: child migration: protocol: ours esp, theirs ah/,
  },
  {
    name: 'child: extended sequence numbers',
    config: child(esp('aes128gcm16-noesn')),
    b: bsChild(esp('aes128gcm16-esn')),
    onA: /NO_PROPOSAL_CHOSEN: (esn|numbers): ours no(esn)?, theirs (yes|esn)/,
    onB: /NO_PROPOSAL_CHOSEN: child migration: (esn|numbers): ours (yes|esn), theirs no(esn)?/,
  },
  {
    name: 'child: perfect forward secrecy',
    // In IKEv2 the first child is made without a key exchange of its own.
    versions: [1],
    config: child(esp('aes128gcm16')),
    b: bsChild(esp('aes128gcm16-x25519')),
    onA: /NO_PROPOSAL_CHOSEN: pfs: ours none, theirs x25519/,
    onB: /NO_PROPOSAL_CHOSEN: child migration: pfs: ours x25519, theirs none/,
  },
  {
    name: 'child: transport mode asks a tunnel',
    config: child({ mode: 'transport' }),
    b: bsChild(),
    onA: /mode: ours transport, theirs tunnel/,
    onB: /child migration: mode: ours tunnel, theirs transport/,
  },
  {
    name: 'child: a tunnel asks transport mode',
    b: bsChild({ mode: 'transport' }),
    onA: /mode: ours tunnel, theirs transport/,
    onB: /mode: ours transport, theirs tunnel/,
  },
  {
    name: 'child: other selectors on the far side',
    config: child({ remoteTs: [selector('10.88.9.0/24')] }),
    b: bsChild(),
    onA: {
      1: /the peer says INVALID_ID_INFORMATION: remote selectors: ours 10\.88\.9\.0\/24, theirs 10\.88\.2\.0\/24/,
      2: /the peer says TS_UNACCEPTABLE: remote selectors: ours 10\.88\.9\.0\/24, theirs 10\.88\.2\.0\/24/,
    },
    onB: /local selectors: ours 10\.88\.2\.0\/24, theirs 10\.88\.9\.0\/24/,
  },
  {
    name: 'child: other selectors on the near side',
    config: child({ localTs: [selector('10.88.7.0/24')] }),
    b: bsChild(),
    onA: /local selectors: ours 10\.88\.7\.0\/24, theirs 10\.88\.1\.0\/24/,
    onB: /remote selectors: ours 10\.88\.1\.0\/24, theirs 10\.88\.7\.0\/24/,
  },
  {
    name: 'child: selectors that only overlap',
    // IKEv2 takes the part that both have.
    versions: [1],
    config: child({ remoteTs: [selector('10.88.0.0/16')] }),
    b: bsChild(),
    onA: /remote selectors: ours 10\.88\.0\.0\/16, theirs 10\.88\.2\.0\/24/,
    onB: /local selectors: ours 10\.88\.2\.0\/24, theirs 10\.88\.0\.0\/16/,
  },
  {
    name: 'encapsulation: udp asks raw',
    config: { encapsulation: 'udp' },
    b: { encapsulation: 'raw' },
    onA: /child migration: encapsulation: ours udp, theirs without NAT traversal/,
  },
  {
    name: 'encapsulation: raw asks udp',
    config: { encapsulation: 'raw' },
    b: { encapsulation: 'udp' },
    onA: /NO_PROPOSAL_CHOSEN: encapsulation: ours without NAT traversal, theirs udp/,
    onB: /NO_PROPOSAL_CHOSEN: child migration: encapsulation: ours udp, theirs without NAT traversal/,
  },
  {
    name: 'another pre-shared key',
    b: OTHER_KEY,
    afterMs: 40_000,
    onA: {
      1: /no answer to message 5: the pre-shared keys differ/,
      2: /the peer says AUTHENTICATION_FAILED: the pre-shared keys differ/,
    },
    onB: /the peer's pre-shared key differs from ours/,
  },
  {
    name: 'another K_ab, hardened pre-phase',
    config: { dynamicPsk: 'hardened' },
    b: OTHER_KEY,
    onA: /pre-phase: no answer to step 1 yet: .*refuses us \(its log tells why\)/,
    onB: /pre-phase message .*refused: step 1 does not verify: the keys of the two hosts differ/,
  },
  {
    name: 'another K_ab, classic pre-phase',
    config: { dynamicPsk: 'classic' },
    b: OTHER_KEY,
    afterMs: 4_000,
    onA: /pre-phase message .*refused: a proof does not verify: the keys of the two hosts differ/,
    onB: /pre-phase: the peer repeats step 1 after our answer: .*refuses us \(its log tells why\)/,
  },
  {
    name: 'another K_ab, classic pre-phase, when it is over',
    config: { dynamicPsk: 'classic' },
    b: OTHER_KEY,
    afterMs: 120_000,
    onA: /pre-phase: a proof does not verify: the keys of the two hosts differ.*3 attempts/,
    onB: /pre-phase: the peer repeats step 1 after our answer/,
  },
  {
    name: 'hardened asks classic',
    config: { dynamicPsk: 'hardened' },
    b: { dynamicPsk: 'classic' },
    onA: /no answer to step 1 yet/,
    onB: /dynamic PSK scheme mismatch.*: ours classic, theirs hardened/,
  },
  {
    name: 'classic asks a plain PSK',
    config: { dynamicPsk: 'classic' },
    b: { dynamicPsk: 'off' },
    onA: /no answer to step 1 yet/,
    onB: /dynamic PSK scheme mismatch.*: ours off, theirs classic/,
  },
  {
    name: 'a plain PSK asks hardened',
    b: { dynamicPsk: 'hardened' },
    onA: /no answer to (message 1|IKE_SA_INIT) yet: .*wants a pre-phase first \(dynamic_psk\)/,
    onB: /without a finished pre-phase.*dynamic_psk: off/,
  },
  {
    name: 'B expects another identity of A',
    b: { remoteId: id('dom0-x.example') },
    onA: /it expects the identity dom0-x\.example of us, and we say dom0-a\.example/,
    onB: /has our key, but its identity is dom0-a\.example where we expect dom0-x\.example/,
  },
  {
    name: 'B has another identity than A expects',
    b: { localId: id('dom0-x.example') },
    onA: /its identity is dom0-x\.example where we expect dom0-b\.example/,
    onB: {
      1: /it expects the identity dom0-b\.example of us, and we say dom0-x\.example/,
      2: /asks for dom0-b\.example where we are dom0-x\.example/,
    },
  },
  {
    name: 'B expects another identity of A, hardened pre-phase',
    config: { dynamicPsk: 'hardened' },
    b: { remoteId: id('dom0-x.example') },
    onA: /no answer to step 1 yet/,
    onB: /identity that no peer at its address has: it says dom0-a\.example where we expect dom0-x\.example/,
  },
  {
    name: 'B has another identity than A expects, hardened pre-phase',
    config: { dynamicPsk: 'hardened' },
    b: { localId: id('dom0-x.example') },
    afterMs: 4_000,
    onA: /another identity than the configured one: it says dom0-x\.example where we expect dom0-b\.example/,
    onB: /the peer repeats step 1 after our answer/,
  },
  {
    name: 'another version of IKE',
    versions: [2],
    b: { version: 1 },
    onA: /no answer to IKE_SA_INIT yet: .*does not run IKEv2/,
    onB: /the peer speaks IKEv2, but it is configured for IKEv1/,
  },
  {
    name: 'another version of IKE',
    versions: [1],
    b: { version: 2 },
    onA: /no answer to message 1 yet: .*does not run IKEv1/,
    onB: /the peer speaks IKEv1, but it is configured for IKEv2/,
  },
  {
    name: 'nobody there',
    impairment: () => [],
    onA: /no answer to (message 1|IKE_SA_INIT) yet: the peer is unreachable on UDP 500/,
  },
  {
    name: 'nobody there, given up',
    impairment: () => [],
    afterMs: 40_000,
    onA: /no answer to (message 1|IKE_SA_INIT): the peer is unreachable on UDP 500/,
  },
  {
    name: 'nobody there, with a pre-phase',
    config: { dynamicPsk: 'hardened' },
    impairment: () => [],
    onA: /pre-phase: no answer to step 1 yet: the peer is unreachable/,
  },
  {
    name: 'a way that loses all answers',
    impairment: fromB,
    afterMs: 80_000,
    onA: /no answer to (message 1|IKE_SA_INIT)/,
    onB: /(message 3|IKE_AUTH) did not come: our answers do not reach the peer/,
  },
  {
    name: 'UDP 4500 blocked',
    config: { encapsulation: 'udp' },
    impairment: (d) => (d.to.port === 4500 ? [] : [5]),
    onA: /no answer to (message 5|IKE_AUTH) yet: .*UDP 4500 is blocked/,
  },
  {
    name: 'UDP 4500 blocked, given up',
    config: { encapsulation: 'udp' },
    impairment: (d) => (d.to.port === 4500 ? [] : [5]),
    afterMs: 40_000,
    onA: /no answer to (message 5|IKE_AUTH): .*UDP 4500 is blocked/,
    onB: /(message 5|IKE_AUTH) did not come: .*UDP 4500 is blocked/,
  },
  {
    name: 'a post-quantum preshared key that A has not',
    versions: [2],
    b: { ppk: { id: K_AB.subarray(0, 4), key: K_AB, required: true } },
    onA: /NO_PROPOSAL_CHOSEN: it requires a post-quantum preshared key \(RFC 8784\), and we have none/,
    onB: /the peer has no post-quantum preshared key \(RFC 8784\), which we require/,
  },
]

const textOf = (texts: Texts, version: Version): RegExp => (texts instanceof RegExp ? texts : texts[version])

/** The last error has an age, and the log has it too. */
function expectTold(end: IkeEnd, wanted: Texts | undefined, version: Version): void {
  const { lastError } = end.peer
  if (wanted === undefined) return
  const pattern = textOf(wanted, version)
  expect(lastError?.message).toMatch(pattern)
  expect(lastError!.ageMs).toBeGreaterThanOrEqual(0)
  // The story in the log needs no prefix of its own part.
  const told = end.env.lines.filter((l) => l.level !== 'debug')
  const lines = told.map((l) =>
    [l.message, l.fields?.child, l.fields?.reason, JSON.stringify(l.fields)].join(' '),
  )
  const bare = new RegExp(
    pattern.source.replace(/^(pre-phase: |pre-phase message .*refused: |child migration: )/, ''),
  )
  expect(lines.filter((line) => bare.test(line))).not.toEqual([])
}

describe('what the operators of both ends are told', () => {
  const cases = FAULTS.flatMap((f) => (f.versions ?? [1, 2]).map((v) => [f.name, v, f] as const))
  test.each(cases)('%s, IKEv%i', (_, version, f) => {
    const { network, a, b } = twoIkes({
      config: { version, dynamicPsk: 'off', ...f.config },
      ...(f.b !== undefined && { b: f.b }),
      ...(f.impairment !== undefined && { impairment: f.impairment }),
    })
    a.ike.acquire(network.now, 1)
    network.runFor(f.afterMs ?? 2_000)
    expect([a.env.sas.size, b.env.sas.size]).toEqual([0, 0])
    expectTold(a, f.onA, version)
    expectTold(b, f.onB, version)
    const everything = JSON.stringify([a, b].map((e) => [e.env.lines, e.peer]))
    for (const key of [K_AB, OTHER_KEY.key]) expect(everything).not.toContain(hex(key).slice(0, 8))
  })

  test.each([1, 2] as const)('both ends’ proposals are in both logs, IKEv%i', (version) => {
    const { network, a, b } = twoIkes({
      config: { version, ...child(esp('aes128gcm16')) },
      b: bsChild(esp('aes256-sha256')),
    })
    a.ike.acquire(network.now, 1)
    network.runFor(2_000)
    const facts = (e: IkeEnd) => e.env.lines.find((l) => l.fields?.theirs !== undefined)!.fields!
    expect(String(facts(a).ours)).toContain('aes128gcm16')
    expect(String(facts(a).theirs)).toContain('aes256')
    expect(facts(a).theirs).toEqual(facts(b).ours)
    expect(facts(a).ours).toEqual(facts(b).theirs)
    expect(facts(b).difference).toBe('encryption: ours aes256, theirs aes128gcm16')
  })

  test('an address that no peer has is named in the log', () => {
    for (const dynamicPsk of ['off', 'hardened'] as const) {
      const { network, a, b } = twoIkes({ config: { dynamicPsk }, b: { remote: ip('192.0.2.9') } })
      a.ike.acquire(network.now, 1)
      network.runFor(1_500)
      const line = b.env.lines.find((l) => l.message.includes('an address that no peer has'))!
      expect(line.level).toBe('info')
      expect(String(line.fields!.from)).toContain('192.0.2.1')
    }
  })

  test.each([1, 2] as const)(
    'a peer that is gone: within seconds, and until it is back, IKEv%i',
    (version) => {
      const { network, a, b } = twoIkes({
        config: { version, dynamicPsk: 'off', dpdDelaySeconds: 5, ...child({ start: 'start' }) },
      })
      network.runFor(3_000)
      expect(a.peer.lastError).toBeUndefined()
      network.detach(B.address)
      network.runFor(9_000)
      expect(a.peer.lastError?.message).toMatch(/the peer does not answer/)
      network.runFor(60_000)
      expect(a.peer.lastError?.message).toMatch(/no answer|does not answer/)
      network.attach(B.address, b)
      expect(network.runUntil(() => a.current().length === 1 && b.current().length === 1, 120_000)).toBe(true)
      network.runFor(1_000)
      expect([a.peer.lastError, b.peer.lastError]).toEqual([undefined, undefined])
    },
  )

  test.each(['off', 'hardened'] as const)('what ICMP says, with dynamic_psk: %s', (dynamicPsk) => {
    const { network, a } = twoIkes({ config: { version: 2, dynamicPsk }, impairment: () => [] })
    const closed = { remote: B.address, protocol: 17, port: 500, reason: 'port' } as const
    a.ike.unreachable(network.now, closed)
    expect(a.peer.lastError).toBeUndefined() // nothing is under way
    a.ike.initiate(network.now, 'b')
    for (const what of [
      { ...closed, remote: ip('192.0.2.77') },
      { ...closed, port: 53 },
    ])
      a.ike.unreachable(network.now, what)
    expect(a.peer.lastError).toBeUndefined()
    a.ike.unreachable(network.now, closed)
    const text = 'ICMP says that UDP port 500 of 192.0.2.2 is closed: no IKE daemon serves it there'
    expect(a.peer.lastError?.message).toBe(text)
    network.runUntil(() => a.env.counted('ike.failed') > 0, 100_000)
    expect(a.peer.lastError?.message).toMatch(new RegExp(`^${text}; .*no answer to`))
    expect(a.env.lines.filter((l) => l.message.includes(text)).length).toBe(1)
  })

  test('the newest trouble is the last error, with its own age', () => {
    const { network, a, b } = twoIkes({ config: { version: 2, dynamicPsk: 'hardened' }, b: OTHER_KEY })
    a.ike.initiate(network.now, 'b')
    network.runFor(7_000)
    // Step 1 was sent for the first time seven seconds ago, and for the third time four seconds ago.
    expect(a.peer.lastError!.ageMs).toBe(7_000)
    expect(b.peer.lastError!.ageMs).toBeLessThan(1_000)
  })
})

describe('explanations', () => {
  test('are the other end’s view', () => {
    expect(mirrored('child one: encryption: ours a, theirs b or c')).toBe('encryption: ours b or c, theirs a')
    expect(mirrored('local selectors: ours 10.0.0.0/8, theirs ::/0')).toBe(
      'remote selectors: ours ::/0, theirs 10.0.0.0/8',
    )
  })

  test('come back as they were', () => {
    const data = emitExplanation('group: ours x25519, theirs ecp256', ['one', 'two'])
    expect(readExplanation(data)).toEqual({
      reason: 'group: ours ecp256, theirs x25519',
      theirs: ['one', 'two'],
    })
  })

  test('stay within their room, with whole lines', () => {
    const lines = Array.from({ length: 100 }, (_, i) => `line number ${i}`)
    for (const room of [0, 39, 40, 60, 100, 480, 5_000]) {
      const data = emitExplanation('mode: ours tunnel, theirs transport', lines, room)
      expect(data.length).toBeLessThanOrEqual(Math.min(room, EXPLANATION_MAX))
      for (const line of readExplanation(data)?.theirs ?? []) expect(lines).toContain(line)
    }
  })

  test('from anybody: foreign octets are none, control characters do not come through', () => {
    expect(readExplanation(Uint8Array.of(1, 2, 3))).toBeUndefined()
    expect(readExplanation(new Uint8Array(EXPLANATION_MAX + 1).fill(0x73))).toBeUndefined()
    const text = 'sallyport: \u001b[2J\u0007bell\u00ff\nx\r'
    const data = Uint8Array.from(text, (c) => c.charCodeAt(0))
    expect(readExplanation(data)).toEqual({ reason: '?[2J?bell?', theirs: ['x?'] })
  })

  test.each([1, 2] as const)('an answer in the clear is never larger than the message, IKEv%i', (version) => {
    const { network, a } = twoIkes({
      config: { version, dynamicPsk: 'off', ...ike('aes128-sha256-x25519') },
      b: ike('aes256-sha512-ecp384', 'aes256-sha384-ecp521', 'aes256gcm16-prfsha512-modp4096'),
    })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const [asked, answered] = network.sent
    expect(answered!.from).toEqual(endpoint('192.0.2.2'))
    expect(answered!.message.length).toBeLessThanOrEqual(asked!.message.length)
    expect(a.peer.lastError?.message).toContain('NO_PROPOSAL_CHOSEN')
    expect(A.port).toBe(500)
  })
})

describe('IKEv1: strangers in the name of a peer that has come through', () => {
  const begin = (ends: IkeEnds): Uint8Array => {
    const forged = new Uint8Array(ends.network.sent[0]!.message)
    forged.set([9, 9, 9, 9, 9, 9, 9, 9])
    return forged
  }

  test('a message 1 that is not followed up', () => {
    const ends = establishedV1()
    const { network, b } = ends
    network.inject(A, B, begin(ends))
    network.runFor(40_000)
    expect(b.env.counted('ike.half-open-failed')).toBe(1)
    expect(b.peer.lastError).toBeUndefined()
  })

  test('a message 1 whose proposals do not fit', () => {
    const ends = establishedV1()
    const { network, b } = ends
    const none = transforms(withNumber(PHASE1.GROUP, 1))
    network.inject(A, B, rebuilt(begin(ends), replaced(PAYLOAD.SA, none)))
    network.runFor(1_000)
    expect(b.env.counted('ike.no-proposal-chosen')).toBe(1)
    expect(b.peer.lastError).toBeUndefined()
  })
})
