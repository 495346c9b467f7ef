import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { plainSlab, SCRATCH_LEN, type Slab } from '../../../src/bytes/slab.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../../../src/crypto/algorithms.js'
import { ipsecMbEngine } from '../../../src/crypto/engines/ipsec-mb.js'
import { nobleEngine } from '../../../src/crypto/engines/noble.js'
import { ccm } from '../../../src/crypto/engines/noble-ccm.js'
import { opensslEngine } from '../../../src/crypto/engines/openssl.js'
import { selectEngines } from '../../../src/crypto/select.js'
import { selfTest } from '../../../src/crypto/self-test.js'
import type { CryptoEngine, CryptoQueue } from '../../../src/crypto/types.js'
import { CryptoError } from '../../../src/errors.js'
import { type Evp, evp } from '../../../src/ffi/evp.js'
import { nativeSlab } from '../../../src/ffi/slab.js'
import { ipsecMbEngines } from '../../reference/ipsec-mb-libraries.js'

const load = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), 'utf8'))

const slab: Slab = nativeSlab(65_536)
const selected = selectEngines('auto', slab).engines
const engines: readonly CryptoEngine[] = [
  ...ipsecMbEngines().map(({ file, engine }) => ({ ...engine, detail: file })),
  ...selected.filter((e) => e.name !== 'ipsec-mb'),
]
const labelled = engines.map((e) => [e.name === 'ipsec-mb' ? e.detail : e.name, e] as const)
const [A, B, C, D] = [SCRATCH_LEN, SCRATCH_LEN + 256, SCRATCH_LEN + 4096, SCRATCH_LEN + 16_384]
const put = (text: string, at: number): number => {
  const octets = fromHex(text)
  slab.bytes.set(octets, at)
  return octets.length
}
const get = (at: number, n: number): string => hex(slab.bytes.subarray(at, at + n))

const INTEG_IDS: Record<string, number> = {
  'HMAC-SHA1': INTEG.HMAC_SHA1_96,
  'HMAC-SHA2-256': INTEG.HMAC_SHA2_256_128,
  'HMAC-SHA2-384': INTEG.HMAC_SHA2_384_192,
  'HMAC-SHA2-512': INTEG.HMAC_SHA2_512_256,
}

const named = (name: string): CryptoEngine => engines.find((e) => e.name === name)!

test('openssl and noble are always there', () => {
  expect(engines.map((e) => e.name)).toEqual(expect.arrayContaining(['openssl', 'noble']))
})

test.each(['openssl', 'noble'])('%s has every algorithm with every key length', (name) => {
  const engine = named(name)
  for (const id of Object.values(ENCR)) {
    const { kind, keyLengths, saltLength, ivLength, icvLength } = encryptionInfo(id)!
    for (const length of keyLengths) {
      const key = new Uint8Array(length)
      if (kind === 'aead') {
        const aead = engine.aead(id, key, slab)
        expect(aead, `${id} with ${length} octets`).toMatchObject({
          nonceLength: saltLength + ivLength,
          icvLength,
        })
        aead!.destroy()
      } else if (kind === 'cbc' || kind === 'ctr') {
        const cipher = engine.cipher(id, key, slab)
        expect(cipher, `${id} with ${length} octets`).toBeDefined()
        cipher!.destroy()
      }
    }
  }
  for (const id of Object.values(INTEG)) {
    const info = integrityInfo(id)
    // GMAC is AES-GCM without a plaintext.
    if (!info || info.kind === 'gmac') continue
    const mac = engine.mac(id, new Uint8Array(info.keyLength), slab)
    expect(mac?.icvLength, info.name).toBe(info.icvLength)
    mac?.destroy()
  }
})

