import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { EXCHANGE, IKE_HEADER_LEN, parseIkeHeader } from '../../src/wire/ike/header.js'
import { emitMessage, type PayloadInit } from '../../src/wire/ike/payloads.js'
import { parseChain } from '../../src/wire/ike/v2/chain.js'
import { PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import { childConfig, convergence, type IkeEnds, type TwoIkes, twoIkes } from './ike-ends.js'
import { Insider, notifiesIn, type Sealed } from './insider.js'
import { A, B } from './prephase-ends.js'

// What cannot be read, RFC 7296 sections 2.5 and 2.21: whoever has proved to be the peer is told why.

const { IKE_INTERMEDIATE, IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL } = EXCHANGE

const CRITICAL: PayloadInit = { type: 200, critical: true, body: new Uint8Array(4) }
const HYBRID = { proposals: [parseIkeProposal('aes128gcm16-prfsha256-x25519-ke1_mlkem768')] }

const two = (o: TwoIkes = {}): IkeEnds =>
  twoIkes({ ...o, config: { version: 2, dynamicPsk: 'off', ...o.config } })

function up(o: TwoIkes = {}): IkeEnds {
  const ends = two(o)
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

const renew = ({ a, network }: IkeEnds): void =>
  a.ike.expire(network.now, {
    ...({ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked' } as const),
    spi: a.current()[0]!.outboundSpi,
  })

let insider: Insider
beforeEach(() => {
  insider = new Insider()
})
afterEach(() => insider.end())

const inRequests =
  (exchange: number, change: (p: readonly PayloadInit[]) => readonly PayloadInit[]) => (m: Sealed) =>
    m.isRequest && m.exchange === exchange ? change(m.payloads) : m.payloads

describe('an unknown payload with the critical bit', () => {
  const refused = ['UNSUPPORTED_CRITICAL_PAYLOAD', [200]]

  test('in IKE_SA_INIT', () => {
    const { network, a, b } = two()
    network.impairment = () => []
    a.ike.acquire(network.now, 1)
    const { message } = network.sent[0]!
    const header = parseIkeHeader(message)
    const with200 = emitMessage(header, [...parseChain(header, message).payloads, CRITICAL])
    network.inject(A, B, with200)
    network.runFor(100)
    const [answer] = network.sent.slice(1)
    const said = parseChain(parseIkeHeader(answer!.message), answer!.message).payloads
    expect(notifiesIn(said)).toEqual([refused])
    expect(b.env.counted('ike.unsupported-critical-payload')).toBe(1)
    expect(b.peer.ikeSas).toEqual([])
  })

  test('in IKE_SA_INIT, as the whole of a message: no answer that would be larger', () => {
    const { network, a, b } = two()
    network.impairment = () => []
    a.ike.acquire(network.now, 1)
    const header = parseIkeHeader(network.sent[0]!.message)
    const tiny = emitMessage(header, [{ ...CRITICAL, body: new Uint8Array(0) }])
    expect(tiny.length).toBe(IKE_HEADER_LEN + 4)
    network.inject(A, B, tiny)
    network.runFor(100)
    expect(network.sent.length).toBe(1)
    expect(b.env.counted('ike.unsupported-critical-payload')).toBe(1)
  })

  test('in IKE_INTERMEDIATE', () => {
    const { network, a, b } = two({ config: HYBRID })
    insider.change = inRequests(IKE_INTERMEDIATE, (p) => [...p, CRITICAL])
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(insider.said(IKE_INTERMEDIATE)).toEqual([refused])
    expect(a.peer.lastError?.message).toContain('UNSUPPORTED_CRITICAL_PAYLOAD to IKE_INTERMEDIATE')
    expect(b.peer.lastError?.message).toContain('payload 200 is critical and unknown')
  })

  test('in IKE_AUTH', () => {
    const { network, a, b } = two()
    insider.change = inRequests(IKE_AUTH, (p) => [...p, CRITICAL])
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(insider.said(IKE_AUTH)).toEqual([refused])
    expect(a.peer.lastError?.message).toContain('UNSUPPORTED_CRITICAL_PAYLOAD')
    expect(b.peer.ikeSas).toEqual([])
  })

  test('in CREATE_CHILD_SA, which costs that exchange alone', () => {
    const ends = up()
    insider.change = inRequests(CREATE_CHILD_SA, (p) => [...p, CRITICAL])
    renew(ends)
    ends.network.runFor(1_000)
    expect(insider.said(CREATE_CHILD_SA)[0]).toEqual(refused)
    expect(convergence(ends)).toEqual([])
  })

  test('in INFORMATIONAL', () => {
    const ends = up({ config: { dpdDelaySeconds: 5 } })
    insider.change = inRequests(INFORMATIONAL, (p) => [...p, CRITICAL])
    ends.network.runFor(6_000)
    expect(insider.said(INFORMATIONAL)[0]).toEqual(refused)
    expect(convergence(ends)).toEqual([])
  })
})

describe('what is authentic and cannot be split, or has a payload twice', () => {
  const inside: PayloadInit = { type: PAYLOAD.SK, body: new Uint8Array(4) }

  test.each([
    ['IKE_INTERMEDIATE', IKE_INTERMEDIATE, HYBRID],
    ['IKE_AUTH', IKE_AUTH, {}],
  ] as const)('%s: INVALID_SYNTAX, and both ends know', (name, exchange, config) => {
    for (const more of [(p: readonly PayloadInit[]) => p[0]!, () => inside]) {
      const { network, a, b } = two({ config })
      insider.sealed.length = 0
      insider.change = inRequests(exchange, (p) => [...p, more(p)])
      a.ike.acquire(network.now, 1)
      network.runFor(500)
      expect(insider.said(exchange)).toEqual([['INVALID_SYNTAX', []]])
      expect(a.peer.lastError?.message).toContain('INVALID_SYNTAX')
      expect(b.peer.lastError?.message).toContain(`${name} is malformed: `)
      expect(b.peer.ikeSas).toEqual([])
    }
  })

  test('an answer to IKE_INTERMEDIATE: the attempt ends, and its end says so', () => {
    const { network, a } = two({ config: HYBRID })
    insider.change = (m) =>
      !m.isRequest && m.exchange === IKE_INTERMEDIATE ? [...m.payloads, inside] : m.payloads
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(a.peer.lastError?.message).toContain('the answer to IKE_INTERMEDIATE is malformed')
  })

  test('under an IKE SA: INVALID_SYNTAX, and it ends', () => {
    const ends = up()
    const { network, a, b } = ends
    insider.change = inRequests(CREATE_CHILD_SA, (p) => [...p, inside])
    renew(ends)
    network.runFor(1_000)
    expect(insider.said(CREATE_CHILD_SA)).toEqual([['INVALID_SYNTAX', []]])
    for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
  })
})

describe('INVALID_SYNTAX ends the IKE SA at both ends, RFC 7296 section 2.21.3', () => {
  const publicValue = (p: readonly PayloadInit[]): PayloadInit[] =>
    p.map((x) => (x.type === PAYLOAD.KE ? { ...x, body: x.body.slice().fill(0, 4) } : x))

  test.each([
    ['of a CHILD_SA', (e: IkeEnds): void => renew(e)],
    ['of the IKE SA', (e: IkeEnds): unknown => e.a.ike.rekey(e.network.now, 'b')],
  ] as const)('a public value that is none, in a renewal %s', (_name, ask) => {
    const pfs = childConfig({ proposals: [parseChildProposal('esp', 'aes128gcm16-x25519')] })
    const ends = up({ config: { children: [pfs] } })
    const { network, a, b } = ends
    insider.change = inRequests(CREATE_CHILD_SA, publicValue)
    ask(ends)
    network.runFor(1_000)
    expect(insider.said(CREATE_CHILD_SA)[0]?.[0]).toBe('INVALID_SYNTAX')
    for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
    expect(a.env.counted('ike.crash-detected')).toBe(0)
    insider.end()
    a.ike.initiate(network.now, 'b')
    network.runFor(3_000)
    expect(convergence(ends)).toEqual([])
  })

  test('an exchange type that nobody knows; whoever sends only such does not go on without a pause', () => {
    const { network, a, b } = up({ config: { dpdDelaySeconds: 5 }, b: { dpdDelaySeconds: 0 } })
    insider.exchange = (m) => (m.isRequest && m.exchange === INFORMATIONAL ? 250 : m.exchange)
    const before = network.sent.length
    network.runFor(10_000)
    expect(insider.said(250)[0]?.[0]).toBe('INVALID_SYNTAX')
    expect([b.env.sas.size, b.peer.ikeSas.length, a.env.sas.size]).toEqual([0, 0, 0])
    expect(network.sent.length - before).toBeLessThan(10)
    network.runFor(60_000)
    expect(a.peer.ikeSas).toEqual([])
  })
})

describe('a later major version', () => {
  /** The first message of an end, as one of IKEv3 might look. */
  function third(o: TwoIkes = {}) {
    const ends = twoIkes({ ...o, config: { dynamicPsk: 'off', version: 2, ...o.config } })
    const { network, a } = ends
    network.impairment = () => []
    a.ike.acquire(network.now, 1)
    const message = new Uint8Array(network.sent[0]!.message)
    message[17] = 0x31
    return { ...ends, message }
  }

  test('is answered with INVALID_MAJOR_VERSION, in a header that says 2.0', () => {
    const { network, a, b, message } = third()
    network.inject(A, B, message)
    network.runFor(100)
    const answer = network.sent[1]!.message
    const asked = parseIkeHeader(message)
    const header = parseIkeHeader(answer)
    expect(notifiesIn(parseChain(header, answer).payloads)).toEqual([['INVALID_MAJOR_VERSION', []]])
    expect(header).toMatchObject({ version: 0x20, flags: 0x20, messageId: 0, exchange: asked.exchange })
    expect([header.initiatorSpi, header.responderSpi]).toEqual([asked.initiatorSpi, asked.responderSpi])
    expect(b.env.counted('ike.version')).toBe(1)
    expect(b.peer.lastError?.message).toContain('the peer speaks IKEv3')
    // Whoever gets it without having asked does nothing.
    network.inject(B, A, answer)
    network.runFor(100)
    expect(a.peer.ikeSas.map((s) => s.state)).toEqual(['INIT_SENT'])
  })

  test('a flood of it is answered once in a while, a response never, and neither by a peer of IKEv1', () => {
    const { network, message } = third()
    for (let i = 0; i < 50; i++) network.inject(A, B, message)
    network.runFor(100)
    expect(network.sent.length - 1).toBe(4)
    const reply = third()
    reply.message[19] = 0x28
    reply.network.inject(A, B, reply.message)
    reply.network.runFor(100)
    expect(reply.network.sent.length).toBe(1)
    const old = third({ b: { version: 1 } })
    old.network.inject(A, B, old.message)
    old.network.runFor(100)
    expect(old.network.sent.length).toBe(1)
  })
})
