import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { hasProgram } from '../../lab/requirements.js'
import { ROOT } from '../../lab/root.js'
import { run } from '../../lab/run.js'

// SAs as another implementation would give them to a kernel. `sadb-recorder.c`, preloaded into it, takes and records them: the
// kernels that the tests run on have no ESP and AH of their own.

/** An SA that a peer has made. */
export interface RecordedSa {
  readonly protocol: 'esp' | 'ah'
  /** Host order. */
  readonly spi: number
  readonly mode: 'tunnel' | 'transport'
  readonly encapsulated: boolean
  /** Names of the algorithms as the kernel's interface has them. */
  readonly algorithms: readonly string[]
  /** Hexadecimal: of the cipher with its salt, of the integrity check, as far as there are any. */
  readonly encryptionKey: string
  readonly integrityKey: string
}

/** Why SAs cannot be recorded here; undefined when they can. */
export const missingRecorder = (): string | undefined =>
  hasProgram('cc') && existsSync('/usr/include/linux/xfrm.h')
    ? undefined
    : 'a C compiler is not installed (Debian: gcc, libc6-dev)'

/**
 * What a daemon's environment needs for its SAs to be recorded.
 * @param directory for the compiled library
 * @param file gets the records
 */
export function recorder(directory: string, file: string): Record<string, string> {
  const library = join(directory, 'sadb-recorder.so')
  const source = join(ROOT, 'test', 'interop', 'peers', 'sadb-recorder.c')
  run('cc', ['-shared', '-fPIC', '-O1', '-o', library, source])
  return { LD_PRELOAD: library, SADB_RECORD: file }
}

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

const ESP = 50
const AH = 51

// linux/xfrm.h. Numbers are in the order of the machine, as everywhere in netlink, SPIs in that of the network.
const XFRM = {
  NEWSA: 0x10,
  UPDSA: 0x1a,
  ALG_AUTH: 1,
  ALG_CRYPT: 2,
  ENCAP: 4,
  ALG_AEAD: 18,
  ALG_AUTH_TRUNC: 20,
}
const NETLINK_HEAD = 16
const ALGORITHM_NAME = 64

/** An XFRM_MSG_NEWSA or UPDSA: struct xfrm_usersa_info (224 octets) and attributes. */
function xfrmSa(m: Uint8Array): RecordedSa | undefined {
  const view = new DataView(m.buffer, m.byteOffset, m.length)
  const type = view.getUint16(4, true)
  if (type !== XFRM.NEWSA && type !== XFRM.UPDSA) return undefined
  const info = NETLINK_HEAD
  const found = new Map<number, Uint8Array>()
  for (let at = info + 224; at + 4 <= m.length; ) {
    const length = view.getUint16(at, true)
    found.set(view.getUint16(at + 2, true), m.subarray(at + 4, at + length))
    if (length < 4) break
    at += (length + 3) & ~3
  }
  /** struct xfrm_algo, xfrm_algo_auth, xfrm_algo_aead: name, length of the key in bits, and what is between that and the key. */
  const algorithm = (attribute: number, between: number) => {
    const a = found.get(attribute)
    if (!a) return undefined
    const bits = new DataView(a.buffer, a.byteOffset).getUint32(ALGORITHM_NAME, true)
    const key = ALGORITHM_NAME + 4 + between
    const name = Buffer.from(a.subarray(0, ALGORITHM_NAME)).toString('latin1').replace(/\0.*/s, '')
    return { name, key: hex(a.subarray(key, key + bits / 8)) }
  }
  const cipher = algorithm(XFRM.ALG_AEAD, 4) ?? algorithm(XFRM.ALG_CRYPT, 0)
  const check = algorithm(XFRM.ALG_AUTH_TRUNC, 4) ?? algorithm(XFRM.ALG_AUTH, 0)
  return {
    protocol: protocolOf(m[info + 76]),
    spi: view.getUint32(info + 72),
    mode: m[info + 214] === 1 ? 'tunnel' : 'transport',
    encapsulated: found.has(XFRM.ENCAP),
    algorithms: [cipher?.name ?? [], check?.name ?? []].flat(),
    encryptionKey: cipher?.key ?? '',
    integrityKey: check?.key ?? '',
  }
}

function protocolOf(number: number | undefined): 'esp' | 'ah' {
  if (number === ESP) return 'esp'
  if (number === AH) return 'ah'
  throw new Error(`neither ESP nor AH: ${number}`)
}

// RFC 2367 and linux/pfkeyv2.h.
const PF_KEY = { UPDATE: 2, ADD: 3, SA: 1, KEY_AUTH: 8, KEY_ENCRYPT: 9, SA2: 19, NAT_T_TYPE: 20 }
const SATYPE_AH = 2

/** An SADB_ADD or UPDATE: a head of 16 octets and extensions. */
function pfKeySa(m: Uint8Array): RecordedSa | undefined {
  if (m[1] !== PF_KEY.UPDATE && m[1] !== PF_KEY.ADD) return undefined
  const view = new DataView(m.buffer, m.byteOffset, m.length)
  const found = new Map<number, number>()
  for (let at = 16; at + 8 <= m.length; ) {
    const length = view.getUint16(at, true) * 8
    if (length === 0) break
    found.set(view.getUint16(at + 2, true), at)
    at += length
  }
  const key = (extension: number): string => {
    const at = found.get(extension)
    return at === undefined ? '' : hex(m.subarray(at + 8, at + 8 + view.getUint16(at + 4, true) / 8))
  }
  const sa = found.get(PF_KEY.SA)
  if (sa === undefined) return undefined
  const mode = m[(found.get(PF_KEY.SA2) ?? 0) + 4]
  return {
    protocol: m[3] === SATYPE_AH ? 'ah' : 'esp',
    spi: view.getUint32(sa + 4),
    mode: mode === 2 ? 'tunnel' : 'transport',
    encapsulated: found.has(PF_KEY.NAT_T_TYPE),
    algorithms: [`${m[sa + 11]}`, `${m[sa + 10]}`],
    encryptionKey: key(PF_KEY.KEY_ENCRYPT),
    integrityKey: key(PF_KEY.KEY_AUTH),
  }
}