describe.each(labelled)('%s', (_, engine) => {
  test.each(load('aead.json').cases as Record<string, string>[])('AEAD vector $id', (v) => {
    const aead = engine.aead(Number(v.algorithm), fromHex(v.key!), slab)
    if (!aead) return
    put(v.nonce!, A)
    const aadLen = put(v.aad!, B)
    const n = put(v.plaintext!, C)
    aead.seal(A, B, aadLen, C, n, D, D + n)
    expect(get(D, n + 16)).toBe(v.sealed)
    slab.bytes.fill(0, C, C + n)
    expect(aead.open(A, B, aadLen, D, n, C, D + n)).toBe(true)
    expect(get(C, n)).toBe(v.plaintext)
    aead.destroy()
  })

  test.each(load('aes-cbc.json').cases as Record<string, string>[])('CBC vector $id', (v) => {
    const cipher = engine.cipher(ENCR.AES_CBC, fromHex(v.key!), slab)
    if (!cipher) return
    put(v.iv!, A)
    const n = put(v.plaintext!, C)
    cipher.encrypt(A, C, n, D)
    expect(get(D, n)).toBe(v.ciphertext)
    cipher.decrypt(A, D, n, D)
    expect(get(D, n)).toBe(v.plaintext)
    cipher.destroy()
  })

  test.each(load('rfc3686-aes-ctr.json').cases as Record<string, string>[])('CTR vector $id', (v) => {
    const cipher = engine.cipher(ENCR.AES_CTR, fromHex(v.key!), slab)
    if (!cipher) return
    put(`${v.nonce}${v.iv}00000001`, A)
    const n = put(v.plaintext!, C)
    cipher.encrypt(A, C, n, D)
    expect(get(D, n)).toBe(v.ciphertext)
    cipher.decrypt(A, D, n, D)
    expect(get(D, n)).toBe(v.plaintext)
    cipher.destroy()
  })

  test.each(load('rfc4106-rfc4543-gcm-gmac-esp.json').esp_gmac as Record<string, string>[])(
    'GMAC vector $id',
    (v) => {
      const aead = engine.aead(ENCR.AES_GCM_16, fromHex(v.key!), slab)!
      put(`${v.salt}${v.iv}`, A)
      const n = put(v.aad!, C)
      aead.seal(A, C, n, D, 0, D, D)
      expect(get(D, 16)).toBe(v.icv)
      expect(aead.open(A, C, n, D, 0, D, D)).toBe(true)
      aead.destroy()
    },
  )

  test.each([
    ...(load('aes-xcbc-cmac.json').xcbc as Record<string, string>[]).map((v) => ({
      ...v,
      algorithm: INTEG.AES_XCBC_96,
    })),
    ...(load('aes-xcbc-cmac.json').cmac as Record<string, string>[]).map((v) => ({
      ...v,
      algorithm: INTEG.AES_CMAC_96,
    })),
  ] as (Record<string, string> & { algorithm: number })[])('AES MAC vector $id', (v) => {
    const mac = engine.mac(v.algorithm, fromHex(v.key!), slab)
    if (!mac) return
    const n = put(v.message!, C)
    for (const tail of [0, Math.min(n, 4)]) {
      mac.compute(C, n - tail, C + n - tail, tail, D)
      expect(get(D, 12)).toBe(v.icv_96)
    }
    expect(mac.verify(C, n, C, 0, D)).toBe(true)
    mac.destroy()
  })

  test.each(
    (load('hmac.json').hmac as Record<string, string>[]).filter((v) => INTEG_IDS[v.algorithm!] !== undefined),
  )('HMAC vector $id', (v) => {
    const mac = engine.mac(INTEG_IDS[v.algorithm!]!, fromHex(v.key!), slab)
    if (!mac) return
    const n = put(v.message!, C)
    mac.compute(C, n, C, 0, D)
    expect(get(D, mac.icvLength)).toBe(v.mac!.slice(0, mac.icvLength * 2))
    mac.destroy()
  })

  test.each(load('hmac.json').auth as Record<string, string>[])('truncated ICV vector $id', (v) => {
    const mac = engine.mac(
      INTEG_IDS[v.algorithm!.replace(/^AUTH_(HMAC)_SHA2_(\d+)_.*/, '$1-SHA2-$2')]!,
      fromHex(v.key!),
      slab,
    )
    if (!mac) return
    const n = put(v.data!, C)
    mac.compute(C, n, C, 0, D)
    expect(get(D, mac.icvLength)).toBe(v.icv)
    expect(mac.verify(C, n, C, 0, D)).toBe(true)
    mac.destroy()
  })

  test.each(load('hmac.json').hmac_truncated as Record<string, string>[])('HMAC vector $id', (v) => {
    const mac = engine.mac(INTEG_IDS[v.algorithm!]!, fromHex(v.key!), slab)
    if (!mac) return
    const n = put(v.message!, C)
    mac.compute(C, n - 4, C + n - 4, 4, D)
    expect(get(D, 16)).toBe(v.mac_truncated_128)
    mac.destroy()
  })

  test('objects of one engine do not disturb each other', () => {
    const keys = [1, 2, 3].map((k) => new Uint8Array(16).fill(k))
    slab.bytes.fill(5, C, C + 100)
    const alone = keys.map((key) => {
      const aead = engine.aead(ENCR.AES_GCM_16, key, slab)!
      aead.seal(A, B, 8, C, 100, D, D + 100)
      aead.destroy()
      return get(D, 116)
    })
    const together = keys.map((key) => engine.aead(ENCR.AES_GCM_16, key, slab)!)
    for (const i of [0, 1, 2, 1, 0, 2]) {
      together[i]!.seal(A, B, 8, C, 100, D, D + 100)
      expect(get(D, 116)).toBe(alone[i])
      // A wrong tag and a right one in turn: the object bears no grudge.
      slab.bytes[D + 116 - 1]! ^= 1
      expect(together[i]!.open(A, B, 8, D, 100, C + 1024, D + 100)).toBe(false)
      slab.bytes[D + 116 - 1]! ^= 1
      expect(together[i]!.open(A, B, 8, D, 100, C + 1024, D + 100)).toBe(true)
    }
    for (const aead of together) aead.destroy()
  })
})

