import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConfigError } from '../../../src/errors.js'
import { formatEspSa, parseEspSa } from '../../../src/replay/keys/esp-sa.js'
import { readKeySource } from '../../../src/replay/keys/key-source.js'
import { type KeyedSa, keyedSaOf, specOf } from '../../../src/replay/keys/keyed-sa.js'
import { formatSallyportSa, parseSallyportSa } from '../../../src/replay/keys/sallyport-sa.js'
import { anyV4, ip, SUITES, saSpec, ts } from '../ipsec/fixtures.js'

const GCM =
  '"IPv4","192.0.2.1","192.0.2.2","0x00001001","AES-GCM with 16 octet ICV [RFC4106]","0x000102030405060708090a0b0c0d0e0f10111213","NULL",""'

function sa(result: ReturnType<typeof parseEspSa>): KeyedSa {
  if (typeof result === 'string' || !('sa' in result)) throw new Error(JSON.stringify(result))
  return result.sa
}

describe('esp_sa, Wireshark’s', () => {
  test('a line', () => {
    expect(sa(parseEspSa(GCM))).toEqual({
      protocol: 'esp',
      spi: 0x1001,
      source: ip('192.0.2.1'),
      destination: ip('192.0.2.2'),
      mode: undefined,
      encryption: { id: 20, key: Uint8Array.from({ length: 20 }, (_, i) => i) },
      esn: false,
      esnHigh: 0,
      replayWindow: undefined,
      sourceTs: undefined,
      destinationTs: undefined,
    })
  })

  test('ten fields, wildcards, keys as text', () => {
    const line =
      '"IPv6", "*", "2001:db8::2", "0xC0FFEE", "AES-CBC [RFC3602]", "abcdefghijklmnop", "HMAC-SHA-1-96 [RFC2404]", "\\x61\\xffcdefghij0123456789", "64-bit", "0x7"'
    expect(sa(parseEspSa(line))).toMatchObject({
      spi: 0xc0ffee,
      source: undefined,
      destination: ip('2001:db8::2'),
      encryption: { id: 12, key: new Uint8Array(Buffer.from('abcdefghijklmnop')) },
      integrity: { id: 2, key: new Uint8Array(Buffer.from('a\xffcdefghij0123456789', 'latin1')) },
      esn: true,
      esnHigh: 7,
    })
  })

  test('every ESP suite that Wireshark knows is written and read back', () => {
    const known = Object.entries(SUITES).filter(([, s]) => s.protocol === 'esp')
    const written: string[] = []
    for (const [name, suite] of known) {
      const keyed = keyedSaOf(saSpec(name))
      const line = formatEspSa(keyed)
      if (line === undefined) continue
      written.push(name)
      const result = parseEspSa(line)
      if (typeof result === 'string') throw new Error(result)
      if ('skipped' in result) expect(name).toMatch(/xcbc|cmac/)
      else {
        expect(result.sa.encryption).toEqual(suite.encryption)
        expect(result.sa.integrity).toEqual(suite.integrity)
      }
    }
    expect(written).toEqual(known.map(([name]) => name).filter((name) => !/ccm|gmac/.test(name)))
  })

  test('extended sequence numbers take two more fields, 32-bit ones none', () => {
    const keyed = keyedSaOf(saSpec('aes128gcm16'))
    expect(formatEspSa({ ...keyed, esn: false })).toMatch(/,"NULL",""$/)
    expect(formatEspSa({ ...keyed, esn: true })).toMatch(/,"NULL","","64-bit","0x0"$/)
  })

  test('AH has no line', () => {
    expect(formatEspSa(keyedSaOf(saSpec('ah-sha256')))).toBeUndefined()
  })

  test.each<[string, string, RegExp]>([
    ['no quotes', 'IPv4,192.0.2.1', /double quotes/],
    ['a quote open', '"IPv4","192.0.2.1', /double quotes/],
    ['too few', '"IPv4","192.0.2.1"', /8 to 10 fields, found 2/],
    ['family', GCM.replace('IPv4', 'IPX'), /IPv4, IPv6 or Any/],
    ['address of the other family', GCM.replace('"IPv4"', '"IPv6"'), /IPv6 addresses/],
    ['half an address', GCM.replace('192.0.2.1', '192.0.2'), /IPv4 addresses/],
    ['SPI', GCM.replace('0x00001001', '4097'), /an SPI such as/],
    ['odd digits', GCM.replace('0x0001', '0x001'), /even number of hexadecimal digits/],
    ['bits', `${GCM},"48-bit","0"`, /32-bit or 64-bit/],
    ['high', `${GCM},"64-bit","0x123456789"`, /32 bits/],
  ])('%s: says what is wrong', (_name, line, why) => {
    expect(parseEspSa(line)).toMatch(why)
  })

  test.each<[string, RegExp]>([
    [GCM.replace('0x00001001', '*'), /pattern/],
    [GCM.replace('AES-GCM with 16 octet ICV [RFC4106]', 'TWOFISH-CBC'), /TWOFISH-CBC is not among ours/],
    [GCM.replace('"NULL",""', '"HMAC-MD5-96 [RFC2403]",""'), /HMAC-MD5-96 \[RFC2403\] is not among ours/],
    [GCM.replace('"NULL",""', '"ANY 96 bit authentication [no checking]",""'), /which integrity algorithm/],
  ])('%s: passed over', (line, why) => {
    expect(parseEspSa(line)).toEqual({ skipped: expect.stringMatching(why) })
  })
})

