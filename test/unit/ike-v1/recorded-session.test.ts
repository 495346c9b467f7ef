import { createDecipheriv, createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { INTEG, PRF } from '../../../src/crypto/algorithms.js'
import { parseIkeProposal } from '../../../src/ike/proposals.js'
import {
  childKeymat,
  deriveSkeyids,
  encryptionKey,
  hash1,
  hash2,
  hash3,
  hashI,
  hashR,
  phase1Iv,
  phase2Iv,
  skeyidPsk,
} from '../../../src/ike/v1/keymat.js'
import { natHash } from '../../../src/ike/v1/nat.js'
import { choosePhase1 } from '../../../src/ike/v1/phase1-offer.js'
import { phase2Fields } from '../../../src/ike/v1/phase2-offer.js'
import { lastBlock, open, seal, verifyHash } from '../../../src/ike/v1/protection.js'
import { EXCHANGE, IKE_HEADER_LEN, parseIkeHeader } from '../../../src/wire/ike/header.js'
import { type Payload, parsePayloads } from '../../../src/wire/ike/payloads.js'
import { parseId, selectorOfId } from '../../../src/wire/ike/v1/id.js'
import { parseDelete, parseNotify, spiNumber } from '../../../src/wire/ike/v1/notify.js'
import { NOTIFY, PAYLOAD } from '../../../src/wire/ike/v1/numbers.js'
import { emitSa, parseSa } from '../../../src/wire/ike/v1/sa.js'
import { vendorOf } from '../../../src/wire/ike/v1/vendor-ids.js'
import { parseIp } from '../../../src/wire/ip-address.js'
import { formatSelector } from '../../../src/wire/traffic-selector.js'

// A session between two strongSwan daemons: every message is read, decrypted and verified with nothing but the PSK and
// the shared secret of Diffie-Hellman.

interface Session {
  psk: string
  ike_messages: { message: string; plaintext?: string; hash?: string; iv?: string; payload_octets?: number }[]
  phase1: Record<string, string>[]
  phase2: {
    message_id: string
    keymat_for_responder_spi: string
    keymat_for_initiator_spi: string
    spi_in_initiator_proposal: string
    spi_in_responder_proposal: string
  }[]
  esp_packets: { spi: string; esp: string; inner: string }[]
}

const session = JSON.parse(
  readFileSync(new URL('../../vectors/ike-session-v1-psk.json', import.meta.url), 'utf8'),
) as Session
const messages = session.ike_messages.map((m) => {
  const bytes = fromHex(m.message)
  return { ...m, bytes, header: parseIkeHeader(bytes) }
})
const p1 = session.phase1[0]!
const p2 = session.phase2[0]!
const at = (name: string): Uint8Array => fromHex(p1[name]!)
const prfId = PRF.HMAC_SHA1

const body = (payloads: readonly Payload[], type: number): Uint8Array =>
  payloads.find((p) => p.type === type)!.body
const clearPayloads = (i: number): Payload[] =>
  parsePayloads(messages[i]!.bytes.subarray(IKE_HEADER_LEN), messages[i]!.header.nextPayload)

// What follows is recomputed from the PSK, the messages and g^xy.
const [m1, m2, m3, m4] = [clearPayloads(0), clearPayloads(1), clearPayloads(2), clearPayloads(3)]
const x = {
  ci: messages[1]!.header.initiatorSpi,
  cr: messages[1]!.header.responderSpi,
  ni: body(m3!, PAYLOAD.NONCE),
  nr: body(m4!, PAYLOAD.NONCE),
  gxi: body(m3!, PAYLOAD.KE),
  gxr: body(m4!, PAYLOAD.KE),
}
const skeyid = skeyidPsk(prfId, fromHex(session.psk), x.ni, x.nr)
const s = deriveSkeyids(prfId, skeyid, at('dh_shared'), x.ci, x.cr)
const key = encryptionKey(prfId, s.e, 16)
const phase1Last = lastBlock(messages[5]!.bytes)

describe('Main Mode', () => {
  test('keys', () => {
    expect([hex(x.ci), hex(x.cr)]).toEqual([p1.cky_i, p1.cky_r])
    expect(hex(skeyid)).toBe(p1.skeyid)
    expect([hex(s.d), hex(s.a), hex(s.e)]).toEqual([p1.skeyid_d, p1.skeyid_a, p1.skeyid_e])
    expect(hex(key)).toBe(p1.encryption_key)
  })

  test('proposals: the offer and the choice are read and written octet for octet', () => {
    for (const payloads of [m1!, m2!]) {
      const sa = body(payloads, PAYLOAD.SA)
      expect(hex(emitSa(parseSa(sa)))).toBe(hex(sa))
      const ours = [parseIkeProposal('aes256-sha256-ecp256'), parseIkeProposal('aes128-sha1-modp2048')]
      const choice = choosePhase1(ours, parseSa(sa))
      expect(choice?.proposal).toEqual(ours[1])
      expect(choice?.lifeSeconds).toBe(15_840)
    }
  })

  test('vendor IDs', () => {
    const names = (payloads: Payload[]): unknown[] =>
      payloads.filter((p) => p.type === PAYLOAD.VID).map((p) => vendorOf(p.body))
    expect(names(m1!)).toEqual(['XAUTH', 'DPD', 'FRAGMENTATION', 'NAT_T', undefined])
    expect(names(m2!)).toEqual(['XAUTH', 'DPD', 'FRAGMENTATION', 'NAT_T'])
  })

  test('NAT-D: each confirms the destination and hides the source, to get UDP encapsulation', () => {
    const endpoints = ['10.99.0.1', '10.99.0.2'].map((text) => ({ address: parseIp(text)!, port: 500 }))
    for (const [payloads, source, destination] of [
      [m3!, endpoints[0]!, endpoints[1]!],
      [m4!, endpoints[1]!, endpoints[0]!],
    ] as const) {
      const sent = payloads.filter((p) => p.type === PAYLOAD.NAT_D).map((p) => hex(p.body))
      expect(sent[0]).toBe(hex(natHash(prfId, x.ci, x.cr, destination)))
      expect(sent[1]).not.toBe(hex(natHash(prfId, x.ci, x.cr, source)))
    }
  })

  test('messages 5 and 6: IV chain, identities, HASH_I and HASH_R', () => {
    const sai = body(m1!, PAYLOAD.SA)
    const iv = phase1Iv(prfId, x.gxi, x.gxr, 16)
    expect(hex(iv)).toBe(p1.initial_iv)
    const five = open(messages[4]!.header, messages[4]!.bytes, key, iv)
    expect(hex(five.plaintext)).toBe(messages[4]!.plaintext)
    const idii = body(five.payloads, PAYLOAD.ID)
    expect(hex(idii)).toBe(p1.idi_b)
    expect(hex(hashI(prfId, skeyid, x, sai, idii))).toBe(hex(body(five.payloads, PAYLOAD.HASH)))
    expect(parseNotify(body(five.payloads, PAYLOAD.NOTIFY)).type).toBe(NOTIFY.INITIAL_CONTACT)
    expect(hex(five.nextIv)).toBe(messages[5]!.iv)
    const six = open(messages[5]!.header, messages[5]!.bytes, key, five.nextIv)
    expect(hex(six.plaintext)).toBe(messages[5]!.plaintext)
    const idir = body(six.payloads, PAYLOAD.ID)
    expect(hex(hashR(prfId, skeyid, x, sai, idir))).toBe(hex(body(six.payloads, PAYLOAD.HASH)))
    expect(parseId(idir)).toMatchObject({ type: 2, protocol: 0, port: 0 })
  })

  test('sealing the payloads of message 5 again gives its octets', () => {
    const five = open(messages[4]!.header, messages[4]!.bytes, key, phase1Iv(prfId, x.gxi, x.gxr, 16))
    const head = { ci: x.ci, cr: x.cr, exchange: EXCHANGE.MAIN_MODE, messageId: 0 }
    const sealed = seal(head, five.payloads, key, phase1Iv(prfId, x.gxi, x.gxr, 16))
    expect(hex(sealed.message)).toBe(session.ike_messages[4]!.message)
  })
})

describe('Quick Mode', () => {
  const mid = messages[6]!.header.messageId
  const one = open(messages[6]!.header, messages[6]!.bytes, key, phase2Iv(prfId, phase1Last, mid, 16))
  const two = open(messages[7]!.header, messages[7]!.bytes, key, one.nextIv)
  const three = open(messages[8]!.header, messages[8]!.bytes, key, two.nextIv)
  const ni = body(one.payloads, PAYLOAD.NONCE)
  const nr = body(two.payloads, PAYLOAD.NONCE)

  test('IV chain and plaintexts', () => {
    expect(messages.slice(6, 9).map((m) => m.iv)).toEqual([
      hex(phase2Iv(prfId, phase1Last, mid, 16)),
      hex(one.nextIv),
      hex(two.nextIv),
    ])
    expect([one, two, three].map((o) => hex(o.plaintext))).toEqual(
      messages.slice(6, 9).map((m) => m.plaintext),
    )
  })

  test('HASH(1), HASH(2), HASH(3)', () => {
    expect(verifyHash(one, (rest) => hash1(prfId, s.a, mid, rest))).toBe(true)
    expect(verifyHash(two, (rest) => hash2(prfId, s.a, mid, ni, rest))).toBe(true)
    expect(hex(hash3(prfId, s.a, mid, ni, nr))).toBe(hex(body(three.payloads, PAYLOAD.HASH)))
    expect(verifyHash(one, (rest) => hash1(prfId, s.a, mid ^ 1, rest))).toBe(false)
  })

  test('proposals, selectors and SPIs', () => {
    expect(phase2Fields(parseSa(body(one.payloads, PAYLOAD.SA)))).toEqual([
      {
        protocol: 'esp',
        encryption: 'aes128',
        integrity: 'sha1',
        pfs: 'none',
        mode: 'tunnel in UDP',
        numbers: 'noesn',
      },
    ])
    const ids = one.payloads.filter((p) => p.type === PAYLOAD.ID).map((p) => selectorOfId(parseId(p.body)))
    expect(ids.map(formatSelector)).toEqual(['10.99.1.1/32', '10.99.2.1/32'])
    const spi = parseSa(body(two.payloads, PAYLOAD.SA)).proposals[0]!.spi
    expect(hex(spi)).toBe(p2.spi_in_responder_proposal)
  })

  test('KEYMAT of both directions, and the packets that it protects', () => {
    const keymat = (spi: string): Uint8Array =>
      childKeymat({ prfId, d: s.d, gxy: new Uint8Array(0), ni, nr, protocol: 3 }, fromHex(spi), 36)
    const keys = new Map([
      [p2.spi_in_responder_proposal, keymat(p2.spi_in_responder_proposal)],
      [p2.spi_in_initiator_proposal, keymat(p2.spi_in_initiator_proposal)],
    ])
    expect(hex(keys.get(p2.spi_in_responder_proposal)!)).toBe(p2.keymat_for_responder_spi)
    expect(hex(keys.get(p2.spi_in_initiator_proposal)!)).toBe(p2.keymat_for_initiator_spi)
    expect(INTEG.HMAC_SHA1_96).toBe(2)
    for (const packet of session.esp_packets) {
      const esp = fromHex(packet.esp)
      const k = keys.get(packet.spi)!
      const icv = createHmac('sha1', k.subarray(16)).update(esp.subarray(0, -12)).digest()
      expect(hex(icv.subarray(0, 12))).toBe(hex(esp.subarray(-12)))
      const d = createDecipheriv('aes-128-cbc', k.subarray(0, 16), esp.subarray(8, 24)).setAutoPadding(false)
      const inner = Buffer.concat([d.update(esp.subarray(24, -12)), d.final()])
      expect(hex(inner).startsWith(packet.inner)).toBe(true)
    }
  })
})

describe('Informational', () => {
  test.each([9, 10])('message %i: HASH(1) and Delete', (i) => {
    const { header, bytes, plaintext } = messages[i]!
    const opened = open(header, bytes, key, phase2Iv(prfId, phase1Last, header.messageId, 16))
    expect(hex(opened.plaintext)).toBe(plaintext)
    expect(verifyHash(opened, (rest) => hash1(prfId, s.a, header.messageId, rest))).toBe(true)
    const d = parseDelete(body(opened.payloads, PAYLOAD.DELETE))
    if (i === 9) expect([d.protocol, spiNumber(d.spis[0]!)]).toEqual([3, 0x40dae2ad])
    else expect([d.protocol, hex(d.spis[0]!)]).toEqual([1, hex(x.ci) + hex(x.cr)])
  })
})
