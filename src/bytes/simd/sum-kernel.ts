import { onesComplementSum } from '../checksum.js'
import type { Slab } from '../slab.js'
import { CHECKSUM_WASM } from './checksum.wasm.js'

/**
 * Ones'-complement sum over a slab: `length` octets at `at` as big-endian 16-bit words plus `seed`, folded to 16 bits,
 * not complemented (RFC 1071).
 */
export type SumKernel = (at: number, length: number, seed: number) => number

let compiled: WebAssembly.Module | undefined

/** SIMD WebAssembly where the slab's memory can be given to it, plain TypeScript otherwise. Both give the same numbers. */
export function sumKernel(slab: Slab): SumKernel {
  if (!slab.memory) return (at, length, seed) => onesComplementSum(slab.bytes, at, length, seed)
  compiled ??= new WebAssembly.Module(Buffer.from(CHECKSUM_WASM, 'base64'))
  const instance = new WebAssembly.Instance(compiled, { env: { memory: slab.memory } })
  return instance.exports.sum as SumKernel
}
