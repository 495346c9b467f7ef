import { afterAll, beforeAll, expect, test } from 'vitest'
import { fromHex, utf8 } from '../../../src/bytes/octets.js'
import { parseManualKeys } from '../../../src/daemon/config/manual-keys.js'
import { lineOf, Scenario } from './scenario.js'

let s: Scenario
beforeAll(() => {
  s = new Scenario()
})
afterAll(() => s.remove())

const aes = (octet: string) => octet.repeat(16)
const sha = (octet: string) => octet.repeat(32)
const KEYS = `# keys of a pair
0x1001 encryption 0x${aes('a1')}
0x1001 integrity 0x${sha('a2')}
4098 encryption ${aes('b1')}
4098 integrity ${sha('b2')}
`

const config = (out: string, inbound: string, more = ''): string => `tun: { addresses: [10.88.1.1/32] }
peers:
  b:
    local: 192.0.2.1
    remote: 192.0.2.2
    encapsulation: raw
    children:
      m:
        local: [10.88.1.1]
        remote: [10.88.2.1]
${more}        manual:
          - { direction: outbound, ${out}, keys_file: sa.keys }
          - { direction: inbound, ${inbound}, keys_file: sa.keys }
`
const OUT = 'spi: 0x1001, algorithms: aes128-sha256'
const IN = 'spi: 0x1002, algorithms: aes128-sha256'

test('manual SAs have their keys, no ESN and no replay window', () => {
  s.write('sa.keys', KEYS)
  const { manual, policies, ike } = s.load(config(OUT, IN))
  expect(ike).toEqual([])
  expect(policies).toMatchObject([{ id: 1, peer: 'b', child: 'm', manual: true, transparent: false }])
  expect(manual).toMatchObject([
    { direction: 'outbound', spi: 0x1001, policy: 1, esn: false, replayWindow: 0, lifetime: {} },
    { direction: 'inbound', spi: 0x1002, policy: 1, esn: false, replayWindow: 0, lifetime: {} },
  ])
  expect(manual[0]?.encryption).toEqual({ id: 12, key: fromHex(aes('a1')) })
  expect(manual[0]?.integrity).toEqual({ id: 12, key: fromHex(sha('a2')) })
  expect(manual[1]?.encryption?.key).toEqual(fromHex(aes('b1')))
  expect(manual[0]?.udp).toBeUndefined()
  const udp = s.load(config(OUT, IN).replace('encapsulation: raw', 'encapsulation: udp'))
  expect(udp.manual[0]?.udp).toEqual({ localPort: 4500, remotePort: 4500 })
})

