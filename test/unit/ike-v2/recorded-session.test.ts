import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { parseChildProposal, parseIkeProposal } from '../../../src/ike/proposals.js'
import { authOctets, pskAuth } from '../../../src/ike/v2/auth.js'
import { makeKeying } from '../../../src/ike/v2/keying.js'
import { childKeymat, deriveKeys, skeyseed } from '../../../src/ike/v2/keys.js'
import { natHash } from '../../../src/ike/v2/nat.js'
import { accepted, choose, ikeRequirement } from '../../../src/ike/v2/offer.js'
import { PayloadSet, RULES } from '../../../src/ike/v2/payload-set.js'
import { EXCHANGE, parseIkeHeader } from '../../../src/wire/ike/header.js'
import { emitMessage } from '../../../src/wire/ike/payloads.js'
import { parseKe, parseTyped } from '../../../src/wire/ike/v2/bodies.js'
import { parseChain } from '../../../src/wire/ike/v2/chain.js'
import { parseDelete } from '../../../src/wire/ike/v2/notify.js'
import { NOTIFY, PAYLOAD, PROTOCOL } from '../../../src/wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../../src/wire/ike/v2/sa.js'
import { emitSelectors, parseSelectors } from '../../../src/wire/ike/v2/traffic-selectors.js'
import { parseIp } from '../../../src/wire/ip-address.js'
import { formatSelector } from '../../../src/wire/traffic-selector.js'

// A session between two strongSwan daemons: every message is read, decrypted and verified with nothing but the PSK and the
// shared secret of Diffie-Hellman.

interface Session {
  psk: string
  ike_messages: { message: string; inner?: string; auth_octets?: string; from_initiator: boolean }[]
  ike_sas: Record<string, string>[]
  child_sas: Record<string, string>[]
}
const session = JSON.parse(
  readFileSync(new URL('../../vectors/ike-session-v2-psk.json', import.meta.url), 'utf8'),
) as Session
const messages = session.ike_messages.map((m) => {
  const bytes = fromHex(m.message)
  const header = parseIkeHeader(bytes)
  return { ...m, bytes, header, chain: parseChain(header, bytes) }
})
const [request, response, authI, authR, deletion, deleted] = messages as [
  (typeof messages)[0],
  (typeof messages)[0],
  (typeof messages)[0],
  (typeof messages)[0],
  (typeof messages)[0],
  (typeof messages)[0],
]
const ike = session.ike_sas[0]!
const child = session.child_sas[0]!
const at = (name: string): Uint8Array => fromHex(ike[name]!)
const x = { spiI: at('spi_i'), spiR: at('spi_r'), ni: at('ni'), nr: at('nr') }
const proposal = parseIkeProposal('aes128-sha256-modp2048')
const seed = skeyseed(proposal.prf, x.ni, x.nr, at('dh_shared'))
const noRandom = (): never => {
  throw new Error('nothing is drawn here')
}
const responder = makeKeying('responder', proposal, seed, x, noRandom)
const initiator = makeKeying('initiator', proposal, seed, x, noRandom)
const opened = (m: (typeof messages)[0]) => {
  const { opener } = m.from_initiator ? responder : initiator
  return opener.openPayloads(m.bytes, m.chain.encrypted)
}

test('SKEYSEED and the seven keys', () => {
  expect(hex(seed)).toBe(ike.skeyseed)
  const keys = deriveKeys(proposal, seed, x)
  for (const name of ['d', 'ai', 'ar', 'ei', 'er', 'pi', 'pr'] as const)
    expect([name, hex(keys[name])]).toEqual([name, ike[`sk_${name}`]])
})

