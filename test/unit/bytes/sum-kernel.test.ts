import fc from 'fast-check'
import { expect, test } from 'vitest'
import { onesComplementSum } from '../../../src/bytes/checksum.js'
import { sumKernel } from '../../../src/bytes/simd/sum-kernel.js'
import { plainSlab, type Slab } from '../../../src/bytes/slab.js'

function wasmSlab(): Slab {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2 })
  return {
    bytes: new Uint8Array(memory.buffer),
    view: new DataView(memory.buffer),
    address: 0,
    scratch: 0,
    memory,
  }
}

test('SIMD and plain kernels give the same sum as the plain loop, at any offset and length', () => {
  const slab = wasmSlab()
  const plain = plainSlab(131_072 - 1024)
  const kernel = sumKernel(slab)
  const twin = sumKernel(plain)
  for (let i = 0; i < slab.bytes.length; i++) slab.bytes[i] = (i * 2654435761) >>> 13
  slab.bytes.fill(0xff, 70_000)
  plain.bytes.set(slab.bytes)
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 100_000 }),
      fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 30_000 })),
      fc.integer({ min: 0, max: 0xfffff }),
      (at, length, seed) => {
        const expected = onesComplementSum(slab.bytes, at, length, seed)
        expect(kernel(at, length, seed)).toBe(expected)
        expect(twin(at, length, seed)).toBe(expected)
      },
    ),
  )
})
