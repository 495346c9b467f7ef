import { hex } from '../../../src/bytes/octets.js'
import { ProtocolError, WireError } from '../../../src/errors.js'
import { parseChildProposal, parseIkeProposal } from '../../../src/ike/proposals.js'
import { accepted, childRequirement, choose, ikeRequirement, offer } from '../../../src/ike/v2/offer.js'
import { PayloadSet, RULES } from '../../../src/ike/v2/payload-set.js'
import { narrow, within } from '../../../src/ike/v2/selectors.js'
import { IKE_HEADER_LEN, parseIkeHeader } from '../../../src/wire/ike/header.js'
import { emitMessage, emitPayloads, type Payload, type PayloadInit } from '../../../src/wire/ike/payloads.js'
import { checkNonce, emitKe, emitTyped, parseKe, parseTyped } from '../../../src/wire/ike/v2/bodies.js'
import { parseChain, parseInner } from '../../../src/wire/ike/v2/chain.js'
import { layoutOf, parseFragmentPlace, unpad } from '../../../src/wire/ike/v2/encrypted.js'
import { emitDelete, emitNotify, parseDelete, parseNotify } from '../../../src/wire/ike/v2/notify.js'
import { PAYLOAD, PROTOCOL } from '../../../src/wire/ike/v2/numbers.js'
import { emitSa, PROPOSALS_MAX, parseSa, TRANSFORMS_MAX } from '../../../src/wire/ike/v2/sa.js'
import { emitSelectors, parseSelectors, SELECTORS_MAX } from '../../../src/wire/ike/v2/traffic-selectors.js'
import { compareIp } from '../../../src/wire/ip-address.js'
import { selector } from '../../exchange/ike-ends.js'
import type { Chain } from '../corpus.js'
import { messageTree } from '../mutate/isakmp.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree } from '../mutate/tree.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'

const IKE = ['aes256gcm16-prfsha384-ecp384', 'aes128-sha256-x25519', 'aes128-sha1-modp2048']
  .map(parseIkeProposal)
  .map(ikeRequirement)
const CHILD = ['aes256gcm16-x25519', 'aes128gcm16', 'aes128-sha256', 'null-sha1']
  .map((p) => parseChildProposal('esp', p))
  .map((p) => childRequirement(p, true))
const OWN_TS = [selector('10.88.2.0/24'), selector('fd00:2::/64')]

const HEAD = {
  initiatorSpi: new Uint8Array(8).fill(1),
  responderSpi: new Uint8Array(8).fill(2),
  version: 0x20,
  exchange: 34,
  flags: 8,
  messageId: 0,
}
const body = (n: number): Uint8Array => new Uint8Array(n).fill(7)
const spi4 = Uint8Array.of(0, 0, 0x12, 0x34)
const INIT: readonly PayloadInit[] = [
  { type: PAYLOAD.SA, body: emitSa(offer(PROTOCOL.IKE, new Uint8Array(0), IKE)) },
  { type: PAYLOAD.KE, body: emitKe({ method: 31, data: body(32) }) },
  { type: PAYLOAD.NONCE, body: body(32) },
  {
    type: PAYLOAD.NOTIFY,
    body: emitNotify({ protocol: 0, spi: new Uint8Array(0), type: 16388, data: body(20) }),
  },
  { type: PAYLOAD.VENDOR, body: body(16) },
]
const AUTH: readonly PayloadInit[] = [
  { type: PAYLOAD.ID_I, body: emitTyped({ type: 2, data: body(14) }) },
  { type: PAYLOAD.AUTH, body: emitTyped({ type: 2, data: body(32) }) },
  { type: PAYLOAD.SA, body: emitSa(offer(PROTOCOL.ESP, spi4, CHILD)) },
  { type: PAYLOAD.TS_I, body: emitSelectors([selector('10.88.1.0/24'), selector('fd00:1::/64')]) },
  { type: PAYLOAD.TS_R, body: emitSelectors(OWN_TS) },
  { type: PAYLOAD.DELETE, body: emitDelete({ protocol: PROTOCOL.ESP, spis: [0x1234, 0x5678] }) },
  {
    type: PAYLOAD.NOTIFY,
    body: emitNotify({ protocol: PROTOCOL.ESP, spi: spi4, type: 16393, data: body(0) }),
  },
]
const SEALED: readonly PayloadInit[] = [{ type: PAYLOAD.SKF, body: Uint8Array.of(0, 1, 0, 2, ...body(60)) }]
/** What is in encrypted messages, as octets. */
export const V2_CHAINS: readonly Chain[] = [INIT, AUTH, AUTH.slice(2, 5), AUTH.slice(5)].map((p) => ({
  first: p[0]!.type,
  octets: emitPayloads(p),
}))
const MESSAGES = [INIT, AUTH, SEALED].map((p) => emitMessage(HEAD, p))

