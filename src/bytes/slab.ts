/**
 * A lane's fixed packet memory. A packet in it is (offset, length). `address` is the process address of octet 0, so
 * that native calls can be handed `address + offset`; it is 0 for memory that no native call may touch (the portable
 * path). The memory never moves and never grows.
 */
export interface Slab {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly address: number
  /**
   * First octet of a scratch area of SCRATCH_LEN octets, for what has no place in a packet: nonces, AAD with ESN,
   * computed ICVs. Whoever uses it holds it only within one synchronous call. Its first SCRATCH_IPSEC octets are for the
   * crypto engines, the rest is for src/ipsec, which hands the engines offsets in it.
   */
  readonly scratch: number
  /** The WebAssembly memory behind `bytes`, where it is one: SIMD kernels can then work on it. */
  readonly memory?: WebAssembly.Memory
}

export const SCRATCH_LEN = 1024
/** Where, from `scratch`, the part of src/ipsec begins. */
export const SCRATCH_IPSEC = 512

/**
 * A slab for the portable path, tests and pcap replay: ordinary memory with its scratch area in front.
 * @param length octets for packets, besides the scratch area; the first packet octet is at SCRATCH_LEN.
 */
export function plainSlab(length: number): Slab {
  const buffer = new ArrayBuffer(SCRATCH_LEN + length)
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer), address: 0, scratch: 0 }
}
