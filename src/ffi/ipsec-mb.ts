import { readFileSync } from 'node:fs'
import { koffi, type NativeLibrary } from './koffi.js'

/** Shared objects, newest first: Debian 13 and later, Debian 11 and 12. */
const LIBRARIES = ['libIPSec_MB.so.2', 'libIPSec_MB.so.1']

/** sizeof(struct gcm_key_data) is 1008 in 1.x and below 2048 in every release; it wants 64-octet alignment. */
export const GCM_KEY_DATA_LEN = 4096
/** sizeof(struct gcm_context_data) is 88 in 1.x. */
export const GCM_CONTEXT_LEN = 512
export const GCM_ALIGNMENT = 64

/** One-shot GCM: key data, context, out, in, length, iv (12 octets), aad, aad length, tag, tag length. */
export type GcmCall = (
  keyData: number,
  context: number,
  out: number,
  input: number,
  length: number,
  iv: number,
  aad: number,
  aadLength: number,
  tag: number,
  tagLength: number,
) => void

export interface GcmFunctions {
  /** Expands a key (address) into key data (address). */
  pre(key: number, keyData: number): void
  encrypt: GcmCall
  /** Writes the tag that it computed; comparing is the caller's. */
  decrypt: GcmCall
}

export interface IpsecMb {
  readonly version: string
  readonly architecture: string
  /** @param bits 128, 192 or 256 */
  gcm(bits: number): GcmFunctions | undefined
}

/**
 * The architectures that the library's symbols name, fastest first, with the /proc/cpuinfo flags that each needs. Calling
 * one that the processor lacks would kill the process, so the flags decide and not a trial.
 */
const ARCHITECTURES: readonly { readonly suffix: string; readonly flags: readonly string[] }[] = [
  {
    suffix: 'vaes_avx512',
    flags: ['vaes', 'vpclmulqdq', 'avx512f', 'avx512dq', 'avx512bw', 'avx512vl', 'avx512cd'],
  },
  { suffix: 'vaes_avx2', flags: ['vaes', 'vpclmulqdq', 'avx2', 'gfni', 'aes', 'pclmulqdq'] },
  {
    suffix: 'avx512',
    flags: ['aes', 'pclmulqdq', 'avx512f', 'avx512dq', 'avx512bw', 'avx512vl', 'avx512cd'],
  },
  { suffix: 'avx_gen4', flags: ['aes', 'pclmulqdq', 'avx2', 'bmi2'] },
  { suffix: 'avx_gen2', flags: ['aes', 'pclmulqdq', 'avx'] },
  { suffix: 'sse', flags: ['aes', 'pclmulqdq', 'sse4_2'] },
]

/**
 * Intel's multi-buffer IPsec library, when the system has it.
 * @returns the reason as a string when it has not, or when the processor is none that the library knows
 * @throws SystemError where no native calls can be made
 */
export function ipsecMb(): IpsecMb | string {
  bound ??= bind()
  return bound
}

let bound: IpsecMb | string | undefined

function bind(): IpsecMb | string {
  if (process.arch !== 'x64') return `no libIPSec_MB for ${process.arch}`
  const library = load()
  if (!library) return `${LIBRARIES.join(' or ')} is not installed (Debian: libipsec-mb2 or libipsec-mb1)`
  const flags = processorFlags()
  const usable = ARCHITECTURES.find(
    (a) => a.flags.every((f) => flags.has(f)) && symbol(library, `aes_gcm_enc_128_${a.suffix}`, 'void', []),
  )
  if (!usable) return 'the processor has no AES instructions that libIPSec_MB uses'
  const version = symbol(library, 'imb_get_version_str', 'str', [])?.() as string | undefined
  const { suffix } = usable
  const gcm = new Map<number, GcmFunctions>()
  return {
    version: version ?? 'unknown',
    architecture: suffix,
    gcm(bits) {
      // Bound once: what koffi makes for a function is never freed.
      const known = gcm.get(bits)
      if (known) return known
      const a = 'uintptr_t'
      const oneShot = [a, a, a, a, 'uint64_t', a, a, 'uint64_t', a, 'uint64_t']
      const pre = symbol(library, `aes_gcm_pre_${bits}_${suffix}`, 'void', [a, a])
      const encrypt = symbol(library, `aes_gcm_enc_${bits}_${suffix}`, 'void', oneShot)
      const decrypt = symbol(library, `aes_gcm_dec_${bits}_${suffix}`, 'void', oneShot)
      if (!pre || !encrypt || !decrypt) return undefined
      const functions = { pre, encrypt, decrypt } as GcmFunctions
      gcm.set(bits, functions)
      return functions
    },
  }
}

function load(): NativeLibrary | undefined {
  for (const name of LIBRARIES) {
    try {
      return koffi().load(name)
    } catch {
      // The next name.
    }
  }
  return undefined
}

type AnyCall = (...args: unknown[]) => unknown

function symbol(library: NativeLibrary, name: string, result: string, args: string[]): AnyCall | undefined {
  try {
    return library.func(name, result, args) as AnyCall
  } catch {
    return undefined
  }
}

function processorFlags(): Set<string> {
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1'))
    return new Set(line?.[1]?.trim().split(/\s+/))
  } catch {
    return new Set()
  }
}