describe('sallyport_sa, ours', () => {
  test('every suite, mode and family is written and read back', () => {
    for (const name of Object.keys(SUITES))
      for (const direction of ['inbound', 'outbound'] as const) {
        const spec = saSpec(name, {
          direction,
          mode: direction === 'inbound' ? 'transport' : 'tunnel',
          esn: direction === 'inbound',
          replayWindow: 128,
          localTs: [anyV4, ts('fd00::/8', 6)],
          remoteTs: [ts('10.0.0.0/8', 17)],
          ...(name === 'aes128gcm16' && { udp: { localPort: 4500, remotePort: 61_234 } }),
        })
        const keyed = keyedSaOf(spec)
        expect(sa(parseSallyportSa(formatSallyportSa(keyed)))).toEqual(keyed)
      }
  })

  test('both hosts of an SA write the same line, the window apart', () => {
    const out = saSpec('aes128gcm16', { localTs: [ts('10.1.0.0/16')], remoteTs: [ts('10.2.0.0/16')] })
    const back = saSpec('aes128gcm16', {
      direction: 'inbound',
      local: out.remote,
      remote: out.local,
      localTs: out.remoteTs,
      remoteTs: out.localTs,
    })
    const line = (spec: typeof out): string =>
      formatSallyportSa({ ...keyedSaOf(spec), replayWindow: undefined })
    expect(line(back)).toBe(line(out))
  })

  test('and both have back what they were given', () => {
    for (const direction of ['inbound', 'outbound'] as const) {
      const { local, remote, ...rest } = saSpec('aes128-sha256', {
        direction,
        replayWindow: 64,
        lifetime: {},
      })
      const spec = { local, remote, ...rest }
      const keyed = keyedSaOf(spec)
      const [source, destination] = direction === 'outbound' ? [local, remote] : [remote, local]
      const again = specOf(keyed, direction, {
        source,
        destination,
        mode: 'tunnel',
        policy: spec.policy,
        replayWindow: 64,
      })
      expect(again).toEqual({ ...spec, replayWindow: 64 })
    }
  })

  test('as few words as can be', () => {
    expect(
      sa(
        parseSallyportSa(
          `ah  spi=0x1002 source=* destination=2001:db8::2 integrity=HMAC_SHA2_256_128:0x${'07'.repeat(32)}`,
        ),
      ),
    ).toMatchObject({
      protocol: 'ah',
      spi: 0x1002,
      source: undefined,
      mode: undefined,
      integrity: { id: 12, key: new Uint8Array(32).fill(7) },
      esn: false,
      replayWindow: undefined,
    })
  })

  const KEY = 'abcdef0123456789abcdef0123456789'
  test.each<[string, RegExp]>([
    ['tcp spi=0x1001', /esp or ah as the first word/],
    ['esp 0x1001', /words such as spi=/],
    ['esp colour=red', /the names are spi, source/],
    ['esp spi=0x1001 spi=0x1002', /spi is there twice/],
    ['esp source=* destination=*', /spi is missing/],
    ['esp spi=0x1001 destination=*', /source is missing: expected an IP address or \*/],
    ['esp spi=0x1001 source=here destination=*', /source: expected an IP address/],
    [
      `esp spi=0x1001 source=* destination=* encryption=${KEY}`,
      /encryption: expected NAME:0xKEY with one of NULL, AES_CBC/,
    ],
    [
      `esp spi=0x1001 source=* destination=* integrity=HMAC_SHA2_256_128:${KEY}`,
      /integrity: expected NAME:0xKEY/,
    ],
    ['esp spi=0x1001 source=* destination=* mode=both', /mode: expected tunnel or transport/],
    ['esp spi=0x1001 source=* destination=* esn=maybe', /esn: expected yes or no/],
    ['esp spi=0x1001 source=* destination=* window=many', /window: expected a number/],
    ['esp spi=0x1001 source=* destination=* udp=4500', /udp: expected SOURCE:DESTINATION/],
    ['esp spi=0x1001 source=* destination=* from=10.0.0.1', /from: expected traffic selectors/],
  ])('%s: says what is wrong, and no key', (line, why) => {
    const result = parseSallyportSa(line)
    expect(result).toMatch(why)
    expect(result).not.toContain(KEY)
  })
})