test('every engine says undefined for a key of the wrong length', () => {
  for (const engine of engines) {
    expect(engine.aead(ENCR.AES_GCM_16, new Uint8Array(17), slab)).toBeUndefined()
    expect(engine.aead(ENCR.CHACHA20_POLY1305, new Uint8Array(16), slab)).toBeUndefined()
    expect(engine.aead(ENCR.CHACHA20_POLY1305, new Uint8Array(36), slab)).toBeUndefined()
    expect(engine.aead(ENCR.AES_CCM_8, new Uint8Array(19), slab)).toBeUndefined()
    expect(engine.cipher(ENCR.AES_CBC, new Uint8Array(15), slab)).toBeUndefined()
    expect(engine.cipher(ENCR.AES_CTR, new Uint8Array(20), slab)).toBeUndefined()
    expect(engine.mac(INTEG.AES_XCBC_96, new Uint8Array(15), slab)).toBeUndefined()
    expect(engine.mac(INTEG.AES_CMAC_96, new Uint8Array(32), slab)).toBeUndefined()
  }
})

test('every engine says undefined for an algorithm of another kind, or that nobody knows', () => {
  for (const engine of engines) {
    expect(engine.aead(ENCR.AES_CBC, new Uint8Array(16), slab)).toBeUndefined()
    expect(engine.cipher(ENCR.AES_GCM_16, new Uint8Array(16), slab)).toBeUndefined()
    expect(engine.aead(999, new Uint8Array(16), slab)).toBeUndefined()
    expect(engine.aead(ENCR.AES_CTR, new Uint8Array(16), slab)).toBeUndefined()
    expect(engine.cipher(ENCR.AES_CCM_8, new Uint8Array(16), slab)).toBeUndefined()
    expect(engine.mac(INTEG.AES_128_GMAC, new Uint8Array(20), slab)).toBeUndefined()
    expect(engine.mac(999, new Uint8Array(16), slab)).toBeUndefined()
  }
})

test('openssl refuses memory without an address', () => {
  const engine = opensslEngine() as CryptoEngine
  const plain = plainSlab(8192)
  expect(engine.aead(ENCR.AES_GCM_16, new Uint8Array(16), plain)).toBeUndefined()
  expect(engine.cipher(ENCR.AES_CBC, new Uint8Array(16), plain)).toBeUndefined()
  expect(engine.mac(INTEG.HMAC_SHA2_256_128, new Uint8Array(32), plain)).toBeUndefined()
  expect(engine.mac(INTEG.AES_XCBC_96, new Uint8Array(16), plain)).toBeUndefined()
})

