import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex } from '../../../src/bytes/octets.js'
import { WireError } from '../../../src/errors.js'
import { PREPHASE_MESSAGE_MAX, parsePrephase, VENDOR_ID } from '../../../src/ike/prephase/messages.js'
import { parseIkeHeader } from '../../../src/wire/ike/header.js'
import { emitMessage, type PayloadInit } from '../../../src/wire/ike/payloads.js'

const { cases } = JSON.parse(
  readFileSync(new URL('../../vectors/prephase.json', import.meta.url), 'utf8'),
) as {
  cases: { scheme: 'classic' | 'hardened'; m1: string; m2: string; m3: string; m4: string }[]
}
const classic = cases.find((c) => c.scheme === 'classic')!
const hardened = cases.find((c) => c.scheme === 'hardened')!

const parse = (message: Uint8Array) => parsePrephase(parseIkeHeader(message), message)

/** The WireError that the message gives. */
function fault(message: Uint8Array): WireError {
  try {
    parse(message)
  } catch (error) {
    if (error instanceof WireError) return error
    throw error
  }
  throw new Error('the message was accepted')
}

function changed(message: string, at: number, value: number): Uint8Array {
  const m = fromHex(message)
  m[at] = value
  return m
}

const COOKIE = fromHex('0102030405060708')
const NO_COOKIE = new Uint8Array(8)
const build = (step: number, payloads: PayloadInit[], cr = step === 1 ? NO_COOKIE : COOKIE): Uint8Array =>
  emitMessage(
    { initiatorSpi: COOKIE, responderSpi: cr, version: 0x10, exchange: 241, flags: 0, messageId: step },
    payloads,
  )