test('whatever a line is, reading it does not throw', () => {
  const word = fc.constantFrom(
    'esp',
    'ah',
    'spi=0x1001',
    'source=*',
    'destination=::1',
    'encryption=NULL:0x',
    'x',
    '=',
    '"',
    '""',
    '"IPv4"',
    ',',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(word).map((w) => w.join(' ')),
      ),
      (line) => {
        parseEspSa(line)
        parseSallyportSa(line)
      },
    ),
    { numRuns: 1000 },
  )
})

describe('key files', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-keys-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const file = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  const OURS = `ah spi=0x2002 source=* destination=192.0.2.2 integrity=HMAC_SHA2_256_128:0x${'07'.repeat(32)}`

  test('comments and both formats in one file', () => {
    const { sas, skipped } = readKeySource(file('k', `# keys\n\n${GCM}\n  ${OURS}\r\n`))
    expect(sas.map((s) => s.spi)).toEqual([0x1001, 0x2002])
    expect(skipped).toEqual([])
  })

  test('a directory: ours before Wireshark’s', () => {
    file('esp_sa', GCM)
    expect(readKeySource(folder).file).toBe(join(folder, 'esp_sa'))
    file('sallyport_sa', OURS)
    expect(readKeySource(folder).file).toBe(join(folder, 'sallyport_sa'))
  })

  test('what cannot be used is told with its line, and the rest is used', () => {
    const weak = GCM.replace('AES-GCM with 16 octet ICV [RFC4106]', 'AES-CBC [RFC3602]').replace(
      '10111213',
      '',
    )
    const { sas, skipped } = readKeySource(file('k', `${weak}\n${GCM}\n${GCM.replace('10111213', '')}\n`))
    expect(sas).toHaveLength(1)
    expect(skipped[0]).toMatch(/k, line 1: .*without an integrity algorithm.*passed over/)
    expect(skipped[1]).toMatch(/k, line 3: AES_GCM_16 key of 16 octets/)
  })

  test.each<[string, () => string, RegExp]>([
    ['no file', () => join(folder, 'none'), /none: no such file; give keys with --keys FILE/],
    ['an empty directory', () => folder, /a directory without sallyport_sa and esp_sa/],
    ['nothing in it', () => file('k', '# nothing\n'), /k: holds no SA/],
    [
      'nothing of use',
      () => file('k', GCM.replace('0x00001001', '*')),
      /holds no SA that can be used; .*line 1: one SPI/,
    ],
    ['malformed', () => file('k', `${GCM}\nhello\n`), /k, line 2: expected esp or ah/],
    ['too large', () => file('k', '#'.repeat(4 * 1024 * 1024 + 1)), /more than 4194304/],
  ])('%s: one clear line', (_name, path, why) => {
    expect(() => readKeySource(path())).toThrow(why)
    expect(() => readKeySource(path())).toThrow(ConfigError)
  })

  test('without permission', () => {
    mkdirSync(join(folder, 'd'))
    const path = file('k', GCM)
    chmodSync(path, 0)
    if (process.geteuid?.() !== 0) expect(() => readKeySource(path)).toThrow(/cannot be read: EACCES/)
  })
})
