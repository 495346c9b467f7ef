import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { formatIkeV1, formatIkeV2 } from '../../../src/daemon/key-log/ike-tables.js'
import { KeyLog } from '../../../src/daemon/key-log/key-log.js'
import { ConfigError } from '../../../src/errors.js'
import type { IkeV2Keys } from '../../../src/ike/environment.js'
import { readKeySource } from '../../../src/replay/keys/key-source.js'
import { keyedSaOf } from '../../../src/replay/keys/keyed-sa.js'
import { saSpec } from '../ipsec/fixtures.js'

const v2: IkeV2Keys = {
  version: 2,
  initiatorSpi: fromHex('1122334455667788'),
  responderSpi: fromHex('99aabbccddeeff00'),
  interim: false,
  encryption: 20,
  integrity: 0,
  ei: new Uint8Array(20).fill(0x33),
  er: new Uint8Array(20).fill(0x44),
  ai: new Uint8Array(0),
  ar: new Uint8Array(0),
}

describe('lines of the IKE tables', () => {
  test('IKEv1', () => {
    const line = formatIkeV1({ version: 1, initiatorSpi: v2.initiatorSpi, encryptionKey: fromHex('aabb') })
    expect(line).toBe('1122334455667788,aabb')
  })

  test('IKEv2 with an AEAD: the salt belongs to SK_e, and not to the length in the name', () => {
    expect(formatIkeV2(v2)).toBe(
      `1122334455667788,99aabbccddeeff00,${'33'.repeat(20)},${'44'.repeat(20)},"AES-GCM-128 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"`,
    )
  })

  const cbc = { ei: new Uint8Array(32), er: new Uint8Array(32), ai: fromHex('01'), ar: fromHex('02') }
  test.each<[Partial<IkeV2Keys>, string, string]>([
    [{ ...cbc, encryption: 12, integrity: 12 }, 'AES-CBC-256 [RFC3602]', 'HMAC_SHA2_256_128 [RFC4868]'],
    [
      { ...cbc, encryption: 12, integrity: 5 },
      'AES-CBC-256 [RFC3602]',
      'ANY 96-bits of Authentication [No Checking]',
    ],
    [{ encryption: 13, integrity: 14 }, 'AES-CTR-128 [RFC5930]', 'HMAC_SHA2_512_256 [RFC4868]'],
    [{ encryption: 14, ei: new Uint8Array(35) }, 'AES-CCM-256 with 8 octet ICV [RFC5282]', 'NONE [RFC4306]'],
  ])('IKEv2: %o', (change, cipher, check) => {
    const fields = formatIkeV2({ ...v2, ...change })!.split(',')
    expect(fields[4]).toBe(`"${cipher}"`)
    expect(fields[7]).toBe(`"${check}"`)
    expect(fields.slice(5, 7)).toEqual([change.ai ?? v2.ai, change.ar ?? v2.ar].map(hex))
  })

  test('what Wireshark does not know has no line', () => {
    expect(formatIkeV2({ ...v2, encryption: 28 })).toBeUndefined()
  })
})

describe('files', () => {
  let folder: string
  let lines: string[]
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  beforeEach(() => {
    lines = []
    folder = mkdtempSync(join(tmpdir(), 'sallyport-key-log-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')

  test('every SA is written as replay reads it, for its owner alone, behind what was there', () => {
    const specs = ['aes128gcm16', 'aes128-sha256', 'ah-sha256', 'aes256ccm16'].map((name, i) =>
      saSpec(name, { spi: 0x1000 + i, direction: i % 2 === 0 ? 'outbound' : 'inbound' }),
    )
    for (const half of [specs.slice(0, 2), specs.slice(2)]) {
      const keyLog = KeyLog.open(folder, log)
      for (const spec of half) keyLog.sa(spec)
      keyLog.ike({ version: 1, initiatorSpi: v2.initiatorSpi, encryptionKey: fromHex('aabb') })
      keyLog.ike(v2)
      keyLog.ike({ ...v2, encryption: 28 })
      keyLog.ike({ ...v2, interim: true, ei: new Uint8Array(20).fill(0x55) })
      keyLog.close()
    }
    expect(readKeySource(folder).sas).toEqual(specs.map(keyedSaOf))
    expect(read('esp_sa').trim().split('\n')).toHaveLength(2)
    expect(read('ikev1_decryption_table')).toBe('1122334455667788,aabb\n'.repeat(2))
    expect(read('ikev2_decryption_table').trim().split('\n')).toHaveLength(2)
    expect(read('ikev2_decryption_table')).not.toContain('55'.repeat(20))
    // Wireshark has one line for an IKE SA, and does not read this file.
    expect(read('ikev2_decryption_table.interim').match(/(55){20}/g)).toHaveLength(2)
    for (const name of [
      'sallyport_sa',
      'esp_sa',
      'ikev1_decryption_table',
      'ikev2_decryption_table',
      'ikev2_decryption_table.interim',
    ])
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600)
  })

  test('it is loud, and no key is in the daemon’s log', () => {
    const keyLog = KeyLog.open(folder, log)
    keyLog.sa(saSpec('aes128gcm16'))
    keyLog.close()
    expect(lines[0]).toContain('"level":40')
    expect(lines[0]).toContain('KEY LOG IS ON')
    expect(lines[0]).toContain(folder)
    const key = read('esp_sa').split('"')[11]!.slice(2)
    expect(key).toHaveLength(40)
    expect(lines.join('')).not.toContain(key)
  })

  test.each<[string, () => void, RegExp]>([
    [
      'no directory',
      () => rmSync(folder, { recursive: true }),
      /does not exist; make it with: install -d -m 700/,
    ],
    [
      'others can enter',
      () => chmodSync(folder, 0o701),
      /open to others than its owner \(mode 0701\); run: chmod 700/,
    ],
    ['the group can read', () => chmodSync(folder, 0o740), /mode 0740/],
    [
      'a file that others can read',
      () => writeFileSync(join(folder, 'esp_sa'), '', { mode: 0o644 }),
      /esp_sa is open to others.*chmod 600/,
    ],
    [
      'a link',
      () => symlinkSync('/dev/null', join(folder, 'sallyport_sa')),
      /sallyport_sa is a symbolic link/,
    ],
    [
      'a directory in place of a file',
      () => mkdirSync(join(folder, 'esp_sa')),
      /esp_sa cannot be written: EISDIR/,
    ],
  ])('refused: %s', (_name, spoil, why) => {
    spoil()
    expect(() => KeyLog.open(folder, log)).toThrow(why)
    expect(() => KeyLog.open(folder, log)).toThrow(ConfigError)
    expect(lines).toEqual([])
    mkdirSync(folder, { recursive: true })
  })
})