describe('AES-CCM with the nonces of RFC 3610', () => {
  const { cases } = load('rfc3610-aes-ccm.json') as { cases: Record<string, string>[] }

  test.each(cases)('noble, $id', (v) => {
    const sealed = `${v.ciphertext}${v.tag}`
    const cipher = ccm(v.tag!.length / 2)(fromHex(v.key!), fromHex(v.nonce!), fromHex(v.aad!))
    expect(hex(cipher.encrypt(fromHex(v.plaintext!)))).toBe(sealed)
    expect(hex(cipher.decrypt(fromHex(sealed)))).toBe(v.plaintext)
    expect(() => cipher.decrypt(fromHex(sealed).map((octet, i) => octet ^ Number(i === 0)))).toThrow()
  })

  test.each(cases)('libcrypto, $id', (v) => {
    const library = evp() as Evp
    const at = (offset: number): number => slab.address + offset
    put(v.key!, A)
    const lengths = [v.nonce!.length / 2, v.tag!.length / 2] as const
    const [encrypt, decrypt] = [true, false].map((direction) => {
      const context = library.newCipherContext()
      expect(library.setCcmKey(context, library.cipher('aes_128_ccm'), at(A), ...lengths, direction)).toBe(
        true,
      )
      return context
    })
    put(v.nonce!, A)
    const aadLen = put(v.aad!, B)
    const n = put(v.plaintext!, C)
    expect(library.sealCcm(encrypt!, at(A), at(B), aadLen, at(C), n, at(D), at(D + n), lengths[1])).toBe(true)
    expect(get(D, n + lengths[1])).toBe(`${v.ciphertext}${v.tag}`)
    const opens = (): boolean =>
      library.openCcm(decrypt!, at(A), at(B), aadLen, at(D), n, at(C), at(D + n), lengths[1])
    expect(opens()).toBe(true)
    slab.bytes[D]! ^= 1
    expect(opens()).toBe(false)
    library.freeCipherContext(encrypt!)
    library.freeCipherContext(decrypt!)
  })
})

describe.each(labelled)('%s: after the end of a key nothing gets out', (_, engine) => {
  const secret = '53656372657420'.repeat(16)

  test.each([
    [ENCR.AES_GCM_16, 16],
    [ENCR.AES_CCM_16, 16],
    [ENCR.CHACHA20_POLY1305, 32],
  ])('AEAD %i: neither plaintext nor an ICV stays, and nothing opens', (id, keyLength) => {
    const aead = engine.aead(id, new Uint8Array(keyLength), slab)
    if (!aead) return
    const n = put(secret, D)
    aead.seal(A, B, 8, D, n, D, D + n)
    const sealed = get(D, n + 16)
    aead.destroy()
    aead.destroy()
    expect(aead.open(A, B, 8, D, n, C, D + n)).toBe(false)
    put(secret, D)
    aead.seal(A, B, 8, D, n, D, D + n)
    expect(get(D, n + 16)).toBe('00'.repeat(n + 16))
    expect(sealed).not.toContain('00'.repeat(16))
  })

  test.each([ENCR.AES_CBC, ENCR.AES_CTR])('cipher %i: no plaintext stays', (id) => {
    const cipher = engine.cipher(id, new Uint8Array(16), slab)
    if (!cipher) return
    cipher.destroy()
    cipher.destroy()
    const n = put(secret, D)
    cipher.encrypt(A, D, n, D)
    expect(get(D, n)).toBe('00'.repeat(n))
    put(secret, D)
    cipher.decrypt(A, D, n, D)
    expect(get(D, n)).toBe('00'.repeat(n))
  })

  test.each([
    [INTEG.HMAC_SHA2_256_128, 32],
    [INTEG.AES_XCBC_96, 16],
    [INTEG.AES_CMAC_96, 16],
  ])('MAC %i: the ICV of an earlier packet neither goes out nor is accepted', (id, keyLength) => {
    const mac = engine.mac(id, new Uint8Array(keyLength), slab)
    if (!mac) return
    const n = put(secret, C)
    mac.compute(C, n, C, 0, D)
    mac.destroy()
    mac.destroy()
    expect(mac.verify(C, n, C, 0, D)).toBe(false)
    mac.compute(C, n, C, 0, D)
    expect(get(D, mac.icvLength)).toBe('00'.repeat(mac.icvLength))
    expect(mac.verify(C, n, C, 0, D)).toBe(false)
  })
})