export const IKE_V2_MESSAGE: Target = {
  name: 'ikev2-message',
  about: 'IKEv2 messages: chains, rules, and every payload inside and outside of encryption',
  prepare() {
    const trees = MESSAGES.map(messageTree)
    return {
      run(random, trace) {
        const i = random.below(MESSAGES.length)
        const input = random.oneIn(4)
          ? mutateOctets(random, MESSAGES[i]!, MESSAGES)
          : emitNode(mutateTree(random, trees[i]!, { others: trees, lies: random.oneIn(2) }))
        trace.input(input)
        const header = trace.parse('header', WireError, () => parseIkeHeader(input))
        if (header !== undefined) {
          const chain = trace.parse('chain', WireError, () => parseChain(header, input))
          if (chain?.encrypted !== undefined) {
            const { at, body: sealed, type } = chain.encrypted
            trace.parse('place', WireError, () => parseFragmentPlace(sealed))
            trace.parse('layout', WireError, () => {
              const l = layoutOf(at, input.length, type === PAYLOAD.SKF, { iv: 8, block: 4, icv: 16 })
              must(
                l.iv >= at + 4 && l.icv >= l.ciphertext && l.end === input.length,
                'parts outside of the message',
              )
            })
          }
        }
        const plain = input.subarray(IKE_HEADER_LEN)
        trace.parse('padding', WireError, () =>
          must(unpad(plain).length < plain.length, 'no padding taken away'),
        )
        const inner = trace.parse('inner', WireError, () => parseInner(plain, input[16] ?? 0))
        if (inner === undefined) return
        const again = parseInner(emitPayloads(inner), inner[0]?.type ?? 0)
        must(again.length === inner.length, 'the chain changes on its way back')
        for (const rules of Object.values(RULES)) ruled(trace, inner, rules)
        for (const p of inner) payload(trace, p)
      },
    }
  },
}

function ruled(trace: Trace, payloads: readonly Payload[], rules: (typeof RULES)[keyof typeof RULES]): void {
  try {
    trace.parse('rules', WireError, () => new PayloadSet(payloads, rules))
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    trace.outcome('critical')
  }
}

function payload(trace: Trace, { type, body: b }: Payload): void {
  switch (type) {
    case PAYLOAD.SA:
      return sa(trace, b)
    case PAYLOAD.KE:
      return same(trace, 'KE', b, () => emitKe(parseKe(b)), 2)
    case PAYLOAD.ID_I:
    case PAYLOAD.ID_R:
      return same(trace, 'ID', b, () => emitTyped(parseTyped(b, 'ID')), 1)
    case PAYLOAD.AUTH:
      return same(trace, 'AUTH', b, () => emitTyped(parseTyped(b, 'AUTH')), 1)
    case PAYLOAD.NONCE:
      trace.parse('nonce', WireError, () => checkNonce(b))
      return
    case PAYLOAD.NOTIFY:
      return same(trace, 'N', b, () => emitNotify(parseNotify(b)))
    case PAYLOAD.DELETE:
      return same(trace, 'D', b, () => {
        const d = parseDelete(b)
        return d.spis.length > 0 ? emitDelete(d) : b
      })
    case PAYLOAD.TS_I:
    case PAYLOAD.TS_R:
      return selectors(trace, b)
  }
}

/** @param reserved offset of octets that are ignored: their first one, to the fourth octet */
function same(trace: Trace, name: string, b: Uint8Array, back: () => Uint8Array, reserved = 4): void {
  const again = trace.parse(name, WireError, back)
  if (again === undefined) return
  const expected = b.slice()
  expected.fill(0, Math.min(reserved, expected.length), Math.min(4, expected.length))
  must(hex(again) === hex(reserved === 4 ? b : expected), `${name} changes on its way back`)
}

function sa(trace: Trace, b: Uint8Array): void {
  const proposals = trace.parse('SA', WireError, () => parseSa(b))
  if (proposals === undefined) return
  must(proposals.length >= 1 && proposals.length <= PROPOSALS_MAX, 'too many proposals')
  must(proposals.reduce((n, p) => n + p.transforms.length, 0) <= TRANSFORMS_MAX, 'too many transforms')
  const octets = emitSa(proposals)
  must(hex(emitSa(parseSa(octets))) === hex(octets), 'the SA changes on its way back')
  for (const [requirements, protocol] of [
    [IKE, PROTOCOL.IKE],
    [CHILD, PROTOCOL.ESP],
  ] as const)
    for (const pick of [choose, accepted]) {
      const choice = pick(requirements, protocol, proposals)
      if (choice === undefined) continue
      trace.outcome('chosen')
      must(proposals.includes(choice.theirs), 'chosen, but not offered')
      const types = choice.transforms.map((t) => t.type)
      must(new Set(types).size === types.length, 'two transforms of a type')
      for (const type of requirements[choice.index]!.keys())
        must(types.includes(type) || type === 5, `nothing chosen for type ${type}`)
    }
}

function selectors(trace: Trace, b: Uint8Array): void {
  const list = trace.parse('TS', WireError, () => parseSelectors(b))
  if (list === undefined) return
  must(list.length <= SELECTORS_MAX, `${list.length} selectors`)
  for (const s of list) {
    must(s.start.length === s.end.length, 'two families in one selector')
    must(compareIp(s.start, s.end) <= 0, 'a selector that runs backwards')
  }
  if (list.length === 0) return
  const octets = emitSelectors(list)
  must(hex(emitSelectors(parseSelectors(octets))) === hex(octets), 'the selectors change on their way back')
  const narrowed = narrow(list, OWN_TS)
  trace.outcome(narrowed === undefined || narrowed.length === 0 ? 'nothing in common' : 'narrowed')
  if (narrowed !== undefined)
    must(within(narrowed, OWN_TS) && within(narrowed, list), 'wider than either side')
}
