import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseConfig } from '../../src/daemon/config/load.js'
import { ConfigFileError } from '../../src/daemon/config/problems.js'

const NAMES = [
  'host',
  'tun',
  'log',
  'dataplane',
  'peers',
  'id',
  'state',
  'control',
  'name',
  'addresses',
  'mtu',
  'level',
  'format',
  'engine',
  'fwmark',
  'table',
  'offload',
  'local',
  'remote',
  'key_file',
  'dynamic_psk',
  'ike',
  'version',
  'proposals',
  'lifetime',
  'dpd',
  'encapsulation',
  'children',
  'protocol',
  'mode',
  'time',
  'bytes',
  'manual',
  'direction',
  'spi',
  'algorithms',
  'keys_file',
  'start',
  'replay_window',
  'b',
  'constructor',
  'toString',
]
const VALUES = [
  'auto',
  'esp',
  'ah',
  'tunnel',
  'transport',
  '10.0.0.1',
  '10.0.0.0/8',
  '2001:db8::1',
  '1h',
  '1GiB',
  'aes128-sha256',
  'aes128-sha256-modp2048',
  'none.key',
  'off',
  'classic',
  'outbound',
  'inbound',
  '*',
  '&a',
  '0x5a11',
]

const key = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...NAMES) }, fc.string({ maxLength: 20 }))
const leaf = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...VALUES) },
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.double(),
  fc.integer(),
  fc.constantFrom(null, true, false),
)
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'medium', maxDepth: 6 },
    leaf,
    fc.array(tie('any'), { maxLength: 4 }),
    tie('map'),
  ),
  map: fc.dictionary(key, tie('any'), { maxKeys: 8 }),
})).map

/** Whatever the file says, it is either taken or refused with problems that stand somewhere in it. */
function takenOrRefused(text: string): void {
  try {
    parseConfig('/nowhere/fuzz.yaml', text)
  } catch (error) {
    if (!(error instanceof ConfigFileError)) throw error
    const lines = text.split('\n').length
    for (const p of error.problems) {
      expect(p.line).toBeGreaterThanOrEqual(1)
      expect(p.line).toBeLessThanOrEqual(lines + 1)
      expect(p.message).not.toContain('\n')
      expect(p.message).not.toMatch(/\[object Object\]|undefined/)
    }
  }
}

test('random structures give ConfigFileError at worst', () => {
  fc.assert(
    fc.property(value, (v) => takenOrRefused(JSON.stringify(v, null, 1))),
    { numRuns: 500 },
  )
})

test('random text gives ConfigFileError at worst', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), takenOrRefused), { numRuns: 1000 })
})

const GOOD = `host: { id: a }
peers:
  b:
    id: b
    local: 10.0.0.1
    remote: 10.0.0.2
    key_file: none.key
    children: { m: { local: [10.1.0.0/16], remote: [10.2.0.0/16], proposals: [aes128gcm16] } }
`
test('a good file with characters changed gives ConfigFileError at worst', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(GOOD.length), fc.constantFrom(...' :{}[]&*!|>"\'#,-\n\t%@`?0a')), {
        maxLength: 5,
      }),
      (changes) => {
        let text = GOOD
        for (const [at, c] of changes) text = text.slice(0, at) + c + text.slice(at + 1)
        takenOrRefused(text)
      },
    ),
    { numRuns: 1500 },
  )
})
