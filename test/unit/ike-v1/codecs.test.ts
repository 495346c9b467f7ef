import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { attributeNumber, numberAttribute } from '../../../src/wire/ike/v1/attributes.js'
import {
  emitId,
  emitNatOa,
  idOfSelector,
  parseId,
  parseNatOa,
  selectorOfId,
} from '../../../src/wire/ike/v1/id.js'
import { parseDelete, parseNotify } from '../../../src/wire/ike/v1/notify.js'
import { NOTIFY, notifyName } from '../../../src/wire/ike/v1/numbers.js'
import { emitSa, parseSa } from '../../../src/wire/ike/v1/sa.js'
import { vendorOf } from '../../../src/wire/ike/v1/vendor-ids.js'
import { parseIp, parsePrefix } from '../../../src/wire/ip-address.js'
import { formatSelector, selectorOf } from '../../../src/wire/traffic-selector.js'

// One proposal for ISAKMP with one transform: AES-CBC, 128 bits.
const SA = '0000000100000001000000180101000100000010010100008001000780 0e0080'.replace(' ', '')

describe('SA payload', () => {
  test('reads and writes', () => {
    const sa = parseSa(fromHex(SA))
    expect(sa).toMatchObject({ doi: 1, situation: 1, proposals: [{ number: 1, protocol: 1 }] })
    expect(sa.proposals[0]!.transforms[0]!.attributes.map(attributeNumber)).toEqual([7, 128])
    expect(hex(emitSa(sa))).toBe(SA)
  })
  test.each([
    ['no proposal', SA.slice(0, 16)],
    ['a proposal that says another follows', `${SA.slice(0, 16)}02${SA.slice(18)}`],
    ['an unknown substructure', `${SA.slice(0, 16)}07${SA.slice(18)}`],
    ['a proposal without transform', `${SA.slice(0, 30)}00${SA.slice(32)}`],
    ['more transforms than there are', `${SA.slice(0, 30)}02${SA.slice(32)}`],
    ['a length below four', `${SA.slice(0, 20)}0003${SA.slice(24)}`],
    ['octets left over', `${SA}00`],
    ['an attribute cut short', `${SA.slice(0, -2)}`],
  ])('refuses %s', (_name, text) => {
    expect(() => parseSa(fromHex(text))).toThrow(/ at octet /)
  })
  test('refuses more than it would ever need', () => {
    const transform = { number: 1, id: 1, attributes: [] }
    const proposal = { number: 1, protocol: 1, spi: new Uint8Array(0), transforms: [transform] }
    const many = { doi: 1, situation: 1, proposals: new Array(33).fill(proposal) }
    expect(() => parseSa(emitSa(many))).toThrow('more than 32')
  })
})

describe('attributes', () => {
  test('two octets in place, four where two do not suffice', () => {
    expect(numberAttribute(12, 28_800)).toEqual({ type: 12, basic: true, value: Uint8Array.of(0x70, 0x80) })
    const long = numberAttribute(12, 86_400)
    expect([long.basic, hex(long.value), attributeNumber(long)]).toEqual([false, '00015180', 86_400])
  })
  test('a number too long to be one', () => {
    expect(attributeNumber({ type: 1, basic: false, value: new Uint8Array(8).fill(255) })).toBeUndefined()
    expect(attributeNumber({ type: 1, basic: false, value: new Uint8Array(0) })).toBeUndefined()
  })
})

describe('identities as selectors', () => {
  test.each([
    ['10.1.2.3/32', '010000000a010203'],
    ['10.1.0.0/16', '040000000a010000ffff0000'],
    ['0.0.0.0/0', '040000000000000000000000'],
    ['2001:db8::1/128', '0500000020010db8000000000000000000000001'],
    ['2001:db8::/33', `0600000020010db8${'0'.repeat(24)}ffffffff80${'0'.repeat(22)}`],
  ])('%s', (text, body) => {
    const ts = selectorOf(parsePrefix(text)!)
    expect(hex(emitId(idOfSelector(ts)!))).toBe(body)
    expect(formatSelector(selectorOfId(parseId(fromHex(body))))).toBe(text)
  })
  test('protocol, port and range', () => {
    const ts = {
      start: parseIp('10.0.0.1')!,
      end: parseIp('10.0.0.9')!,
      protocol: 6,
      startPort: 22,
      endPort: 22,
    }
    expect(hex(emitId(idOfSelector(ts)!))).toBe('070600160a0000010a000009')
    expect(selectorOfId(idOfSelector(ts)!)).toEqual(ts)
    expect(idOfSelector({ ...ts, endPort: 23 })).toBeUndefined()
  })
  test.each([
    ['a mask with holes', '040000000a010000ff00ff00'],
    ['a mask with a hole inside an octet', '040000000a010000ffa00000'],
    ['a range that runs backwards', '070000000a0000090a000001'],
    ['an address of the wrong length', '010000000a0102'],
    ['a name', '02000000612e6578'],
    ['nothing', '01000000'],
  ])('refuses %s', (_name, body) => {
    expect(() => selectorOfId(parseId(fromHex(body)))).toThrow(/ at octet /)
  })
  test('NAT-OA', () => {
    const ip = parseIp('192.0.2.9')!
    expect(parseNatOa(emitNatOa(ip))).toEqual(ip)
    expect(() => parseNatOa(fromHex('040000000a010000ffff0000'))).toThrow('no address')
  })
})

describe('notify and delete', () => {
  test('INITIAL_CONTACT as strongSwan sends it', () => {
    const n = parseNotify(fromHex('0000000101106002f571130959d358ab762a69872742f52d'))
    expect([n.type, notifyName(n.type), n.spi.length]).toEqual([
      NOTIFY.INITIAL_CONTACT,
      'INITIAL_CONTACT',
      16,
    ])
    expect(notifyName(4711)).toBe('notify 4711')
  })
  test.each([
    ['a count above the SPIs', '000000010304000240dae2ad'],
    ['octets left over', '000000010304000140dae2ad00'],
    ['SPIs of no length', '0000000103000001'],
    ['too many', '000000010304ffff'],
  ])('Delete refuses %s', (_name, body) => {
    expect(() => parseDelete(fromHex(body))).toThrow(/ at octet /)
  })
})

test('vendor IDs: only fragmentation has flags behind it', () => {
  expect(vendorOf(fromHex('4a131c81070358455c5728f20e95452f'))).toBe('NAT_T')
  expect(vendorOf(fromHex('4a131c81070358455c5728f20e95452f00'))).toBeUndefined()
  expect(vendorOf(fromHex('4048b7d56ebce88525e7de7f00d6c2d380000000'))).toBe('FRAGMENTATION')
})
