import { addressOf, koffi } from './koffi.js'
import { libc } from './libc.js'

// Memory below 2^31. V8 keeps such an address as a small integer, where a higher one is a heap number that is made anew
// for every call it is passed to: low addresses are what makes a native call free of allocation.

const PROT_READ_WRITE = 3
const MAP_SHARED = 0x01
const MAP_PRIVATE = 0x02
const MAP_FIXED = 0x10
const MAP_ANONYMOUS = 0x20
/** x86-64 only: the first 2 GiB. */
const MAP_32BIT = 0x40
const MFD_CLOEXEC = 1

const lowIsPossible = (): boolean => process.arch === 'x64'

/** Octets that stay where they are; gone with the last view of them. */
export interface Block {
  readonly buffer: ArrayBuffer
  readonly address: number
}

const unmapper = new FinalizationRegistry(({ address, length }: { address: number; length: number }) => {
  libc().munmap(address, length)
})

/**
 * Zeroed memory for structures that native calls use, at a low address where the system gives one.
 * @throws SystemError where no native calls can be made
 */
export function lowBlock(length: number): Block {
  if (lowIsPossible()) {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT
    const address = libc().mmap(0, length, PROT_READ_WRITE, flags, -1)
    if (address > 0) {
      const buffer = koffi().view(address, length)
      unmapper.register(buffer, { address, length })
      return { buffer, address }
    }
  }
  const buffer = new ArrayBuffer(length)
  return { buffer, address: addressOf(buffer) }
}

/**
 * Gives memory that stands at a high address a second, low one: the pages become a memory file that is mapped at both
 * places. What was in them is lost. The low mapping lives as long as the process.
 * @param address a page boundary @param length whole pages
 * @returns the low address, or the high one where there is none to be had
 */
export function lowAlias(address: number, length: number): number {
  if (!lowIsPossible()) return address
  const c = libc()
  const fd = c.memfdCreate('sallyport slab', MFD_CLOEXEC)
  if (fd < 0) return address
  try {
    if (c.ftruncate(fd, length) < 0) return address
    const low = c.mmap(0, length, PROT_READ_WRITE, MAP_SHARED | MAP_32BIT, fd)
    if (low < 0) return address
    if (c.mmap(address, length, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd) === address) return low
    c.munmap(low, length)
    return address
  } finally {
    c.close(fd)
  }
}
