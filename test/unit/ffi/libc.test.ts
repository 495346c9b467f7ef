import { afterEach, expect, test, vi } from 'vitest'
import { SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { SystemError } from '../../../src/errors.js'
import { O_CLOEXEC } from '../../../src/ffi/constants.js'
import { describeErrno, EAGAIN, EBADF, ENOENT, errnoName } from '../../../src/ffi/errno.js'
import { libc } from '../../../src/ffi/libc.js'
import { nativeSlab } from '../../../src/ffi/slab.js'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.resetModules()
})

test('a failing call returns -errno', () => {
  expect(libc().open('/no/such/file', 0)).toBe(-ENOENT)
  expect(libc().close(-1)).toBe(-EBADF)
  expect(libc().read(-1, 0, 0)).toBe(-EBADF)
})

test('a slab is memory that the kernel writes to, and it has its WebAssembly memory', () => {
  const slab = nativeSlab(100_000)
  expect(slab.bytes.length).toBe(131_072)
  expect(slab.address % 4096).toBe(0)
  expect(slab.memory?.buffer).toBe(slab.bytes.buffer)
  const fd = libc().open('/proc/self/comm', O_CLOEXEC)
  const at = SCRATCH_LEN + 77
  const n = libc().read(fd, slab.address + at, 64)
  expect(n).toBeGreaterThan(1)
  expect(slab.bytes[at + n - 1]).toBe(10)
  expect(slab.bytes[at - 1]).toBe(0)
  expect(slab.bytes[at + n]).toBe(0)
  libc().close(fd)
})

test('errno numbers have names and texts', () => {
  expect(errnoName(ENOENT)).toBe('ENOENT')
  expect(errnoName(EAGAIN)).toBe('EAGAIN')
  expect(errnoName(4095)).toBe('errno 4095')
  expect(describeErrno(ENOENT)).toBe('ENOENT, no such file or directory')
  // Known to the C library and not to libuv.
  expect(describeErrno(77)).toMatch(/77|EBADFD/)
})

test.each([
  ['linux', 'ia32'],
  ['linux', 'ppc64'],
  ['darwin', 'arm64'],
])('%s on %s is refused with the reason, at first use', async (platform, arch) => {
  vi.stubGlobal('process', { ...process, platform, arch })
  const fresh = await import('../../../src/ffi/koffi.js')
  expect(() => fresh.koffi()).toThrow(`not available on ${platform}-${arch}`)
  expect(fresh.nativeCalls()).toMatchObject({ available: false })
})

test('the reason of a missing build is a SystemError', async () => {
  vi.stubGlobal('process', { ...process, arch: 'mips' })
  const { koffi } = await import('../../../src/ffi/koffi.js')
  try {
    koffi()
    expect.unreachable()
  } catch (error) {
    expect((error as SystemError).code).toBe('SALLYPORT_SYSTEM')
    expect((error as SystemError).name).toBe(SystemError.name)
  }
})
