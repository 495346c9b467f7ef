import { describe, expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { CryptoError, InternalError } from '../../../src/errors.js'
import { createInboundSa, createOutboundSa, type SaOptions } from '../../../src/ipsec/sa.js'
import { saFault } from '../../../src/ipsec/sa-check.js'
import { SA_CELL, SA_CELLS, SaUse } from '../../../src/ipsec/sa-use.js'
import type { SaSpec } from '../../../src/sadb/sa-spec.js'
import { nodeCryptoEngine } from '../../reference/node-crypto-engine.js'
import { anyV4, anyV6, engines, ip, SUITES, saSpec } from './fixtures.js'

const slab = plainSlab(4096)
const outbound = (s: SaSpec, options: Partial<SaOptions> = {}) =>
  createOutboundSa(s, engines, slab, { nowMs: 0, ...options })
const key = (n: number): Uint8Array => new Uint8Array(n).fill(0x5a)

describe('an SA that cannot be is refused with its reason', () => {
  const { encryption: _e, integrity: _i, ...bare } = saSpec('aes128gcm16')
  const gcm = saSpec('aes128gcm16')
  const v6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }
  test.each<[string, SaSpec, RegExp]>([
    ['SPI 0', { ...gcm, spi: 0 }, /SPI 0: it must be from 256/],
    ['a reserved SPI', { ...gcm, spi: 255 }, /SPI 255/],
    ['SPI above 32 bits', { ...gcm, spi: 2 ** 32 }, /SPI 4294967296/],
    ['ESP without encryption', bare, /NULL has to be said/],
    [
      'unknown encryption',
      { ...bare, encryption: { id: 3, key: key(24) } },
      /encryption algorithm 3 is not known/,
    ],
    [
      'a key without its salt',
      { ...bare, encryption: { id: 20, key: key(16) } },
      /AES_GCM_16 key of 16 octets: it must have 20, 28, 36, the last 4 of them the salt/,
    ],
    [
      'a CCM key with a salt of 4 octets',
      { ...bare, encryption: { id: 14, key: key(20) } },
      /AES_CCM_8 key of 20 octets: it must have 19, 27, 35, the last 3 of them the salt/,
    ],
    ['AES-CTR alone', { ...bare, encryption: { id: 13, key: key(20) } }, /AES_CTR without an integrity/],
    [
      'GMAC in ESP with more integrity',
      { ...saSpec('aes128gmac'), integrity: { id: 12, key: key(32) } },
      /NULL_AUTH_AES_GMAC has its own integrity/,
    ],
    [
      'the GMAC of AH in ESP',
      { ...saSpec('null-sha256'), integrity: { id: 9, key: key(20) } },
      /AES_128_GMAC is an algorithm of AH; ESP has NULL_AUTH_AES_GMAC/,
    ],
    [
      'AH-GMAC without a salt',
      { ...saSpec('ah-sha256'), integrity: { id: 9, key: key(16) } },
      /AES_128_GMAC key of 16 octets: it must have 20/,
    ],
    ['a ChaCha20 key of 16 octets', { ...bare, encryption: { id: 28, key: key(20) } }, /must have 36/],
    [
      'a CBC key of 20 octets',
      { ...saSpec('aes128-sha256'), encryption: { id: 12, key: key(20) } },
      /AES_CBC key of 20 octets: it must have 16, 24, 32$/,
    ],
    [
      'encryption without integrity',
      { ...bare, encryption: { id: 12, key: key(16) } },
      /AES_CBC without an integrity algorithm is refused/,
    ],
    [
      'integrity NONE',
      { ...bare, encryption: { id: 12, key: key(16) }, integrity: { id: 0, key: key(0) } },
      /refused \(RFC 8221/,
    ],
    ['NULL alone', { ...bare, encryption: { id: 11, key: key(0) } }, /NULL without an integrity/],
    ['an AEAD with more integrity', { ...gcm, integrity: { id: 12, key: key(32) } }, /has its own integrity/],
    [
      'unknown integrity',
      { ...saSpec('ah-sha256'), integrity: { id: 1, key: key(16) } },
      /integrity algorithm 1 is not known/,
    ],
    [
      'a short integrity key',
      { ...saSpec('ah-sha256'), integrity: { id: 12, key: key(31) } },
      /HMAC_SHA2_256_128 key of 31 octets: it must have 32/,
    ],
    [
      'AH that encrypts',
      { ...saSpec('ah-sha256'), encryption: { id: 11, key: key(0) } },
      /AH does not encrypt/,
    ],
    ['AH without integrity', { ...bare, protocol: 'ah' }, /AH without an integrity/],
    [
      'AH in UDP',
      { ...saSpec('ah-sha256'), udp: { localPort: 4500, remotePort: 4500 } },
      /AH cannot be carried in UDP/,
    ],
    ['addresses of two families', { ...gcm, remote: v6.remote }, /both be IPv4 or both IPv6/],
    ['an address of 5 octets', { ...gcm, local: key(5), remote: key(5) }, /both be IPv4/],
    ['UDP port 0', { ...gcm, udp: { localPort: 0, remotePort: 4500 } }, /UDP ports 0 and 4500/],
    ['no selectors', { ...gcm, localTs: [] }, /0 local traffic selectors/],
    [
      'a selector of two families',
      { ...gcm, remoteTs: [{ ...anyV4, end: anyV6.end }] },
      /mixes address families/,
    ],
    [
      'transport mode without a selector of its family',
      { ...gcm, mode: 'transport', remoteTs: [anyV6] },
      /transport mode between IPv4 addresses, but no remote/,
    ],
    ['a window of 33', { ...gcm, direction: 'inbound', replayWindow: 33 }, /replay window of 33 packets/],
    ['no window with ESN', { ...gcm, direction: 'inbound', replayWindow: 0 }, /need a replay window/],
    [
      'a lifetime of nothing',
      { ...gcm, lifetime: { hardOctets: 0 } },
      /lifetime in octets must be more than zero/,
    ],
    [
      'soft above hard',
      { ...gcm, lifetime: { softSeconds: 9, hardSeconds: 8 } },
      /soft lifetime of 9 seconds is longer/,
    ],
  ])('%s', (_, spec, reason) => {
    expect(saFault(spec)).toMatch(reason)
    const make = spec.direction === 'inbound' ? createInboundSa : createOutboundSa
    expect(() => make(spec, engines, slab, { nowMs: 0 })).toThrow(InternalError)
  })

  test('what can be has no fault', () => {
    for (const suite of Object.keys(SUITES)) expect(saFault(saSpec(suite))).toBeUndefined()
    expect(
      saFault(saSpec('aes128gcm16', { direction: 'inbound', replayWindow: 0, esn: false })),
    ).toBeUndefined()
  })

  test('the message names the SA and no key', () => {
    const spec = { ...saSpec('ah-sha256'), integrity: { id: 12, key: key(31) } }
    expect(() => outbound(spec)).toThrow('outbound AH SA 0badcafe: HMAC_SHA2_256_128 key of 31 octets')
    try {
      outbound(spec)
    } catch (e) {
      expect(String(e)).not.toContain('5a5a')
    }
  })

  test('the wrong direction', () => {
    expect(() => createInboundSa(saSpec('aes128gcm16'), engines, slab, { nowMs: 0 })).toThrow(
      /it is not inbound/,
    )
  })

  test('an algorithm that no engine has', () => {
    expect(() => createOutboundSa(saSpec('aes128gcm16'), [], slab, { nowMs: 0 })).toThrow(CryptoError)
    const without = { ...engines[0]!, aead: () => undefined }
    expect(() => createOutboundSa(saSpec('aes128gcm16'), [without], slab, { nowMs: 0 })).toThrow(
      /no crypto engine has AES_GCM_16/,
    )
    // The next engine is asked.
    expect(
      createOutboundSa(saSpec('aes128gcm16'), [without, engines[0]!], slab, { nowMs: 0 }).esp,
    ).toBeDefined()
  })
})

test('keys are not kept beside the SA', () => {
  const sa = outbound(saSpec('aes128-sha256'))
  expect(sa.info).not.toHaveProperty('encryption')
  expect(sa.info).not.toHaveProperty('integrity')
})

test.each(Object.keys(SUITES))('destroy frees every key of %s', (suite) => {
  const log = { made: 0, destroyed: 0 }
  const sa = createOutboundSa(saSpec(suite), [nodeCryptoEngine(log)], slab, { nowMs: 0 })
  expect(log.made).toBeGreaterThan(0)
  sa.destroy()
  expect(log.destroyed).toBe(log.made)
})

describe('sequence numbers', () => {
  test('begin with 1 and carry into the high half with ESN', () => {
    const sa = outbound(saSpec('aes128gcm16'))
    expect([sa.nextSequence(), sa.sequenceHigh, sa.sequenceLow]).toEqual([true, 0, 1])
    sa.skipTo(0, 0xffff_ffff)
    expect([sa.nextSequence(), sa.sequenceHigh, sa.sequenceLow]).toEqual([true, 1, 0])
    expect([sa.nextSequence(), sa.sequenceHigh, sa.sequenceLow]).toEqual([true, 1, 1])
    expect([sa.use.cells[SA_CELL.SEQUENCE_LOW], sa.use.cells[SA_CELL.SEQUENCE_HIGH]]).toEqual([1, 1])
  })

  test.each([true, false])('end without wrapping, and say so before: ESN %s', (esn) => {
    const sa = outbound(saSpec('aes128gcm16', { esn }))
    const high = esn ? 0xffff_ffff : 0
    sa.skipTo(high, 2 ** 32 - 2 ** 28 - 2)
    expect(sa.nextSequence()).toBe(true)
    expect(sa.expiry(1)).toBeUndefined()
    expect(sa.nextSequence()).toBe(true)
    expect(sa.expiry(1)).toEqual({
      direction: 'outbound',
      protocol: 'esp',
      spi: 0x0bad_cafe,
      policy: 1,
      limit: 'soft',
      cause: 'sequence',
    })
    expect(sa.expiry(1)).toBeUndefined()
    sa.skipTo(high, 0xffff_fffe)
    expect(sa.nextSequence()).toBe(true)
    for (let i = 0; i < 3; i++) expect(sa.nextSequence()).toBe(false)
    expect([sa.sequenceHigh, sa.sequenceLow]).toEqual([high, 0xffff_ffff])
    expect(sa.expiry(1)).toMatchObject({ limit: 'hard', cause: 'sequence' })
    expect(sa.use.admits(1, 1)).toBe(false)
  })

  test('a number never comes twice: skipping goes upwards only', () => {
    const sa = outbound(saSpec('aes128gcm16'))
    sa.skipTo(2, 5)
    expect(() => sa.skipTo(2, 4)).toThrow(InternalError)
    expect(() => sa.skipTo(1, 9)).toThrow(InternalError)
    expect(() => outbound(saSpec('aes128gcm16', { esn: false })).skipTo(1, 0)).toThrow(InternalError)
  })
})

describe('lifetimes', () => {
  const use = (lifetime: SaSpec['lifetime'], nowMs = 1000): SaUse =>
    new SaUse(lifetime, nowMs, new Float64Array(SA_CELLS))

  test('none: never', () => {
    const u = use({})
    u.count(2 ** 50, 5)
    expect(u.admits(2 ** 50, Number.MAX_SAFE_INTEGER)).toBe(true)
    expect(u.due(Number.MAX_SAFE_INTEGER)).toBeUndefined()
  })

  test('octets: soft once, then hard once; the packet that would cross is refused', () => {
    const u = use({ softOctets: 100, hardOctets: 200 })
    u.count(99, 1)
    expect(u.due(1)).toBeUndefined()
    u.count(1, 1)
    expect(u.due(1)).toEqual({ limit: 'soft', cause: 'octets' })
    expect(u.due(1)).toBeUndefined()
    expect(u.admits(100, 1)).toBe(true)
    expect(u.admits(101, 1)).toBe(false)
    expect(u.admits(1, 1)).toBe(false)
    expect(u.due(1)).toEqual({ limit: 'hard', cause: 'octets' })
    expect(u.due(1)).toBeUndefined()
  })

  test('packets', () => {
    const u = use({ softPackets: 1, hardPackets: 2 })
    u.count(10, 1)
    expect(u.due(1)).toEqual({ limit: 'soft', cause: 'packets' })
    expect(u.admits(10, 1)).toBe(true)
    u.count(10, 1)
    expect(u.admits(10, 1)).toBe(false)
    expect(u.due(1)).toEqual({ limit: 'hard', cause: 'packets' })
  })

  test('time counts from the start, used or not', () => {
    const u = use({ softSeconds: 5, hardSeconds: 10 }, 1000)
    expect(u.due(5999)).toBeUndefined()
    expect(u.due(6000)).toEqual({ limit: 'soft', cause: 'time' })
    expect(u.admits(1, 10_999)).toBe(true)
    expect(u.due(11_000)).toEqual({ limit: 'hard', cause: 'time' })
    expect(u.admits(1, 10_000)).toBe(false)
  })

  test('a hard limit silences the soft one', () => {
    const u = use({ softSeconds: 1, hardSeconds: 2 })
    expect(u.due(9999)).toEqual({ limit: 'hard', cause: 'time' })
    expect(u.due(9999)).toBeUndefined()
  })

  test('an SA counts in the cells that it was given', () => {
    const cells = new Float64Array(SA_CELLS).fill(7)
    const sa = outbound(saSpec('aes128gcm16'), { cells })
    expect([...cells]).toEqual([0, 0, 0, 0, 0, 0])
    sa.use.count(33, 12.5)
    sa.use.countError()
    expect([...cells]).toEqual([1, 33, 12.5, 0, 0, 1])
  })
})
