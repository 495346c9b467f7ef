import { describe, expect, test } from 'vitest'
import { WireError } from '../../../src/errors.js'
import {
  type Attribute,
  be32,
  cString,
  decodeAttributeList,
  decodeAttributes,
  decodeMessages,
  encodeAttributes,
  encodeMessage,
  host32,
  NLM_F_ACK,
  NLMSG_HEADER_LEN,
  u16,
  u32,
} from '../../../src/net/netlink-message.js'
import {
  addressIn,
  inputDeviceIsNot,
  markIs,
  type NftExpression,
  portIn,
  selectorsMatch,
  verdict,
} from '../../../src/net/nft-expressions.js'
import { parseIp, parsePrefix } from '../../../src/wire/ip-address.js'
import { selectorOf } from '../../../src/wire/traffic-selector.js'

const octets = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))

describe('netlink attributes', () => {
  test('length without padding, padded to four octets, nested flag', () => {
    expect(encodeAttributes([[3, cString('tun0')]])).toEqual(octets('0900 0300 74756e30 00 000000'))
    expect(encodeAttributes([[1, [[2, u16(0x1234)]]]])).toEqual(octets('0c00 0180 0600 0200 3412 0000'))
    expect(encodeAttributes([[8, new Uint8Array(0)]])).toEqual(octets('0400 0800'))
  })

  test('decode drops the flags, keeps order and repetitions', () => {
    const list: Attribute[] = [
      [1, [[5, u32(7)]]],
      [1, [[5, u32(8)]]],
      [2, Uint8Array.of(9)],
    ]
    const decoded = decodeAttributeList(encodeAttributes(list))
    expect(decoded.map(([type]) => type)).toEqual([1, 1, 2])
    expect(host32(decodeAttributes(decoded[1]![1]).get(5)!)).toBe(8)
    expect(decoded[2]![1]).toEqual(Uint8Array.of(9))
  })

  test.each(['0300 0100', '0900 0100 00000000', '0800 0100 000000', '04 00'])('%s is refused', (text) => {
    expect(() => decodeAttributes(octets(text))).toThrow(WireError)
  })

  test('an attribute that its length field cannot say is refused', () => {
    expect(() => encodeAttributes([[1, new Uint8Array(65_532)]])).toThrow(/65532 octets/)
  })
})

describe('netlink messages', () => {
  test('header fields in host order', () => {
    const message = encodeMessage({ type: 24, flags: NLM_F_ACK, body: Uint8Array.of(1, 2) }, 0x01020304)
    expect(message).toEqual(octets('12000000 1800 0500 04030201 00000000 0102 0000'))
  })

  test('several in one datagram, the last one without padding', () => {
    const first = encodeMessage({ type: 1, flags: 0, body: Uint8Array.of(1) }, 1)
    const second = encodeMessage({ type: 2, flags: 0, body: Uint8Array.of(2, 3) }, 2).subarray(0, 18)
    const decoded = decodeMessages(Buffer.concat([first, second]))
    expect(decoded.map((m) => [m.type, m.sequence, [...m.body]])).toEqual([
      [1, 1, [1]],
      [2, 2, [2, 3]],
    ])
  })

  test.each([0, 8, 15, 21])('a length of %i in a message of 20 octets is refused', (length) => {
    const message = encodeMessage({ type: 1, flags: 0, body: new Uint8Array(4) }, 1)
    message[0] = length
    expect(() => decodeMessages(message)).toThrow(WireError)
  })

  test('a header that is cut off is refused', () => {
    expect(() => decodeMessages(new Uint8Array(NLMSG_HEADER_LEN - 1))).toThrow(WireError)
  })
})

/** Name and data attributes of an expression. */
function shown(e: NftExpression): [string, Map<number, Uint8Array>] {
  const both = decodeAttributes(encodeAttributes(e))
  return [Buffer.from(both.get(1)!).toString().replace('\0', ''), decodeAttributes(both.get(2)!)]
}
const compared = (e: NftExpression): Uint8Array => decodeAttributes(shown(e)[1].get(3)!).get(1)!

describe('nf_tables expressions', () => {
  test('a device name is compared with all of its 16 octets', () => {
    const [load, cmp] = inputDeviceIsNot('sally0')
    expect(shown(load!)[1].get(2)).toEqual(be32(6))
    expect(shown(cmp!)[1].get(2)).toEqual(be32(1))
    expect(compared(cmp!)).toEqual(new Uint8Array(Buffer.from('sally0'.padEnd(16, '\0'))))
  })

  test('a mark is a number of the host, attributes are in network order', () => {
    const [load, cmp] = markIs(0x5a11)
    expect(shown(load!)).toEqual([
      'meta',
      new Map([
        [2, octets('00000003')],
        [1, octets('00000001')],
      ]),
    ])
    expect(compared(cmp!)).toEqual(octets('115a0000'))
  })

  test('a range has two comparisons, one address one, all addresses none', () => {
    const range = addressIn('source', parseIp('10.0.0.0')!, parseIp('10.0.0.255')!)
    expect(range.map((e) => shown(e)[0])).toEqual(['payload', 'cmp', 'cmp'])
    expect(range.slice(1).map((e) => shown(e)[1].get(2))).toEqual([be32(5), be32(3)])
    expect(addressIn('destination', parseIp('10.0.0.1')!, parseIp('10.0.0.1')!)).toHaveLength(2)
    expect(addressIn('source', parseIp('0.0.0.0')!, parseIp('255.255.255.255')!)).toEqual([])
    expect(portIn('source', 0, 65_535)).toEqual([])
    expect(portIn('destination', 1024, 65_535)).toHaveLength(2)
  })

  test('addresses are where their family has them', () => {
    const offsets = (['source', 'destination'] as const).flatMap((side) =>
      ['10.0.0.1', 'fd00::1'].map(
        (ip) => shown(addressIn(side, parseIp(ip)!, parseIp(ip)!)[0]!)[1].get(3)![3],
      ),
    )
    expect(offsets).toEqual([12, 8, 16, 24])
  })

  test('selectors with a protocol on one side are of that protocol', () => {
    const any = selectorOf(parsePrefix('10.0.0.1/32')!)
    const tcp = { ...selectorOf(parsePrefix('10.0.0.2/32')!, 6), startPort: 22, endPort: 22 }
    const names = (list: NftExpression[]): string[] => list.map((e) => shown(e)[0])
    const pair = ['payload', 'cmp']
    expect(names(selectorsMatch(any, any))).toEqual(['meta', 'cmp', ...pair, ...pair])
    expect(names(selectorsMatch(any, tcp))).toEqual(['meta', 'cmp', ...pair, ...pair, 'meta', 'cmp', ...pair])
    expect(names(selectorsMatch(tcp, any))).toEqual(names(selectorsMatch(any, tcp)))
  })

  test('a verdict', () => {
    const data = shown(verdict('accept'))[1].get(2)!
    expect(decodeAttributes(decodeAttributes(data).get(2)!).get(1)).toEqual(be32(1))
  })
})
