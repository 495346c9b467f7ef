import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDuration, parseSize, parseUnicast } from '../../../src/daemon/config/fields.js'
import { controlPathOf, loadConfig, wipeConfig } from '../../../src/daemon/config/load.js'
import { nearest } from '../../../src/daemon/config/nearest.js'
import { parseSelector } from '../../../src/daemon/config/selectors.js'
import { keyFingerprint } from '../../../src/ike/prephase/key.js'
import { formatSelector } from '../../../src/wire/traffic-selector.js'
import { BASE, Scenario } from './scenario.js'

let s: Scenario
let key: Uint8Array
beforeAll(() => {
  s = new Scenario()
  key = s.key('b.key')
})
afterAll(() => s.remove())

test('a configuration is resolved to what the daemon’s parts take', () => {
  const config = s.load(BASE)
  expect(config.host).toMatchObject({ state: '/var/lib/sallyport', control: '/run/sallyport.vici' })
  expect(config.tun).toEqual({
    name: 'sally0',
    addresses: [{ address: Uint8Array.of(10, 88, 1, 1), prefixLength: 32 }],
    mtu: 'auto',
  })
  expect(config.dataplane).toEqual({
    engine: 'auto',
    fwmark: 0x5a11,
    lanes: 'auto',
    table: 23057,
    offload: { tun: 'uso', udpGso: true, udpGro: true, joinTcp: true, joinUdp: true, rawDirect: true },
  })
  expect(config.peers).toEqual([
    {
      name: 'dom0-b',
      local: Uint8Array.of(192, 0, 2, 1),
      remote: Uint8Array.of(192, 0, 2, 2),
      fingerprint: keyFingerprint(key),
    },
  ])
  const peer = config.ike[0]!
  expect(peer).toMatchObject({
    name: 'dom0-b',
    dynamicPsk: 'hardened',
    version: 1,
    ikeLifetimeSeconds: 28_800,
    dpdDelaySeconds: 30,
    fragmentSize: 1280,
    encapsulation: 'auto',
  })
  expect(peer.key).toEqual(Uint8Array.from(key))
  expect(peer.children).toMatchObject([
    {
      name: 'migration',
      policy: 1,
      protocol: 'esp',
      mode: 'tunnel',
      replayWindow: 4096,
      lifetime: { hardSeconds: 3600 },
      start: 'trap',
    },
  ])
  expect(config.policies).toMatchObject([{ id: 1, peer: 'dom0-b', child: 'migration', transparent: false }])
  wipeConfig(config)
  expect(peer.key.every((v) => v === 0)).toBe(true)
})

test('key management knows of padding, so that it can tell when the peer takes none', () => {
  const padded = BASE.replace('remote: [10.88.2.1/32]', 'remote: [10.88.2.1/32]\n        tfc_padding: mtu')
  expect(padded).not.toBe(BASE)
  expect([BASE, padded].map((text) => s.load(text).ike[0]!.children[0]!.pads)).toEqual([undefined, true])
})

test('a remote selector that holds the peer’s underlay address makes a child transparent', () => {
  const at = (remote: string) =>
    s.load(BASE.replace('remote: [10.88.2.1/32]', `remote: ["${remote}"]`)).policies[0]?.transparent
  expect(at('192.0.2.2')).toBe(true)
  expect(at('192.0.2.0/24')).toBe(true)
  expect(at('0.0.0.0/0')).toBe(true)
  expect(at('192.0.2.2/32[tcp/8002]')).toBe(true)
  expect(at('192.0.2.128/25')).toBe(false)
})

test('everything but peers has a default', () => {
  const config = s.load(`host: { id: dom0-a }
peers:
  b:
    id: dom0-b
    local: 2001:db8::1
    remote: 2001:db8::2
    key_file: b.key
    children:
      m: { local: [fd00:1::/64], remote: [fd00:2::/64] }
      n: { protocol: ah, local: [fd00:1::/64], remote: [fd00:3::/64] }
`)
  expect(config.host.control).toBe('/run/sallyport.vici')
  expect(config.tun.name).toBe('sally0')
  expect(config.ike[0]?.children.map((c) => [c.policy, c.proposals.length, c.lifetime.hardSeconds])).toEqual([
    [1, 4, 3600],
    [2, 1, 3600],
  ])
})

test('the control socket is found without reading keys', () => {
  const file = s.write(
    'other.yaml',
    BASE.replace('b.key', 'none.key').replace('/run/sallyport', '/run/other'),
  )
  expect(controlPathOf(file)).toBe('/run/other.vici')
  expect(() => loadConfig(file)).toThrow(/none\.key/)
  expect(() => loadConfig(`${file}.none`)).toThrow(/other\.yaml\.none:1:1: no such file/)
})

describe('single values', () => {
  test.each<[string, number | undefined]>([
    ['30s', 30],
    ['10m', 600],
    ['8h', 28_800],
    ['1d', 86_400],
    ['0s', 0],
    ['30', undefined],
    ['s', undefined],
    ['1.5h', undefined],
    ['-1s', undefined],
    ['1w', undefined],
  ])('duration %s', (text, seconds) => expect(parseDuration(text)).toBe(seconds))

  test.each<[string, number | undefined]>([
    ['1GiB', 2 ** 30],
    ['64 MiB', 64 * 2 ** 20],
    ['500MB', 5e8],
    ['10B', 10],
    ['1gb', undefined],
    ['GiB', undefined],
    ['999999999999TiB', undefined],
  ])('size %s', (text, octets) => expect(parseSize(text)).toBe(octets))

  test.each([
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '169.254.1.1',
    '::',
    'ff02::1',
    'fe80::1',
    '::ffff:10.0.0.1',
    'x',
  ])('%s is no underlay address', (text) => expect(parseUnicast(text)).toBeUndefined())

  test.each<[string, string | undefined]>([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.0.0.1', '10.0.0.1/32'],
    ['10.0.0.1[tcp]', '10.0.0.1/32[6]'],
    ['10.0.0.1[tcp/22]', '10.0.0.1/32[6/22]'],
    ['fd00::/16[17/53]', 'fd00::/16[17/53]'],
    ['10.0.0.1[icmp]', '10.0.0.1/32[1]'],
    ['10.0.0.1[icmp/8]', undefined],
    ['10.0.0.1[tcp/0]', undefined],
    ['10.0.0.1[tcp/65536]', undefined],
    ['10.0.0.1[0]', undefined],
    ['10.0.0.1[256]', undefined],
    ['10.0.0.1[]', undefined],
    ['10.0.0.1/8', undefined],
  ])('selector %s', (text, expected) => {
    const selector = parseSelector(text)
    expect(selector && formatSelector(selector)).toBe(expected)
  })

  test('the nearest of some words', () => {
    const words = ['local', 'remote', 'key_file', 'dynamic_psk']
    expect(nearest('loacl', words)).toBe('local')
    expect(nearest('KeyFile', words)).toBe('key_file')
    expect(nearest('rmote', words)).toBe('remote')
    expect(nearest('banana', words)).toBeUndefined()
    expect(nearest('x'.repeat(100_000), words)).toBeUndefined()
  })
})
