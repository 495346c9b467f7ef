import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

// Needs no namespace, but the compiled code: what vitest makes of a source file is not what runs in production.
const PIPELINE = fileURLToPath(new URL('../../dist/bench/pipeline.js', import.meta.url))

test('a million packets are cut, sealed, opened and joined and nothing is allocated for any of them', {
  timeout: 120_000,
}, () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['--trace-gc', PIPELINE, '1000000'], {
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  const after = stdout.slice(stdout.indexOf('warm'))
  expect(Number(/delivered (\d+)/.exec(after)?.[1])).toBeGreaterThanOrEqual(1_000_000)
  // The young generation holds some 4 MB here: an object of 16 octets a packet would be collected four times. What is
  // left over comes from the rounds around the packets.
  expect((after.match(/Scavenge|Mark-Compact/g) ?? []).length).toBeLessThanOrEqual(2)
})
