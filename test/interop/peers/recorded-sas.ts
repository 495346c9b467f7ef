import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fromHex } from '../../../src/bytes/octets.js'
import { hasProgram } from '../../lab/requirements.js'
import { ROOT } from '../../lab/root.js'
import { run } from '../../lab/run.js'
import { pfKeySa } from './pfkey-sa.js'
import { xfrmSa } from './xfrm-sa.js'

// SAs as another implementation would give them to a kernel. `sadb-recorder.c`, preloaded into it, takes and records them: the
// kernels that the tests run on have no ESP and AH of their own.

/** An SA that a peer has made. Undefined is what its interface to the kernel does not say. */
export interface RecordedSa {
  readonly protocol: 'esp' | 'ah'
  /** Host order. */
  readonly spi: number
  readonly mode: 'tunnel' | 'transport'
  /** Outer addresses, as text. */
  readonly source: string
  readonly destination: string
  /** Ports of the UDP around it. */
  readonly udp?: { readonly sourcePort: number; readonly destinationPort: number }
  /** Identifiers of IKEv2 (IANA), whatever the interface calls the algorithms. 0 = none. */
  readonly encryption: number
  readonly integrity: number
  /** Hexadecimal: of the cipher with its salt, of the integrity check, as far as there are any. */
  readonly encryptionKey: string
  readonly integrityKey: string
  /** Octets of the ICV. */
  readonly icv?: number
  readonly esn?: boolean
  /** Packets. */
  readonly replayWindow: number
  /** What it may carry, both as ADDRESS/PREFIX. */
  readonly selectors?: readonly [string, string]
}

/** Why SAs cannot be recorded here; undefined when they can. */
export const missingRecorder = (): string | undefined =>
  hasProgram('cc') && existsSync('/usr/include/linux/xfrm.h')
    ? undefined
    : 'a C compiler is not installed (Debian: gcc, libc6-dev)'

const SOURCE = join(ROOT, 'test', 'interop', 'peers', 'sadb-recorder.c')
const LIBRARY = join(ROOT, 'dist', 'test', 'interop', 'peers', 'sadb-recorder.so')

/** Compiled when it is not newer than its source. Several tests may be at it: whole it takes its place. */
function compiledRecorder(): string {
  const changed = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (changed(LIBRARY) <= changed(SOURCE)) {
    mkdirSync(dirname(LIBRARY), { recursive: true })
    const own = `${LIBRARY}.${process.pid}`
    run('cc', ['-shared', '-fPIC', '-O1', '-pthread', '-o', own, SOURCE])
    renameSync(own, LIBRARY)
  }
  return LIBRARY
}

/**
 * What a daemon's environment needs for its SAs to be recorded.
 * @param file gets the records
 */
export const recorder = (file: string): Record<string, string> => ({
  LD_PRELOAD: compiledRecorder(),
  SADB_RECORD: file,
})

/** All SAs that the daemon has made so far, in order. */
export function recordedSas(file: string): RecordedSa[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'latin1')
    .split('\n')
    .flatMap((line) => {
      const [kind, octets = ''] = line.split(' ')
      const message = fromHex(octets)
      const sa = kind === 'xfrm' ? xfrmSa(message) : kind === 'pfkey' ? pfKeySa(message) : undefined
      return sa ?? []
    })
}