describe('IKE_SA_INIT', () => {
  test('its payloads, and the responder’s choice among the initiator’s proposals', () => {
    const ask = new PayloadSet(request.chain.payloads, RULES.init)
    const answer = new PayloadSet(response.chain.payloads, RULES.init)
    expect(parseKe(ask.need(PAYLOAD.KE)).method).toBe(14)
    expect(hex(ask.need(PAYLOAD.NONCE))).toBe(ike.ni)
    const [theirs, chosen] = [parseSa(ask.need(PAYLOAD.SA)), parseSa(answer.need(PAYLOAD.SA))]
    const ours = [parseIkeProposal('aes256-sha256-modp2048'), proposal].map(ikeRequirement)
    expect(choose(ours, PROTOCOL.IKE, theirs)?.index).toBe(1)
    expect(accepted([ikeRequirement(proposal)], PROTOCOL.IKE, chosen)?.index).toBe(0)
    expect(emitSa(chosen)).toEqual(answer.need(PAYLOAD.SA))
  })

  test('written again, payload by payload, it is the same message', () => {
    for (const { bytes, header, chain } of [request, response])
      expect(emitMessage(header, chain.payloads)).toEqual(bytes)
  })

  test('NAT detection: UDP encapsulation is forced, so that only the destinations are true', () => {
    const set = new PayloadSet(request.chain.payloads, RULES.init)
    const destination = natHash(x.spiI, new Uint8Array(8), parseIp('10.99.0.2')!, 500)
    expect(set.notify(NOTIFY.NAT_DETECTION_DESTINATION_IP)!.data).toEqual(destination)
  })
})

test.each([authI, authR, deletion, deleted])(
  'message $header.messageId, response $response decrypts',
  (m) => {
    const inner = opened(m)!
    const chain = m.inner ?? ''
    expect(hex(new Uint8Array(inner.flatMap((p) => [...p.body])))).toHaveLength(
      chain.length - 8 * inner.length,
    )
    expect(m.header.exchange).toBe(m.header.messageId === 1 ? EXCHANGE.IKE_AUTH : EXCHANGE.INFORMATIONAL)
  },
)

test('one changed octet anywhere is noticed', () => {
  for (let i = 0; i < authI.bytes.length; i += 7) {
    const bad = new Uint8Array(authI.bytes)
    bad[i]! ^= 0x40
    let result: unknown
    try {
      result = responder.opener.openPayloads(bad, parseChain(parseIkeHeader(bad), bad).encrypted)
    } catch {
      result = undefined
    }
    expect(result).toBeUndefined()
  }
})

describe('IKE_AUTH', () => {
  test.each([
    ['initiator', authI, request, x.nr, 'pi', PAYLOAD.ID_I],
    ['responder', authR, response, x.ni, 'pr', PAYLOAD.ID_R],
  ] as const)('AUTH of the %s', (_who, m, first, nonce, skp, idType) => {
    const set = new PayloadSet(opened(m)!, m === authI ? RULES.authRequest : RULES.authResponse)
    const octets = authOctets({
      prfId: proposal.prf,
      message: first.bytes,
      nonce,
      skp: at(`sk_${skp}`),
      id: set.need(idType),
    })
    expect(hex(octets)).toBe(m.auth_octets)
    const { type, data } = parseTyped(set.need(PAYLOAD.AUTH), 'AUTH')
    expect(type).toBe(2)
    expect(pskAuth(proposal.prf, fromHex(session.psk), octets)).toEqual(data)
  })

  test('its traffic selectors', () => {
    const set = new PayloadSet(opened(authR)!, RULES.authResponse)
    for (const type of [PAYLOAD.TS_I, PAYLOAD.TS_R]) {
      const list = parseSelectors(set.need(type))
      expect(list.map(formatSelector)[0]).toMatch(/^10\.99\.[12]\./)
      expect(emitSelectors(list)).toEqual(set.need(type))
    }
  })

  test('KEYMAT of the CHILD_SA', () => {
    const keymat = childKeymat(
      proposal.prf,
      fromHex(child.sk_d!),
      new Uint8Array(0),
      x.ni,
      x.nr,
      parseChildProposal('esp', 'aes128-sha256-noesn'),
    )
    expect(hex(keymat.toResponder)).toBe(`${child.encr_i}${child.integ_i}`)
    expect(hex(keymat.toInitiator)).toBe(`${child.encr_r}${child.integ_r}`)
  })
})

test('the Delete of the IKE SA', () => {
  const set = new PayloadSet(opened(deletion)!, RULES.informational)
  expect(parseDelete(set.need(PAYLOAD.DELETE))).toEqual({ protocol: PROTOCOL.IKE, spis: [] })
  expect(opened(deleted)).toEqual([])
})
