import { describe, expect, test } from 'vitest'
import { fromHex, utf8 } from '../../../src/bytes/octets.js'
import { emitMessage, parseMessage, type ViciMessage } from '../../../src/daemon/control/vici-message.js'
import { WireError } from '../../../src/errors.js'

const octets = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))

// The example of the protocol's own description (strongSwan, plugins/vici/README.md, "Encoding example").
const EXAMPLE = octets(
  '\x03\x04key1\x00\x06value1' +
    '\x01\x08section1' +
    '\x01\x0bsub-section' +
    '\x03\x04key2\x00\x06value2' +
    '\x02' +
    '\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06' +
    '\x02',
)
const EXAMPLE_VALUE: ViciMessage = {
  key1: 'value1',
  section1: { 'sub-section': { key2: 'value2' }, list1: ['item1', 'item2'] },
}

describe('vici messages', () => {
  test.each<[string, Uint8Array, ViciMessage]>([
    ['the protocol description’s example', EXAMPLE, EXAMPLE_VALUE],
    ['nothing', new Uint8Array(), {}],
    ['one section', octets('\x01\x07section\x02'), { section: {} }],
    ['nested sections', octets('\x01\x05outer\x01\x0asubsection\x02\x02'), { outer: { subsection: {} } }],
    ['an empty list', octets('\x04\x05empty\x06'), { empty: [] }],
    ['a list of one', octets('\x04\x01l\x05\x00\x02e1\x06'), { l: ['e1'] }],
    ['a list of two', octets('\x04\x01l\x05\x00\x02e1\x05\x00\x02e2\x06'), { l: ['e1', 'e2'] }],
    ['a key and value', octets('\x03\x03key\x00\x05value'), { key: 'value' }],
    ['an empty value', octets('\x03\x0azerolength\x00\x00'), { zerolength: '' }],
  ])('%s', (_, wire, value) => {
    expect(parseMessage(wire)).toEqual(value)
    expect(emitMessage(value)).toEqual(wire)
  })

  test.each<[string, Uint8Array]>([
    ['a section without end', octets('\x01\x08unclosed')],
    ['an end without section', octets('\x02')],
    ['a section in a list', octets('\x04\x07invalid\x05\x00\x02e1\x02\x03sec\x06')],
    ['an item outside a list', octets('\x05\x00\x02e1')],
    ['a list without end', octets('\x04\x01l\x05\x00\x02e1')],
    ['a list end alone', octets('\x06')],
    ['an unknown element', octets('\x07\x01a')],
    ['a name cut off', octets('\x03\x05key')],
    ['a value cut off', octets('\x03\x03key\x00\x05val')],
    ['a value length cut off', octets('\x03\x03key\x00')],
    ['sections nested without bound', octets('\x01\x01a'.repeat(100_000))],
  ])('refuses %s', (_, wire) => {
    expect(() => parseMessage(wire)).toThrow(WireError)
  })

  test('a name like a property of all objects stays a name', () => {
    const wire = emitMessage(parseMessage(octets('\x03\x09__proto__\x00\x01x\x03\x0bconstructor\x00\x01y')))
    const message = parseMessage(wire)
    expect(Object.keys(message)).toEqual(['__proto__', 'constructor'])
    expect(({} as Record<string, unknown>).x).toBeUndefined()
  })

  test('text is UTF-8; what is not is shown as such', () => {
    expect(parseMessage(emitMessage({ k: 'dom0-ä' }))).toEqual({ k: 'dom0-ä' })
    expect(parseMessage(fromHex('03016b0001ff'))).toEqual({ k: '\ufffd' })
    expect(emitMessage({ k: 'ä' })).toEqual(Uint8Array.of(3, 1, 0x6b, 0, 2, ...utf8('ä')))
  })

  test('values that the format cannot say are refused', () => {
    expect(() => emitMessage({ k: 'x'.repeat(65_536) })).toThrow(/65536/)
    expect(() => emitMessage({ ['k'.repeat(256)]: 'x' })).toThrow(/256/)
  })
})