test.each<[string, string, string, string, RegExp]>([
  [
    'GCM',
    OUT.replace('aes128-sha256', 'aes128gcm16'),
    IN,
    'peers.b.children.m.manual[0].algorithms',
    /counter-mode.*RFC 8221 section 4/,
  ],
  [
    'ChaCha20',
    OUT.replace('aes128-sha256', 'chacha20poly1305'),
    IN,
    'peers.b.children.m.manual[0].algorithms',
    /counter-mode/,
  ],
  [
    'CTR',
    OUT,
    IN.replace('aes128-sha256', 'aes128ctr-sha256'),
    'peers.b.children.m.manual[1].algorithms',
    /counter-mode/,
  ],
  ...['aes128ccm8', 'aes128gmac'].map((algorithms): [string, string, string, string, RegExp] => [
    algorithms,
    OUT.replace('aes128-sha256', algorithms),
    IN,
    'peers.b.children.m.manual[0].algorithms',
    /counter-mode/,
  ]),
  [
    'no integrity',
    OUT.replace('aes128-sha256', 'aes128'),
    IN,
    'peers.b.children.m.manual[0].algorithms',
    /integrity/,
  ],
  [
    'a group',
    OUT.replace('aes128-sha256', 'aes128-sha256-modp2048'),
    IN,
    'peers.b.children.m.manual[0].algorithms',
    /Diffie-Hellman/,
  ],
  ['a reserved SPI', OUT.replace('0x1001', '255'), IN, 'peers.b.children.m.manual[0].spi', /from 256/],
  [
    'a longer cipher than the key',
    OUT.replace('aes128', 'aes256'),
    IN,
    'peers.b.children.m.manual[0].keys_file',
    /encryption key of SPI 0x1001 has 16 octets; AES_CBC takes exactly 32/,
  ],
  [
    'a longer MAC than the key',
    OUT.replace('sha256', 'sha512'),
    IN,
    'peers.b.children.m.manual[0].keys_file',
    /integrity key of SPI 0x1001 has 32 octets; HMAC_SHA2_512_256 takes exactly 64/,
  ],
  [
    'an SPI without keys',
    OUT.replace('0x1001', '0x2001'),
    IN,
    'peers.b.children.m.manual[0].keys_file',
    /no keys for SPI 0x2001/,
  ],
  [
    'one SPI twice',
    OUT,
    IN.replace('0x1002', '0x1001'),
    'peers.b.children.m.manual[1].keys_file',
    /both directions have the same key/,
  ],
])('%s is refused', (_, out, inbound, key, message) => {
  s.write('sa.keys', KEYS)
  const text = config(out, inbound)
  const at = s.problems(text).find((p) => p.key === key)
  expect(at?.message, JSON.stringify(s.problems(text))).toMatch(message)
  expect(at?.line).toBe(lineOf(text, key.includes('[0]') ? 'direction: outbound' : 'direction: inbound'))
})

test('one key in both directions is refused', () => {
  s.write('sa.keys', KEYS.replaceAll('b2', 'a2'))
  expect(s.problems(config(OUT, IN))[0]?.message).toMatch(/both directions have the same key/)
})

test('two SAs of one direction are refused', () => {
  s.write('sa.keys', KEYS)
  const text = config(OUT, IN).replace('direction: inbound', 'direction: outbound')
  expect(s.problems(text)[0]).toMatchObject({ key: 'peers.b.children.m.manual[1].direction' })
})

test('an SPI that two children use is refused', () => {
  s.write('sa.keys', KEYS)
  const text = `${config(OUT, IN)}      n:
        local: [10.88.1.1]
        remote: [10.88.3.1]
        manual:
          - { direction: outbound, ${OUT}, keys_file: sa.keys }
          - { direction: inbound, ${IN}, keys_file: sa.keys }
`
  expect(s.problems(text).map((p) => p.message)).toEqual([
    expect.stringMatching(/SPI 0x1001 is used twice, first by b\.m/),
    expect.stringMatching(/SPI 0x1002 is used twice, first by b\.m/),
  ])
})

test('settings that only negotiation uses are refused', () => {
  s.write('sa.keys', KEYS)
  const keys = s
    .problems(config(OUT, IN, '        start: start\n        lifetime: { time: 1h }\n'))
    .map((p) => p.key)
  expect(keys).toEqual(['peers.b.children.m.start', 'peers.b.children.m.lifetime'])
  const withKey = config(OUT, IN).replace('encapsulation: raw', 'key_file: b.key')
  expect(s.problems(withKey)[0]).toMatchObject({
    key: 'peers.b.key_file',
    message: expect.stringMatching(/has no use/),
  })
})

test.each<[string, RegExp]>([
  ['0x1001 encryption', /line 1: expected three words/],
  ['# c\n0x10 encryption 00', /line 2: expected an SPI/],
  ['0x1001 secret 00', /encryption or integrity/],
  ['0x1001 integrity 0x0', /even number/],
  ['0x1001 integrity zz', /even number/],
  ['0x1001 integrity 00\n0x1001 integrity 01', /line 2: SPI 0x1001 has two integrity keys/],
])('the keys file %j is refused', (text, message) => {
  expect(parseManualKeys(utf8(text))).toMatch(message)
})