test('an engine that answers wrongly fails its self-test', () => {
  const good = named('noble')
  const faulty = (change: Partial<CryptoEngine>): CryptoEngine => ({ ...good, ...change })
  expect(selfTest(good, slab)).toBeUndefined()
  // A cipher that encrypts rightly and accepts everything.
  const credulous = faulty({
    aead(id, key, s) {
      const aead = good.aead(id, key, s)
      return (
        aead && {
          nonceLength: aead.nonceLength,
          icvLength: aead.icvLength,
          seal: aead.seal.bind(aead),
          open: (...args) => {
            aead.open(...args)
            return true
          },
          destroy: () => aead.destroy(),
        }
      )
    },
  })
  expect(selfTest(credulous, slab)).toMatch(/AES-128-GCM/)
  const swapped = faulty({ mac: (_, key, s) => good.mac(INTEG.HMAC_SHA2_256_128, key, s) })
  expect(selfTest(swapped, slab)).toMatch(/HMAC-SHA1/)
  // GMAC over no more than one wide register.
  const brief = faulty({
    aead(id, key, s) {
      const aead = good.aead(id, key, s)
      return (
        aead && {
          nonceLength: aead.nonceLength,
          icvLength: aead.icvLength,
          seal: (nonce, aad, aadLen, ...rest) => aead.seal(nonce, aad, Math.min(aadLen, 512), ...rest),
          open: aead.open.bind(aead),
          destroy: () => aead.destroy(),
        }
      )
    },
  })
  expect(selfTest(brief, slab)).toMatch(/AES-128-GMAC/)
  // Right for what fills no wide register, wrong beyond.
  const narrow = faulty({
    cipher(id, key, s) {
      const cipher = good.cipher(id, key, s)
      return (
        cipher && {
          encrypt: (iv, src, len, dst) => cipher.encrypt(iv, src, Math.min(len, 512), dst),
          decrypt: cipher.decrypt.bind(cipher),
          destroy: () => cipher.destroy(),
        }
      )
    },
  })
  expect(selfTest(narrow, slab)).toMatch(/AES-128-CBC/)
  // A comparison of the ICV that stops early.
  const hasty = faulty({
    mac(id, key, s) {
      const mac = good.mac(id, key, s)
      return (
        mac && {
          icvLength: mac.icvLength,
          compute: mac.compute.bind(mac),
          verify(at, len, tail, tailLen, icv) {
            const given = s.bytes.slice(icv, icv + mac.icvLength)
            mac.compute(at, len, tail, tailLen, icv)
            const same = hex(s.bytes.subarray(icv, icv + 8)) === hex(given.subarray(0, 8))
            s.bytes.set(given, icv)
            return same
          },
          destroy: () => mac.destroy(),
        }
      )
    },
  })
  expect(selfTest(hasty, slab)).toMatch(/HMAC-SHA1/)
})

test('an engine without any algorithm for the memory fails its self-test', () => {
  const plain = plainSlab(8192)
  expect(selfTest(opensslEngine() as CryptoEngine, plain)).toMatch(/no algorithm/)
  expect(selfTest(named('noble'), plain)).toBeUndefined()
  expect(selfTest(named('noble'), plainSlab(1024))).toMatch(/no room/)
  const { engines: usable, report } = selectEngines('auto', plain)
  expect(usable.map((e) => e.name)).toEqual(['noble'])
  expect(report.find((r) => r.name === 'openssl')?.refused).toMatch(/no algorithm/)
  expect(() => selectEngines('openssl', plain)).toThrow(CryptoError)
})

test('a self-test clears what it used and destroys what it made, also when it fails', () => {
  const small = nativeSlab(8192)
  let alive = 0
  const counted = <T extends { destroy(): void }>(made: T | undefined): T | undefined => {
    if (!made) return undefined
    alive++
    const destroy = made.destroy.bind(made)
    made.destroy = () => {
      alive--
      destroy()
    }
    return made
  }
  const noble = named('noble')
  const watched: CryptoEngine = {
    ...noble,
    aead: (id, key, s) => counted(noble.aead(id, key, s)),
    cipher: (id, key, s) => counted(noble.cipher(id, key, s)),
    mac: (_, key, s) => counted(noble.mac(INTEG.HMAC_SHA2_512_256, key, s)),
  }
  expect(selfTest(watched, small)).toMatch(/HMAC-SHA1/)
  expect(alive).toBe(0)
  expect(small.bytes.every((v) => v === 0)).toBe(true)
})

