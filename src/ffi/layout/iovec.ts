import { type NativeMemory, setWord64 } from '../native-memory.js'

// struct iovec
//
//   octet  0               8               16
//          +---------------+---------------+
//          | iov_base  u64 | iov_len   u64 |
//          +---------------+---------------+

export const IOVEC_LEN = 16
export const IOV_BASE = 0
export const IOV_LEN = 8

/** Most entries that one readv, writev or sendmsg takes (IOV_MAX, linux/uio.h). */
export const IOV_MAX = 1024

/** Writes one iovec at octet `at` (aligned to 8) of `memory`. */
export function writeIovec(memory: NativeMemory, at: number, address: number, length: number): void {
  const { words } = memory
  const w = at >>> 2
  setWord64(words, w, address)
  words[w + 2] = length
  words[w + 3] = 0
}