const vid = (scheme: 'classic' | 'hardened') => ({ type: 13, body: VENDOR_ID[scheme] })
const id = (length = 18) => ({
  type: 5,
  body: Uint8Array.from([2, 0, 0, 0, ...new Uint8Array(length - 4).fill(0x61)]),
})
const nonce = (length = 32) => ({ type: 10, body: new Uint8Array(length).fill(0x40) })
const hash = (length = 32) => ({ type: 8, body: new Uint8Array(length).fill(9) })
const labelled = () => {
  const body = nonce(44).body
  body.set([0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  return { type: 10, body }
}

test('the vendor IDs are the first 16 octets of SHA-256 of the schemes’ names', () => {
  expect(Buffer.from(VENDOR_ID.classic).toString('hex')).toBe(classic.m1.slice(64, 96))
  expect(Buffer.from(VENDOR_ID.hardened).toString('hex')).toBe(hardened.m1.slice(64, 96))
  expect(VENDOR_ID.classic.length).toBe(16)
})

describe('accepted', () => {
  test.each([
    ['classic 1', build(1, [vid('classic'), id(), nonce()])],
    ['classic 2', build(2, [vid('classic'), id(), hash(), nonce()])],
    ['step 3', build(3, [hash()])],
    ['classic 4', build(4, [{ type: 11, body: fromHex('0000000101004000') }])],
    ['hardened 1', build(1, [vid('hardened'), id(), labelled(), hash()])],
    ['hardened 2', build(2, [vid('hardened'), id(), nonce(), hash()])],
    ['hardened 4', build(4, [hash()])],
    ['an ID value of one octet', build(1, [vid('classic'), id(5), nonce()])],
    ['an ID value of 255 octets', build(1, [vid('hardened'), id(259), labelled(), hash()])],
  ])('%s', (_name, message) => {
    expect(parse(message).step).toBe(message[23])
  })
})

describe('refused, with the field that is wrong', () => {
  test.each<[string, string, Uint8Array]>([
    ['version 2', 'header.version', changed(hardened.m1, 17, 0x20)],
    ['version 1.1', 'header.version', changed(hardened.m1, 17, 0x11)],
    ['another exchange', 'header.exchange', changed(hardened.m1, 18, 2)],
    ['flags', 'header.flags', changed(hardened.m3, 19, 1)],
    ['step 0', 'header.messageId', changed(hardened.m3, 23, 0)],
    ['step 5', 'header.messageId', changed(hardened.m3, 23, 5)],
    ['step 256 + 3', 'header.messageId', changed(hardened.m3, 22, 1)],
    [
      'no initiator cookie',
      'header.initiatorSpi',
      Uint8Array.from([...NO_COOKIE, ...fromHex(hardened.m3).subarray(8)]),
    ],
    ['no responder cookie in step 3', 'header.responderSpi', build(3, [hash()], NO_COOKIE)],
    [
      'a responder cookie in step 1',
      'header.responderSpi',
      build(1, [vid('classic'), id(), nonce()], COOKIE),
    ],
    ['step 3 under number 1', 'header.responderSpi', changed(hardened.m3, 23, 1)],
    ['step 3 under number 2', 'VID', changed(hardened.m3, 23, 2)],
    ['an unknown vendor ID', 'VID', build(1, [{ type: 13, body: new Uint8Array(16) }, id(), nonce()])],
    [
      'a vendor ID of 15 octets',
      'VID',
      build(1, [{ type: 13, body: VENDOR_ID.classic.subarray(0, 15) }, id(), nonce()]),
    ],
    [
      'a vendor ID of 20 octets',
      'VID.length',
      build(1, [{ type: 13, body: Uint8Array.from([...VENDOR_ID.classic, 0, 0, 0, 0]) }, id(), nonce()]),
    ],
    ['another first payload', 'VID', build(1, [{ type: 43, body: VENDOR_ID.classic }, id(), nonce()])],
    ['payloads in another order', 'ID', build(1, [vid('classic'), nonce(), id()])],
    ['classic order in hardened', 'NONCE', build(2, [vid('hardened'), id(), hash(), nonce()])],
    ['hardened order in classic', 'HASH', build(2, [vid('classic'), id(), nonce(), hash()])],
    ['a missing payload', 'NONCE', build(1, [vid('classic'), id()])],
    ['a payload too many', 'payloads', build(1, [vid('classic'), id(), nonce(), hash()])],
    ['a payload twice', 'payloads', build(3, [hash(), hash()])],
    ['no payload', 'HASH', build(3, [])],
    ['a nonce of 31 octets', 'NONCE.length', build(1, [vid('classic'), id(), nonce(31)])],
    ['a nonce of 33 octets', 'NONCE.length', build(1, [vid('classic'), id(), nonce(33)])],
    ['a nonce without label', 'NONCE.length', build(1, [vid('hardened'), id(), nonce(32), hash()])],
    [
      'a label beyond TAI64',
      'NONCE',
      build(1, [vid('hardened'), id(), { type: 10, body: new Uint8Array(44).fill(0xff) }, hash()]),
    ],
    ['a hash of 20 octets', 'HASH.length', build(3, [hash(20)])],
    ['a hash of 64 octets', 'HASH.length', build(3, [hash(64)])],
    ['an ID without value', 'ID.length', build(1, [vid('classic'), id(4), nonce()])],
    ['an ID value of 256 octets', 'ID.length', build(1, [vid('classic'), id(260), nonce()])],
    [
      'an ID with a protocol',
      'ID',
      build(1, [vid('classic'), { type: 5, body: Uint8Array.of(2, 17, 1, 0xf4, 0x61) }, nonce()]),
    ],
    ['another notification', 'N', build(4, [{ type: 11, body: fromHex('0000000101004001') }])],
    ['a notification with data', 'N.length', build(4, [{ type: 11, body: fromHex('000000010100400000') }])],
    ['a reserved octet', 'VID.reserved', changed(hardened.m1, 29, 0x80)],
    ['a payload length of 3', 'HASH.length', changed(hardened.m3, 31, 3)],
    ['a payload longer than the message', 'HASH.length', changed(hardened.m3, 31, 200)],
    ['a next payload behind the last', 'payloads', changed(hardened.m3, 28, 8)],
    ['the header alone', 'HASH', build(3, [])],
  ])('%s', (_name, field, message) => {
    expect(fault(message).field).toBe(field)
  })

  test('octets behind the last payload', () => {
    const message = Uint8Array.from([...fromHex(hardened.m3), 0])
    message[27]! += 1
    expect(fault(message).field).toBe('payloads')
  })

  test('more octets than any message has', () => {
    const long = build(1, [vid('classic'), id(), nonce(PREPHASE_MESSAGE_MAX)])
    expect(fault(long).field).toBe('header.length')
  })

  test('every truncation of every message', () => {
    for (const m of [classic, hardened].flatMap((c) => [c.m1, c.m2, c.m3, c.m4])) {
      for (let length = 28; length < m.length / 2; length++) {
        const cut = fromHex(m.slice(0, length * 2))
        new DataView(cut.buffer).setUint32(24, length)
        fault(cut)
      }
    }
  })
})