test('a wanted engine leads, slower ones stay behind it', () => {
  expect(selectEngines('openssl', slab).engines.map((e) => e.name)).toEqual(['openssl', 'noble'])
  expect(selectEngines('noble', slab).engines.map((e) => e.name)).toEqual(['noble'])
})

describe('libIPSec_MB', () => {
  test('a file that is not there, or is another library, is no engine, and says why', () => {
    expect(ipsecMbEngine('/nonexistent/libIPSec_MB.so.2')).toBe(
      '/nonexistent/libIPSec_MB.so.2 is not installed',
    )
    expect(ipsecMbEngine('libc.so.6')).toMatch(/^libIPSec_MB cannot be used: .*imb_get_version/)
  })

  test.each(ipsecMbEngines())('$file passes its self-tests', ({ engine }) => {
    expect(engine.detail).toMatch(/^libIPSec_MB (1\.[3-9]|2\.\d+)\.\d+, (SSE|AVX|AVX2|AVX512)$/)
    expect(selfTest(engine, slab)).toBeUndefined()
  })

  test.each(ipsecMbEngines())('$file: one by one, only what is faster so', ({ engine }) => {
    for (const id of [ENCR.AES_GCM_16, ENCR.CHACHA20_POLY1305]) {
      const aead = engine.aead(id, new Uint8Array(32), slab)
      expect(aead).toMatchObject({ nonceLength: 12, icvLength: 16 })
      aead!.destroy()
    }
    expect(engine.aead(ENCR.AES_CCM_8, new Uint8Array(16), slab)).toBeUndefined()
    expect(engine.cipher(ENCR.AES_CBC, new Uint8Array(16), slab)).toBeUndefined()
    expect(engine.mac(INTEG.HMAC_SHA2_256_128, new Uint8Array(32), slab)).toBeUndefined()
  })
})

describe('an engine at start', () => {
  const noble = nobleEngine()
  const named = (engine: CryptoEngine) => () => engine
  const asIpsecMb: CryptoEngine = { ...noble, name: 'ipsec-mb', detail: 'a library' }

  test('that answers wrongly is left out, with its reason, and the next takes over', () => {
    const wrong: CryptoEngine = {
      ...asIpsecMb,
      aead: () => undefined,
      mac: (_, k, s) => noble.mac(INTEG.HMAC_SHA2_512_256, k, s),
    }
    const { engines: usable, report } = selectEngines('auto', slab, [
      ['ipsec-mb', named(wrong)],
      ['noble', named(noble)],
    ])
    expect(usable.map((e) => e.name)).toEqual(['noble'])
    expect(report[0]).toEqual({
      name: 'ipsec-mb',
      detail: 'a library',
      refused: 'wrong answer for HMAC-SHA1',
    })
  })

  test('that throws is left out', () => {
    const broken = (): CryptoEngine => {
      throw new Error('no such thing')
    }
    const { report } = selectEngines('auto', slab, [
      ['openssl', broken],
      ['noble', named(noble)],
    ])
    expect(report[0]).toEqual({ name: 'openssl', detail: 'no such thing', refused: 'no such thing' })
  })

  test('whose queue answers wrongly goes on without it, and says so', () => {
    const idle: CryptoQueue = {
      capacity: 64,
      length: 0,
      aead: () => ({
        nonceLength: 12,
        icvLength: 16,
        seal: () => 0,
        open: () => 0,
        destroy: () => {},
      }),
      cipherMac: () => undefined,
      run: () => {},
      done: () => true,
    }
    const { engines: usable, report } = selectEngines('auto', slab, [
      ['ipsec-mb', named({ ...asIpsecMb, queue: () => idle })],
    ])
    expect(usable[0]!.queue).toBeUndefined()
    expect(report).toEqual([
      {
        name: 'ipsec-mb',
        detail: 'a library; packets one by one, as its queue gives a wrong answer for AES-128-GCM',
      },
    ])
  })
})
