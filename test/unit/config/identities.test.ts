import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hex } from '../../../src/bytes/octets.js'
import {
  formatIdentityFile,
  formatPublicKey,
  formatRawPublicKey,
  identityOf,
  pairKey,
  signingKey,
} from '../../../src/ike/host-identity.js'
import { BASE, lineOf, Scenario } from './scenario.js'

const SEED_A = new Uint8Array(32).map((_, i) => i * 7 + 1)
const SEED_B = new Uint8Array(32).map((_, i) => i * 11 + 3)
const PUBLIC_B = identityOf(SEED_B).publicKey
const KEY_B = formatPublicKey(PUBLIC_B)
/** As in a PEM file of another implementation. */
const RAW_B = formatRawPublicKey(signingKey(PUBLIC_B))

let s: Scenario
beforeEach(() => {
  s = new Scenario()
  s.write('a.identity', formatIdentityFile(SEED_A))
  s.write('public_keys', `# the pool\ndom0-b.example ${KEY_B}\n`, 0o644)
})
afterEach(() => s.remove())

const IDENTITY = '  identity: a.identity\n'
const KEYS = '  public_keys: public_keys\n'
/** The base configuration with lines added to host, and `key_file: b.key` replaced. */
const config = (host: string, key = ''): string =>
  BASE.replace('host:\n', `host:\n${host}`).replace('    key_file: b.key\n', key)

/** The same with IKEv2, which BASE does not use. */
const config2 = (host: string, key = ''): string => config(host, key).replace('version: 1', 'version: 2')

