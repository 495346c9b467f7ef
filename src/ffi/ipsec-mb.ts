import { koffi, type NativeLibrary } from './koffi.js'
import { JOB_LEN_MAX, JOB_LEN_MIN, MGR_ARCHITECTURE, MGR_ERROR, MGR_FUNCTIONS } from './layout/imb-job.js'
import { NativeMemory } from './native-memory.js'

// Intel's multi-buffer IPsec library. Its interface is IMB_MGR, a structure of pointers to the functions that suit the
// processor; where they stand is part of the ABI that the soname promises.

/** Shared objects, newest first: Debian 13 and later, Debian 12. */
export const IPSEC_MB_LIBRARIES = ['libIPSec_MB.so.2', 'libIPSec_MB.so.1']
/** 1.3 brought the bursts; of a third generation nothing is known. */
const VERSION_MIN = 0x1_03_00
const VERSION_END = 0x3_00_00

/** sizeof(struct gcm_key_data) is 1008 in 1.x and below 2048 in every release; it wants 64-octet alignment. */
export const GCM_KEY_DATA_LEN = 4096
/** sizeof(struct gcm_context_data) is 88. */
export const GCM_CONTEXT_LEN = 512
/** The strictest alignment that any structure here wants. */
export const IMB_ALIGNMENT = 64
/** Expanded AES-256 keys: 15 of 16 octets. */
export const AES_SCHEDULE_LEN = 240

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
  gcm(bits: number): GcmFunctions
  /** Expands an AES key into its schedules of AES_SCHEDULE_LEN octets for either direction. Addresses, aligned to 16. */
  expandAes(bits: number, key: number, encrypt: number, decrypt: number): void
  /** AES-XCBC: K1 expanded (AES_SCHEDULE_LEN), K2 and K3 (16 octets each) of a key of 16 octets. */
  expandXcbc(key: number, k1: number, k2: number, k3: number): void
  /** AES-CMAC: the two subkeys, 16 octets each, of an expanded key. */
  expandCmac(schedule: number, subkey1: number, subkey2: number): void
  /** State of a hash after one block, from its initial one. @param hash node's name: sha1, sha256, sha384, sha512 */
  hashBlock(hash: string, block: number, state: number): void
  /** A queue of jobs of its own. */
  newJobs(): ImbJobs
}

/** Jobs of one IMB_MGR. They are a ring in `memory`, which nobody else has. */
export interface ImbJobs {
  /** Holds the manager and its jobs. */
  readonly memory: NativeMemory
  /** Octets of one job, a multiple of 4. */
  readonly jobLength: number
  /** Most jobs of one burst. */
  readonly burst: number
  /**
   * Makes the next jobs of the ring ready for being filled: their addresses come to `jobs`.
   * @param jobs address of 8 octets for each
   * @returns how many; fewer than asked while others are not done
   */
  next(count: number, jobs: number): number
  /** Starts jobs, the first of those that `next` gave. @returns how many are done; none when it refused one of them */
  submit(count: number, jobs: number): number
  /** Starts jobs without a look at them: one that the library does not have would end the process. */
  submitUnchecked(count: number, jobs: number): number
  /** Does what is not done. @param jobs address of 8 octets for each @returns how many that were, up to `count` */
  flush(count: number, jobs: number): number
  /** Lets the library note in a job, filled but for addresses and lengths, how it is to be done. May be anywhere. */
  prepare(job: number): void
  /** Forgets all jobs, keys in them included. */
  reset(): void
}

/** Of IMB_ARCH, whose members 2.0 cut: those that may run here. The others have no AES instructions. */
const ARCHITECTURES_1 = [undefined, undefined, 'SSE', 'AVX', 'AVX2', 'AVX512']
const ARCHITECTURES_2 = [undefined, 'SSE', 'AVX2', 'AVX512']

/** Jobs in the ring are twice as many (IMB_MAX_JOBS). */
const BURST_MAX = 128

