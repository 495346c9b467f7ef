import { hex } from '../../../src/bytes/octets.js'
import { Reader } from '../../../src/bytes/reader.js'
import { Writer } from '../../../src/bytes/writer.js'
import { WireError } from '../../../src/errors.js'
import { explainMismatch } from '../../../src/ike/differences.js'
import { formatIdentity } from '../../../src/ike/identity.js'
import { parseChildProposal, parseIkeProposal } from '../../../src/ike/proposals.js'
import { dpdSequence } from '../../../src/ike/v1/informational.js'
import { checkNonce, PayloadSet, RULES } from '../../../src/ike/v1/message-rules.js'
import { choosePhase1, offerPhase1, phase1Fields } from '../../../src/ike/v1/phase1-offer.js'
import { choosePhase2, offerPhase2, phase2Fields, variantsOf } from '../../../src/ike/v1/phase2-offer.js'
import { rangePrefixes } from '../../../src/wire/address-range.js'
import { IKE_HEADER_LEN, parseIkeHeader } from '../../../src/wire/ike/header.js'
import { emitPayloads, type Payload, parsePayloads } from '../../../src/wire/ike/payloads.js'
import { emitAttributes, parseAttributes } from '../../../src/wire/ike/v1/attributes.js'
import { emitId, idOfSelector, parseId, parseNatOa, selectorOfId } from '../../../src/wire/ike/v1/id.js'
import { emitDelete, emitNotify, parseDelete, parseNotify } from '../../../src/wire/ike/v1/notify.js'
import { ID_TYPE, PAYLOAD } from '../../../src/wire/ike/v1/numbers.js'
import { emitSa, PROPOSALS_MAX, parseSa, TRANSFORMS_MAX } from '../../../src/wire/ike/v1/sa.js'
import { vendorOf } from '../../../src/wire/ike/v1/vendor-ids.js'
import { compareIp } from '../../../src/wire/ip-address.js'
import { formatSelector } from '../../../src/wire/traffic-selector.js'
import { childConfig } from '../../exchange/ike-ends.js'
import { recordedV1 } from '../corpus.js'
import { messageTree, saTree } from '../mutate/isakmp.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree, type Node } from '../mutate/tree.js'
import type { Random } from '../random.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'

// The octets of IKEv1: whatever they are, a parser gives a value or a WireError, and what it gives survives emit and parse.

const { clear } = recordedV1()

const IKE_PROPOSALS = ['aes256-sha512-ecp384', 'aes128-sha256-x25519', 'aes128-sha1-modp2048'].map(
  parseIkeProposal,
)
const CHILD = childConfig({
  proposals: ['aes256gcm16-x25519', 'aes128gcm16', 'aes128-sha256', 'null-sha1'].map((p) =>
    parseChildProposal('esp', p),
  ),
})
const VARIANTS = variantsOf(CHILD, [true, false])

/** SA payload bodies: what we offer, and what strongSwan did. */
const offers = [
  emitSa(offerPhase1(IKE_PROPOSALS, 28_800)!),
  emitSa(offerPhase2(VARIANTS, 0x1234_5678, { seconds: 3_600, kilobytes: 1 << 20 })),
  ...clear.slice(0, 2).map((m) => parsePayloads(m.subarray(IKE_HEADER_LEN), m[16]!)[0]!.body),
]

export const IKE_V1_MESSAGE: Target = {
  name: 'ikev1-message',
  about: 'Main Mode messages in the clear: header, chain, rules and every payload',
  prepare() {
    const trees = clear.map(messageTree)
    return {
      run(random, trace) {
        const i = random.below(clear.length)
        const input = random.oneIn(4)
          ? mutateOctets(random, clear[i]!, clear)
          : emitNode(mutateTree(random, trees[i]!, { others: trees, lies: true }))
        trace.input(input)
        const header = trace.parse('header', WireError, () => parseIkeHeader(input))
        const chain = trace.parse('chain', WireError, () =>
          parsePayloads(input.subarray(IKE_HEADER_LEN), input[16] ?? 0),
        )
        if (header !== undefined) trace.value(header.messageId)
        if (chain === undefined) return
        for (const rules of [RULES.sa, RULES.ke, RULES.informational])
          trace.parse('rules', WireError, () => new PayloadSet(chain, rules))
        const again = emitPayloads(chain)
        must(sameChain(parsePayloads(again, chain[0]?.type ?? 0), chain), 'the chain changes on its way back')
        for (const p of chain) body(trace, p)
      },
    }
  },
}

