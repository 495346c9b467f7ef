import { createRequire } from 'node:module'
import type Koffi from 'koffi'
import { SystemError } from '../errors.js'

export type KoffiModule = typeof Koffi
export type NativeLibrary = ReturnType<KoffiModule['load']>

/** Processors whose layouts, ioctl numbers and socket constants are the ones written down in src/ffi/layout. */
const PROCESSORS = ['x64', 'arm64', 'riscv64', 'loong64']

let loaded: KoffiModule | undefined

/**
 * The FFI module. Loaded at first use, so that a program can start, say what is missing and take the portable path
 * where no build of it exists.
 * @throws SystemError when the platform has none
 */
export function koffi(): KoffiModule {
  loaded ??= load()
  return loaded
}

/** Whether native calls can be made here; the reason when not. */
export function nativeCalls(): { readonly available: true } | { readonly available: false; reason: string } {
  try {
    koffi()
    return { available: true }
  } catch (error) {
    return { available: false, reason: (error as Error).message }
  }
}

function load(): KoffiModule {
  const platform = `${process.platform}-${process.arch}`
  if (process.platform !== 'linux' || !PROCESSORS.includes(process.arch))
    throw new SystemError(
      'koffi',
      0,
      `native calls are not available on ${platform}: sallyport knows the layouts of 64-bit little-endian Linux ` +
        `(${PROCESSORS.join(', ')}) only; use the portable path`,
    )
  try {
    return createRequire(import.meta.url)('koffi') as KoffiModule
  } catch (cause) {
    throw new SystemError(
      'koffi',
      0,
      `native calls are not available: koffi has no build for ${platform} here. Install it with its optional ` +
        'dependencies (npm ci without --omit=optional), or use the portable path',
      { cause },
    )
  }
}

/** Address of octet 0 of memory that does not move: the whole of an ArrayBuffer. Below 2^53 on every supported system. */
export function addressOf(memory: ArrayBuffer): number {
  return Number(koffi().address(memory))
}
