import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { fromHex, hex, utf8 } from '../bytes/octets.js'
import { sha256 } from '../crypto/sha256.js'
import { ConfigError, SystemError } from '../errors.js'
import type { TimestampStore } from '../ike/environment.js'
import { isLabel } from '../ike/prephase/tai64n.js'
import { HALF_WRITTEN, system, writeDurably } from './durable-file.js'

// The highest pre-phase timestamps of each pair, one small file a pair in <state>/timestamps. Lost labels do not open the
// gate, but they let a recorded step 1 be answered once more, and make the peer refuse us if our clock was set back; so
// a label is on the disk before it is used, and a damaged file stops the start instead of being forgotten.
//
//   {"version":1,"pair":"dom0-b.0123456789abcdef","sent":"<24 hex digits>","accepted":null,"check":"<16 hex digits>"}

/** Pairs that a host may have; only configured peers make records, each change of a key one more. */
export const TIMESTAMP_RECORDS_MAX = 4096
const FILE_OCTETS_MAX = 1024
const FOLDER = 'timestamps'
const SUFFIX = '.json'

interface PairRecord {
  sent: Uint8Array | undefined
  accepted: Uint8Array | undefined
}

/** TimestampStore on files. Reads happen at `open` alone; each set is one synchronous, durable write. */
export class FileTimestampStore implements TimestampStore {
  private readonly folder: string
  private readonly records: Map<string, PairRecord>

  private constructor(folder: string, records: Map<string, PairRecord>) {
    this.folder = folder
    this.records = records
  }

  /**
   * Reads all records, makes the folder (0700) where there is none, and removes what a crash left half-written.
   * @param state the daemon's state directory, which is made too if need be
   * @throws ConfigError for a damaged record, saying what to do about it
   * @throws SystemError when the directory cannot be made or read
   */
  static open(state: string): FileTimestampStore {
    const folder = join(state, FOLDER)
    system('mkdir', folder, () => mkdirSync(folder, { recursive: true, mode: 0o700 }))
    const { mode } = system('stat', folder, () => statSync(folder))
    if ((mode & 0o022) !== 0)
      throw new ConfigError(
        `others may write to ${folder}: whoever can change it can stop the pre-phase; chmod 700 it`,
      )
    const records = new Map<string, PairRecord>()
    for (const name of system('readdir', folder, () => readdirSync(folder))) {
      const path = join(folder, name)
      if (name.endsWith(HALF_WRITTEN)) {
        system('unlink', path, () => unlinkSync(path))
      } else if (name.endsWith(SUFFIX)) {
        if (records.size === TIMESTAMP_RECORDS_MAX) throw new ConfigError(tooMany(folder))
        const [pair, record] = parseRecord(path, readSmall(path))
        if (fileName(pair) !== name) throw damaged(path, `it belongs to ${JSON.stringify(pair)}`)
        records.set(pair, record)
      }
    }
    return new FileTimestampStore(folder, records)
  }

  lastSent(pair: string): Uint8Array | undefined {
    return this.records.get(pair)?.sent
  }

  lastAccepted(pair: string): Uint8Array | undefined {
    return this.records.get(pair)?.accepted
  }

  /** @throws SystemError when the label is not on the disk; the old one then stays in force. */
  setLastSent(pair: string, label: Uint8Array): void {
    this.set(pair, { sent: new Uint8Array(label), accepted: this.lastAccepted(pair) })
  }

  /** @throws SystemError when the label is not on the disk; the old one then stays in force. */
  setLastAccepted(pair: string, label: Uint8Array): void {
    this.set(pair, { sent: this.lastSent(pair), accepted: new Uint8Array(label) })
  }

  private set(pair: string, record: PairRecord): void {
    if (!this.records.has(pair) && this.records.size >= TIMESTAMP_RECORDS_MAX)
      throw new SystemError('open', 0, tooMany(this.folder))
    const path = join(this.folder, fileName(pair))
    writeDurably(path, this.folder, formatRecord(pair, record))
    this.records.set(pair, record)
  }
}

const tooMany = (folder: string): string =>
  `more than ${TIMESTAMP_RECORDS_MAX} timestamp records in ${folder}: remove those of peers and keys that are no longer in use`

/** A name made of a pair's usual characters is kept, so that an operator finds the file; any other is hashed. */
function fileName(pair: string): string {
  const plain = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(pair)
  return `${plain ? pair : `_${hex(sha256(utf8(pair)).subarray(0, 16))}`}${SUFFIX}`
}

function formatRecord(pair: string, record: PairRecord): string {
  const sent = record.sent === undefined ? null : hex(record.sent)
  const accepted = record.accepted === undefined ? null : hex(record.accepted)
  return `${JSON.stringify({ version: 1, pair, sent, accepted, check: checkOf(pair, sent, accepted) })}\n`
}

/** Against a damaged disk, not against a person. */
function checkOf(pair: string, sent: string | null, accepted: string | null): string {
  return hex(sha256(utf8(JSON.stringify([1, pair, sent, accepted]))).subarray(0, 8))
}

function parseRecord(path: string, text: string): [string, PairRecord] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw damaged(path, text === '' ? 'it is empty' : 'it is not JSON')
  }
  if (typeof value !== 'object' || value === null) throw damaged(path, 'it is not an object')
  const { version, pair, sent, accepted, check } = value as Record<string, unknown>
  if (version !== 1) throw damaged(path, `its version is ${JSON.stringify(version)}, not 1`)
  if (typeof pair !== 'string' || !isStored(sent) || !isStored(accepted))
    throw damaged(path, 'a field is missing or malformed')
  if (check !== checkOf(pair, sent, accepted)) throw damaged(path, 'its check sum is wrong')
  return [pair, { sent: labelFrom(sent), accepted: labelFrom(accepted) }]
}

const isStored = (v: unknown): v is string | null =>
  v === null || (typeof v === 'string' && /^[0-9a-f]{24}$/.test(v) && isLabel(fromHex(v)))

const labelFrom = (v: string | null): Uint8Array | undefined => (v === null ? undefined : fromHex(v))

function damaged(path: string, why: string): ConfigError {
  return new ConfigError(
    `the timestamp record ${path} is damaged (${why}). Make sure that this host's clock is right, then remove the file; ` +
      'the next pre-phase makes it anew',
  )
}

function readSmall(path: string): string {
  // O_NONBLOCK: a FIFO without a writer must not hold up the start.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const fd = system('open', path, () => openSync(path, flags))
  try {
    const info = system('fstat', path, () => fstatSync(fd))
    if (!info.isFile()) throw damaged(path, 'it is no regular file')
    if (info.size > FILE_OCTETS_MAX) throw damaged(path, `it has ${info.size} octets`)
    return system('read', path, () => readFileSync(fd, 'utf8'))
  } finally {
    closeSync(fd)
  }
}