const sameChain = (a: readonly Payload[], b: readonly Payload[]): boolean =>
  a.length === b.length && a.every((p, i) => p.type === b[i]!.type && hex(p.body) === hex(b[i]!.body))

function body(trace: Trace, p: Payload): void {
  switch (p.type) {
    case PAYLOAD.SA:
      return sa(trace, p.body)
    case PAYLOAD.ID:
    case PAYLOAD.NAT_OA:
      return id(trace, p.body)
    case PAYLOAD.NOTIFY:
    case PAYLOAD.DELETE:
      return notices(trace, p.body)
    case PAYLOAD.NONCE:
      trace.parse('nonce', WireError, () => checkNonce(p.body))
      return
    case PAYLOAD.VID:
      trace.outcome(vendorOf(p.body) ?? 'unknown VID')
  }
}

export const IKE_V1_SA: Target = {
  name: 'ikev1-sa',
  about: 'SA payloads: nested proposals, transforms and attributes, and the choice among them',
  prepare() {
    const trees = offers.map((o) => saTree(o, 1))
    return {
      run(random, trace) {
        const i = random.below(offers.length)
        const input = random.oneIn(4)
          ? mutateOctets(random, offers[i]!, offers)
          : emitNode(mutateTree(random, trees[i]!, { others: trees, lies: random.oneIn(2) }))
        trace.input(input)
        sa(trace, input)
        trace.parse('attributes', WireError, () => {
          const list = parseAttributes(new Reader(input))
          const w = new Writer()
          emitAttributes(w, list)
          must(hex(w.finish()) === hex(input), 'attributes change on their way back')
        })
      },
    }
  },
}

function sa(trace: Trace, input: Uint8Array): void {
  const parsed = trace.parse('SA', WireError, () => parseSa(input))
  if (parsed === undefined) return
  must(parsed.proposals.length > 0 && parsed.proposals.length <= PROPOSALS_MAX, 'too many proposals')
  const transforms = parsed.proposals.reduce((n, p) => n + p.transforms.length, 0)
  must(transforms <= TRANSFORMS_MAX, 'too many transforms')
  const octets = emitSa(parsed)
  must(hex(emitSa(parseSa(octets))) === hex(octets), 'the SA changes on its way back')
  const phase1 = choosePhase1(IKE_PROPOSALS, parsed)
  if (phase1 !== undefined) {
    trace.outcome('phase 1 chosen')
    must(IKE_PROPOSALS.includes(phase1.proposal), 'chosen, but not ours')
    must(phase1.answer.proposals[0]?.transforms.length === 1, 'an answer with more than one transform')
    emitSa(phase1.answer)
  } else explainMismatch(phase1Fields(parsed), phase1Fields(parsed))
  const phase2 = choosePhase2(VARIANTS, parsed)
  if (phase2 !== undefined) {
    trace.outcome('phase 2 chosen')
    must(VARIANTS.includes(phase2.variant), 'chosen, but not ours')
    must(phase2.peerSpi >= 256 && phase2.peerSpi <= 0xffff_ffff, 'a reserved SPI')
    emitSa(phase2.answer(0x1000))
  } else explainMismatch(phase2Fields(parsed), phase2Fields(parsed))
}

export const IKE_V1_ID: Target = {
  name: 'ikev1-id',
  about: 'identities and selectors: types, masks, ranges, ports; NAT-OA',
  prepare() {
    return {
      run(random, trace) {
        const input = identity(random)
        trace.input(input)
        id(trace, input)
      },
    }
  },
}

