import fc from 'fast-check'

/** What a hostile sender makes of a message. */
export const mutation = fc.record({
  index: fc.nat(40),
  flips: fc.array(fc.tuple(fc.nat(2_000), fc.integer({ min: 1, max: 255 })), { maxLength: 6 }),
  cut: fc.option(fc.nat(600), { nil: undefined }),
  tail: fc.uint8Array({ maxLength: 40 }),
  fixLength: fc.boolean(),
  clear: fc.boolean(),
})
export type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never

/** @returns new octets */
export function mutate(message: Uint8Array, m: Mutation): Uint8Array {
  const kept = m.cut === undefined ? message : message.subarray(0, m.cut)
  const out = new Uint8Array(kept.length + m.tail.length)
  out.set(kept)
  out.set(m.tail, kept.length)
  for (const [at, bits] of m.flips) if (at < out.length) out[at]! ^= bits
  if (m.clear && out.length > 19) out[19]! &= 0xfe
  if (m.fixLength && out.length >= 28) new DataView(out.buffer).setUint32(24, out.length)
  return out
}
