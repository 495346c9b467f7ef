import { describe, expect, test } from 'vitest'
import { fuzz } from '../fuzz/runner.js'
import { TARGETS } from '../fuzz/targets/index.js'

// A short run of the fuzzer with a fixed seed: `npm run fuzz` does the same for as long as one likes.

const SEED = 20_261_123
/** A target's turn; one that is slower than this has one case. */
const SLICE_MS = 250

describe('fuzzing', () => {
  test.each(TARGETS.map((t) => [t.name, t] as const))('%s', { timeout: 60_000 }, async (_, target) => {
    const result = await fuzz({ seed: SEED, targets: [target], inputs: 1, sliceMs: SLICE_MS })
    expect(result.failures).toEqual([])
    expect(result.inputs).toBeGreaterThan(0)
  })
})