const ID_TYPES = [...Object.values(ID_TYPE), 2, 3, 9, 10, 11]

function identity(random: Random): Uint8Array {
  const type = random.pick(ID_TYPES)
  const half = type >= 5 && type !== 7 ? 16 : 4
  const start = random.octets(half)
  if (random.oneIn(3)) start.fill(random.pick([0, 0xff]), random.below(half))
  const second = random.oneIn(2) ? mask(random, half) : start.slice()
  if (random.oneIn(2)) second[random.below(half)] = random.edge(8)
  const head = Uint8Array.of(type, random.edge(8), random.edge(8), random.edge(8))
  const one = type === ID_TYPE.IPV4_ADDR || type === ID_TYPE.IPV6_ADDR
  const whole = Uint8Array.of(...head, ...start, ...(one ? [] : second))
  return random.oneIn(3) ? mutateOctets(random, whole) : whole
}

function mask(random: Random, octets: number): Uint8Array<ArrayBuffer> {
  const bits = random.below(octets * 8 + 1)
  return Uint8Array.from({ length: octets }, (_, i) => 0xff00 >> Math.min(8, Math.max(0, bits - i * 8)))
}

function id(trace: Trace, input: Uint8Array): void {
  trace.parse('NAT-OA', WireError, () => parseNatOa(input))
  const parsed = trace.parse('ID', WireError, () => parseId(input))
  if (parsed === undefined) return
  must(hex(emitId(parsed)) === hex(input), 'the ID changes on its way back')
  formatIdentity({ type: parsed.type, value: parsed.data })
  const ts = trace.parse('selector', WireError, () => selectorOfId(parsed))
  if (ts === undefined) return
  must(compareIp(ts.start, ts.end) <= 0 && ts.startPort <= ts.endPort, 'a selector that runs backwards')
  const text = formatSelector(ts)
  const back = idOfSelector(ts)
  must(back !== undefined && formatSelector(selectorOfId(parseId(emitId(back)))) === text, `${text} changes`)
  const blocks = rangePrefixes(ts.start, ts.end)
  must(blocks.length >= 1 && blocks.length <= 2 * ts.start.length * 8, `${blocks.length} blocks`)
}

export const IKE_V1_NOTICES: Target = {
  name: 'ikev1-notify-delete',
  about: 'Notification and Delete payloads',
  prepare() {
    const spis = (n: number, length: number): Uint8Array[] =>
      Array.from({ length: n }, (_, i) => new Uint8Array(length).fill(i + 1))
    const data = Uint8Array.of(0, 0, 0, 9)
    const corpus = [
      emitDelete({ doi: 1, protocol: 3, spis: spis(3, 4) }),
      emitDelete({ doi: 1, protocol: 1, spis: spis(1, 16) }),
      emitNotify({ doi: 1, protocol: 1, spi: spis(1, 16)[0]!, type: 36136, data }),
      emitNotify({ doi: 1, protocol: 3, spi: spis(1, 4)[0]!, type: 14, data: new Uint8Array(0) }),
    ]
    return {
      run(random, trace) {
        const input = mutateOctets(random, random.pick(corpus), corpus)
        trace.input(input)
        notices(trace, input)
      },
    }
  },
}

function notices(trace: Trace, input: Uint8Array): void {
  const notify = trace.parse('N', WireError, () => parseNotify(input))
  if (notify !== undefined) {
    must(hex(emitNotify(notify)) === hex(input), 'the notify changes on its way back')
    trace.value(dpdSequence(notify) ?? -1)
  }
  const deletion = trace.parse('D', WireError, () => parseDelete(input))
  if (deletion === undefined || deletion.spis.length === 0) return
  must(hex(emitDelete(deletion)) === hex(input), 'the Delete changes on its way back')
}

export const ikeV1Wire: readonly Target[] = [IKE_V1_MESSAGE, IKE_V1_SA, IKE_V1_ID, IKE_V1_NOTICES]
export type { Node }