describe('host.identity', () => {
  test.each([
    ['a file of public keys', config(IDENTITY + KEYS)],
    ['a public key in place', config(IDENTITY, `    public_key: ${KEY_B}\n`)],
  ])('K_ab comes from %s', (_, text) => {
    const { ike, host } = s.load(text)
    expect(hex(ike[0]!.key)).toBe(hex(pairKey(identityOf(SEED_A), PUBLIC_B)))
    expect(hex(ike[0]!.key)).toBe(hex(pairKey(identityOf(SEED_B), identityOf(SEED_A).publicKey)))
    expect(host.publicKey).toEqual(identityOf(SEED_A).publicKey)
  })

  test('IKE is authenticated by public keys where they are all there is', () => {
    const { signatures } = s.load(config2(IDENTITY + KEYS)).ike[0]!
    const own = identityOf(SEED_A)
    expect(signatures).toEqual({
      sign: own.sign,
      own: signingKey(own.publicKey),
      peer: signingKey(PUBLIC_B),
    })
    for (const psk of ['    auth: psk\n'])
      expect(s.load(config2(IDENTITY + KEYS, psk)).ike[0]!.signatures).toBeUndefined()
    expect(s.load(config(IDENTITY + KEYS)).ike[0]!.signatures).toBeUndefined()
    const classic = config2(IDENTITY + KEYS).replace('dynamic_psk: hardened', 'dynamic_psk: classic')
    expect(s.load(classic).ike[0]!.signatures).toBeUndefined()
  })

  test('a peer of another make: its Ed25519 key, and no pre-phase', () => {
    const text = config2(IDENTITY, `    public_key: ${RAW_B}\n`).replace(
      'dynamic_psk: hardened',
      'dynamic_psk: off',
    )
    const [peer] = s.load(text).ike
    expect(peer!.signatures!.peer).toEqual(signingKey(PUBLIC_B))
    expect(peer!.key).toHaveLength(0)
  })

  test('a key file for the pre-phase, public keys for IKE', () => {
    const key = s.key('b.key')
    const [peer] = s.load(
      config2(IDENTITY, `    key_file: b.key\n    public_key: ${RAW_B}\n    auth: pubkey\n`),
    ).ike
    expect(hex(peer!.key)).toBe(hex(key))
    expect(peer!.signatures!.peer).toEqual(signingKey(PUBLIC_B))
  })

  test('a key file is taken before a public key in the file', () => {
    const key = s.key('b.key')
    expect(hex(s.load(config(IDENTITY + KEYS, '    key_file: b.key\n')).ike[0]!.key)).toBe(hex(key))
  })

  test.each<[string, string, string, RegExp]>([
    ['no key at all', config(IDENTITY), 'dom0-b:', /key_file.*is missing.*public key/],
    ['no identity', config(KEYS), 'public_keys', /only with host\.identity.*identity make/],
    [
      'no identity beside a key in place',
      config('', `    public_key: ${KEY_B}\n`),
      'public_key',
      /host\.identity/,
    ],
    [
      'a key that is cut off',
      config(IDENTITY, `    public_key: ${KEY_B.slice(4)}\n`),
      'public_key',
      /identity show/,
    ],
    [
      'our own key',
      config(IDENTITY, `    public_key: ${formatPublicKey(identityOf(SEED_A).publicKey)}\n`),
      'public_key',
      /public key of this host/,
    ],
    [
      'a point of small order',
      config(IDENTITY, `    public_key: ${formatPublicKey(new Uint8Array(64))}\n`),
      'public_key',
      /small order/,
    ],
    [
      'two keys',
      config(IDENTITY, `    key_file: b.key\n    public_key: ${KEY_B}\n`),
      'public_key',
      /one of the two/,
    ],
    [
      'a plain PSK',
      config(IDENTITY + KEYS, `    auth: psk\n`).replace('dynamic_psk: hardened', 'dynamic_psk: off'),
      'dom0-b:',
      /key_file.*is missing.*PSK that both ends share/,
    ],
    [
      'signatures without a key',
      config2(IDENTITY, '    auth: pubkey\n'),
      'dom0-b:',
      /public_key.*host\.public_keys/,
    ],
    [
      'a key for signatures alone where the pre-phase needs one',
      config2(IDENTITY, `    public_key: ${RAW_B}\n`),
      'public_key:',
      /signatures alone.*dynamic_psk: off/,
    ],
    [
      'a PSK that nobody uses',
      config2(IDENTITY, `    public_key: ${RAW_B}\n    key_file: b.key\n    auth: pubkey\n`).replace(
        'dynamic_psk: hardened',
        'dynamic_psk: off',
      ),
      'key_file: b.key',
      /has no use/,
    ],
    [
      'signatures and the classic pre-phase',
      config2(IDENTITY + KEYS, '    auth: pubkey\n').replace('dynamic_psk: hardened', 'dynamic_psk: classic'),
      'auth: pubkey',
      /classic pre-phase makes a PSK/,
    ],
    ['signatures and IKEv1', config(IDENTITY + KEYS, '    auth: pubkey\n'), 'auth: pubkey', /IKEv1 only psk/],
  ])('%s is an error with its line', (_, text, at, message) => {
    s.key('b.key')
    const problems = s.problems(text)
    expect(problems).toHaveLength(1)
    expect(problems[0]!.line).toBe(lineOf(text, at))
    expect(`${problems[0]!.key} ${problems[0]!.message}`).toMatch(message)
  })

  test.each<[string, () => void, RegExp]>([
    ['a K_ab instead of an identity', () => s.key('a.identity'), /not an identity/],
    ['an identity that is cut off', () => s.write('a.identity', 'sallyport-identity-1 AAAA\n'), /cut off/],
    [
      'an identity that others can read',
      () => s.write('a.identity', formatIdentityFile(SEED_A), 0o644),
      /chmod 600/,
    ],
    ['a file of keys that others can change', () => s.write('public_keys', '', 0o666), /chmod go-w/],
    [
      'a line that is none',
      () => s.write('public_keys', `dom0-b.example\n`, 0o644),
      /public_keys:1: expected/,
    ],
    [
      'a host twice',
      () => s.write('public_keys', `dom0-b.example ${KEY_B}\n@dom0-b.example ${KEY_B}\n`, 0o644),
      /public_keys:2: dom0-b\.example has/,
    ],
  ])('%s', (_, spoil, message) => {
    spoil()
    const problems = s.problems(config(IDENTITY + KEYS))
    expect(problems.map((p) => p.message).join('\n')).toMatch(message)
    expect(problems[0]!.key).toMatch(/^host\.(identity|public_keys)$/)
    expect(JSON.stringify(problems)).not.toContain(Buffer.from(SEED_A).toString('base64'))
  })

  test('a missing file says how to make one', () => {
    const problems = s.problems(config('  identity: none.identity\n', `    public_key: ${KEY_B}\n`))
    expect(problems).toHaveLength(1)
    expect(problems[0]!.message).toMatch(/does not exist.*sallyport identity make -o/)
  })
})
