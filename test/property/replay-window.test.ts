import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReplayWindow } from '../../src/ipsec/replay-window.js'
import { ReplayTwin } from '../reference/replay-twin.js'

const NAMES: Readonly<Record<number, string>> = { 0: 'new', [-15]: 'replayed', [-16]: 'too old' }

/** Steps relative to the highest number: small ones most of the time, and now and then a leap. */
const step = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -300, max: 300 }) },
  { weight: 2, arbitrary: fc.integer({ min: -70_000, max: 70_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(0x7fff_ffff, -0x8000_0000, 0xffff_fff0, 0x4000_0000) },
)

for (const esn of [false, true])
  test(`the window and its slow twin agree, ESN ${esn}`, () => {
    fc.assert(
      fc.property(
        fc.constantFrom(32, 64, 96, 128, 1024, 4096),
        fc.constantFrom(0n, 1n, 50n, 0xffff_fff0n, 0x1_0000_0000n, 0x1_0000_0fffn, 0x5_ffff_ff80n),
        fc.array(fc.tuple(step, fc.boolean()), { maxLength: 200 }),
        (size, start, steps) => {
          const top = esn ? start : start & 0xffff_ffffn
          const twin = new ReplayTwin(size, esn, top)
          const window = new ReplayWindow(size, esn)
          window.startAt(Number(top >> 32n), Number(top & 0xffff_ffffn))
          for (const [delta, authentic] of steps) {
            const low = Number(BigInt.asUintN(32, twin.highest + BigInt(delta)))
            const want = twin.check(low)
            expect(NAMES[window.check(low)]).toBe(want)
            if (want !== 'too old') expect(window.high).toBe(twin.high)
            if (want === 'new' && authentic) {
              twin.commit()
              window.commit()
            }
            expect((BigInt(window.topHigh) << 32n) | BigInt(window.topLow)).toBe(twin.highest)
          }
        },
      ),
      { numRuns: 300 },
    )
  })