const bound = new Map<string | undefined, IpsecMb | string>()

/**
 * The library, when the system has it. Loaded once in a thread: what koffi makes for a function is never freed.
 * @param path a file to take instead of what the system's loader finds
 * @returns the reason as a string when it cannot be used
 * @throws SystemError where no native calls can be made
 */
export function ipsecMb(path?: string): IpsecMb | string {
  let found = bound.get(path)
  if (found === undefined) {
    found = bind(path)
    bound.set(path, found)
  }
  return found
}

type Call = (...args: number[]) => number | bigint
const A = 'uintptr_t'

function bind(path: string | undefined): IpsecMb | string {
  if (process.arch !== 'x64') return `no libIPSec_MB for ${process.arch}`
  const names = path === undefined ? IPSEC_MB_LIBRARIES : [path]
  const library = load(names)
  if (!library)
    return `${names.join(' or ')} is not installed${path ? '' : ' (Debian: libipsec-mb2 or libipsec-mb1)'}`
  try {
    const number = Number(library.func('imb_get_version', 'uint32_t', [])())
    const version = String(library.func('imb_get_version_str', 'str', [])())
    if (number < VERSION_MIN || number >= VERSION_END)
      return `libIPSec_MB ${version} is not known; there are 1.3 to 2.x`
    return new Binding(library, version, number >= 0x2_00_00 ? ARCHITECTURES_2 : ARCHITECTURES_1).whole()
  } catch (error) {
    return `libIPSec_MB cannot be used: ${(error as Error).message}`
  }
}

function load(names: readonly string[]): NativeLibrary | undefined {
  for (const name of names) {
    try {
      return koffi().load(name)
    } catch {
      // The next name.
    }
  }
  return undefined
}

/** A manager: IMB_MGR and its working memory, at an aligned place of memory of ours. */
interface Manager {
  readonly memory: NativeMemory
  readonly address: number
}

class Binding {
  private readonly version: string
  private readonly architectures: readonly (string | undefined)[]
  private readonly size: number
  private readonly setPointers: Call
  private readonly init: Call
  /** 1.3 has no such function. */
  private readonly setSession: Call | undefined
  private readonly manager: Manager
  private readonly made = new Map<number, Call>()

  constructor(library: NativeLibrary, version: string, architectures: readonly (string | undefined)[]) {
    const call = (name: string, result: string, args: string[]): Call =>
      library.func(name, result, args) as unknown as Call
    this.version = version
    this.architectures = architectures
    this.size = Number(call('imb_get_mb_mgr_size', 'size_t', [])())
    this.setPointers = call('imb_set_pointers_mb_mgr', A, [A, 'uint64_t', 'uint32_t'])
    this.init = call('init_mb_mgr_auto', 'void', [A, A])
    try {
      this.setSession = call('imb_set_session', 'uint32_t', [A, A])
    } catch {
      this.setSession = undefined
    }
    this.manager = this.newManager()
  }

  private newManager(): Manager {
    const memory = new NativeMemory(IMB_ALIGNMENT + this.size)
    const address = Math.ceil(memory.address / IMB_ALIGNMENT) * IMB_ALIGNMENT
    const manager = { memory, address }
    this.reset(manager)
    return manager
  }

  private reset({ memory, address }: Manager): void {
    memory.bytes.fill(0)
    if (Number(this.setPointers(address, 0, 1)) !== address) throw new Error('it takes no memory')
    this.init(address, 0)
    const error = memory.words[(address - memory.address + MGR_ERROR) >>> 2]!
    if (error !== 0) throw new Error(`its start failed with error ${error}`)
  }

  /** A function of the manager, bound once. */
  private function(at: number, result: string, args: string[]): Call {
    const known = this.made.get(at)
    if (known) return known
    const { memory, address } = this.manager
    const pointer = memory.view.getBigUint64(address - memory.address + at, true)
    if (pointer === 0n) throw new Error(`it has no function at ${at}`)
    const made = koffi().decode(pointer, koffi().proto(result, args)) as Call
    this.made.set(at, made)
    return made
  }

