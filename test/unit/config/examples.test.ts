import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig, wipeConfig } from '../../../src/daemon/config/load.js'
import { formatIdentityFile, formatPublicKey, identityOf } from '../../../src/ike/host-identity.js'
import { Scenario } from './scenario.js'

const FOLDER = join(import.meta.dirname, '../../../config')
const examples = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))

let s: Scenario
beforeAll(() => {
  s = new Scenario()
  for (const name of examples) {
    const text = readFileSync(join(FOLDER, name), 'utf8')
    for (const m of text.matchAll(/^[^#\n]*key_file: (\S+)/gm)) s.key(m[1]!)
    copyFileSync(join(FOLDER, name), join(s.folder, name))
  }
  s.write('identity.key', formatIdentityFile(new Uint8Array(32).fill(1)))
  const publicKey = (n: number) => formatPublicKey(identityOf(new Uint8Array(32).fill(n)).publicKey)
  s.write(
    'public_keys',
    ['b', 'c'].map((x, i) => `dom0-${x}.pool.example ${publicKey(i + 2)}\n`).join(''),
    0o644,
  )
  s.write(
    'manual.keys',
    `0x1001 encryption ${'a1'.repeat(16)}\n0x1001 integrity ${'a2'.repeat(32)}\n` +
      `0x1002 encryption ${'b1'.repeat(16)}\n0x1002 integrity ${'b2'.repeat(32)}\n`,
  )
})
afterAll(() => s.remove())

test('every deployment has an example', () => {
  expect(examples.sort()).toEqual([
    'identity-pool.yaml',
    'manual-sas.yaml',
    'paper.yaml',
    'three-host-pool.yaml',
    'transparent-ah-transport.yaml',
    'two-host-esp-tunnel.a.yaml',
    'two-host-esp-tunnel.b.yaml',
  ])
})

describe('examples load', () => {
  test.each(examples)('%s', (name) => {
    const config = loadConfig(join(s.folder, name))
    expect(config.policies.length).toBeGreaterThan(0)
    wipeConfig(config)
  })
})

test('the examples are what they are called', () => {
  const load = (name: string) => loadConfig(join(s.folder, name))
  expect(load('transparent-ah-transport.yaml').policies).toMatchObject([
    { protocol: 'ah', mode: 'transport', transparent: true, encapsulation: 'raw' },
  ])
  expect(load('paper.yaml').ike).toMatchObject([{ dynamicPsk: 'classic', version: 1 }])
  expect(load('three-host-pool.yaml').ike.map((p) => p.ikeLifetimeSeconds)).toEqual([14_400, 14_400])
  expect(load('manual-sas.yaml').manual).toHaveLength(2)
  const a = load('two-host-esp-tunnel.a.yaml').ike[0]!
  const b = load('two-host-esp-tunnel.b.yaml').ike[0]!
  expect([a.local, a.remote, a.localId, a.remoteId]).toEqual([b.remote, b.local, b.remoteId, b.localId])
  expect(a.proposals).toEqual(b.proposals)
  expect(a.children[0]?.proposals).toEqual(b.children[0]?.proposals)
})
