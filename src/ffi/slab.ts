import { SCRATCH_LEN, type Slab } from '../bytes/slab.js'
import { addressOf } from './koffi.js'
import { lowAlias } from './low-memory.js'

const PAGE = 65_536

/**
 * A slab that native calls and SIMD kernels can work on: a WebAssembly memory of fixed size, which stays where it is as
 * long as nobody grows it, and nobody does. Its address is a low one where the system has one (low-memory.ts). Octet 0 starts the scratch area, the first packet octet is at SCRATCH_LEN.
 * @param length octets for packets, besides the scratch area; rounded up to whole pages of 64 KiB
 * @throws SystemError where no native calls can be made
 */
export function nativeSlab(length: number): Slab {
  const pages = Math.ceil((SCRATCH_LEN + length) / PAGE)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages })
  const { buffer } = memory
  return {
    bytes: new Uint8Array(buffer),
    view: new DataView(buffer),
    address: lowAlias(addressOf(buffer), pages * PAGE),
    scratch: 0,
    memory,
  }
}