  whole(): IpsecMb | string {
    const { memory, address } = this.manager
    const number = memory.words[(address - memory.address + MGR_ARCHITECTURE) >>> 2]!
    const architecture = this.architectures[number]
    if (architecture === undefined) return 'the processor has no AES instructions that libIPSec_MB uses'
    const F = MGR_FUNCTIONS
    const two = (at: number): Call => this.function(at, 'void', [A, A])
    const three = (at: number): Call => this.function(at, 'void', [A, A, A])
    const keyexp = new Map([
      [128, three(F.keyexp128)],
      [192, three(F.keyexp192)],
      [256, three(F.keyexp256)],
    ])
    const blocks = new Map([
      ['sha1', two(F.sha1Block)],
      ['sha256', two(F.sha256Block)],
      ['sha384', two(F.sha384Block)],
      ['sha512', two(F.sha512Block)],
    ])
    const xcbc = this.function(F.xcbcKeys, 'void', [A, A, A, A])
    const cmac = three(F.cmacSubkeys)
    const gcm = new Map([128, 192, 256].map((bits, i) => [bits, this.gcm(8 * i)] as const))
    return {
      version: this.version,
      architecture,
      gcm: (bits) => gcm.get(bits)!,
      expandAes: (bits, key, encrypt, decrypt) => void keyexp.get(bits)!(key, encrypt, decrypt),
      expandXcbc: (key, k1, k2, k3) => void xcbc(key, k1, k2, k3),
      expandCmac: (schedule, subkey1, subkey2) => void cmac(schedule, subkey1, subkey2),
      hashBlock: (hash, block, state) => void blocks.get(hash)!(block, state),
      newJobs: () => this.newJobs(),
    }
  }

  /** @param beside octets from the functions for keys of 128 bits to those for another length */
  private gcm(beside: number): GcmFunctions {
    const F = MGR_FUNCTIONS
    const oneShot = [A, A, A, A, 'uint64_t', A, A, 'uint64_t', A, 'uint64_t']
    const [encrypt, decrypt] = [F.gcm128Encrypt, F.gcm128Decrypt].map((at) =>
      this.function(at + beside, 'void', oneShot),
    ) as unknown as [GcmCall, GcmCall]
    const pre = this.function(F.gcm128Pre + beside, 'void', [A, A])
    return { encrypt, decrypt, pre: (key, keyData) => void pre(key, keyData) }
  }

  private newJobs(): ImbJobs {
    const manager = this.newManager()
    const { memory, address } = manager
    const F = MGR_FUNCTIONS
    const burst = (at: number): ((count: number, jobs: number) => number) => {
      const call = this.function(at, 'uint32_t', [A, 'uint32_t', A]) as (...args: number[]) => number
      return (count, jobs) => call(address, count, jobs)
    }
    const next = burst(F.getNextBurst)
    return {
      memory,
      jobLength: jobLength(manager, next),
      burst: BURST_MAX,
      next,
      submit: burst(F.submitBurst),
      submitUnchecked: burst(F.submitBurstNocheck),
      flush: burst(F.flushBurst),
      prepare: (job) => void this.setSession?.(address, job),
      reset: () => this.reset(manager),
    }
  }
}

/** The distance of two jobs. @throws Error when it makes no sense */
function jobLength({ memory, address }: Manager, next: ImbJobs['next']): number {
  const pair = new NativeMemory(16)
  const count = next(2, pair.address)
  const [first, second] = [pair.view.getBigUint64(0, true), pair.view.getBigUint64(8, true)].map(Number)
  const length = second! - first!
  if (
    count !== 2 ||
    first! < address ||
    second! + length > memory.address + memory.bytes.length ||
    !(length >= JOB_LEN_MIN && length <= JOB_LEN_MAX && length % 8 === 0)
  )
    throw new Error('its jobs are not as in the releases that are known')
  return length
}
