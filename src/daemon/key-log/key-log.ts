import { closeSync, constants, fstatSync, openSync, type Stats, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { ConfigError } from '../../errors.js'
import type { IkeSaKeys } from '../../ike/environment.js'
import { formatEspSa } from '../../replay/keys/esp-sa.js'
import { ESP_SA, SALLYPORT_SA } from '../../replay/keys/key-source.js'
import { keyedSaOf } from '../../replay/keys/keyed-sa.js'
import { formatSallyportSa } from '../../replay/keys/sallyport-sa.js'
import type { SaSpec } from '../../sadb/sa-spec.js'
import { formatIkeV1, formatIkeV2 } from './ike-tables.js'

/** Octets of one file; what comes later is not written. At a rekey a minute it lasts for years. */
const FILE_MAX = 64 * 1024 * 1024

const IKEV1_TABLE = 'ikev1_decryption_table'
const IKEV2_TABLE = 'ikev2_decryption_table'
/** Wireshark has one line for an IKE SA: under this name it does not read those before a second key exchange. */
const IKEV2_INTERIM_TABLE = 'ikev2_decryption_table.interim'

const FILES = [SALLYPORT_SA, ESP_SA, IKEV1_TABLE, IKEV2_TABLE, IKEV2_INTERIM_TABLE] as const
type FileName = (typeof FILES)[number]

/**
 * Writes the keys of all SAs and IKE SAs to files, for looking into captures: Wireshark's own formats, so that the directory can
 * be its WIRESHARK_CONFIG_DIR, and one of ours that `sallyport replay` reads. Whoever can read them reads all traffic, past and
 * to come: it is off unless the configuration says so, and goes nowhere that others than its owner can enter.
 */
export class KeyLog {
  readonly directory: string
  private readonly log: Logger
  private readonly files: Map<FileName, number>
  private broken = false

  private constructor(directory: string, files: Map<FileName, number>, log: Logger) {
    this.directory = directory
    this.files = files
    this.log = log
  }

  /** @throws ConfigError when the directory, or a file that is there already, is open to others or cannot be used */
  static open(directory: string, log: Logger): KeyLog {
    checkDirectory(directory)
    const files = new Map<FileName, number>()
    try {
      for (const name of FILES) files.set(name, openFile(join(directory, name)))
    } catch (error) {
      for (const fd of files.values()) closeSync(fd)
      throw error
    }
    log.warn(
      { directory },
      'KEY LOG IS ON: the keys of all SAs are written in plain; whoever reads these files reads all traffic. Take key_log out of the configuration when it is not needed any more, and delete them',
    )
    return new KeyLog(directory, files, log)
  }

  /** An SA that is being installed. Its keys are not kept. */
  sa(spec: SaSpec): void {
    const keyed = keyedSaOf(spec)
    this.append(SALLYPORT_SA, formatSallyportSa(keyed))
    const line = formatEspSa(keyed)
    if (line !== undefined) this.append(ESP_SA, line)
  }

  /** An IKE SA whose keys have just been made. They are not kept. */
  ike(keys: IkeSaKeys): void {
    if (keys.version === 1) this.append(IKEV1_TABLE, formatIkeV1(keys))
    else {
      const line = formatIkeV2(keys)
      if (line !== undefined) this.append(keys.interim ? IKEV2_INTERIM_TABLE : IKEV2_TABLE, line)
    }
  }

  close(): void {
    for (const fd of this.files.values()) closeSync(fd)
    if (this.files.size > 0)
      this.log.warn({ directory: this.directory }, 'key log closed; its files are still there')
    this.files.clear()
  }

  /** A full disk ends the log and not the gateway. */
  private append(name: FileName, line: string): void {
    const fd = this.files.get(name)
    if (fd === undefined || this.broken) return
    try {
      if (fstatSync(fd).size + line.length > FILE_MAX)
        throw new Error(`${name} has reached ${FILE_MAX} octets`)
      const octets = Buffer.from(`${line}\n`)
      for (let at = 0; at < octets.length; ) at += writeSync(fd, octets, at)
      octets.fill(0)
    } catch (error) {
      this.broken = true
      this.log.error(
        { directory: this.directory, error: (error as Error).message },
        'key log: no more keys are written',
      )
    }
  }
}

function checkDirectory(path: string): void {
  const info = statSync(path, { throwIfNoEntry: false })
  if (!info) throw new ConfigError(`key log: ${path} does not exist; make it with: install -d -m 700 ${path}`)
  if (!info.isDirectory()) throw new ConfigError(`key log: ${path} is not a directory`)
  refuseOthers(path, info, '700')
}

/** Appends. O_NOFOLLOW: keys go into this very file, and nowhere that a link leads to. */
function openFile(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
  let fd: number
  try {
    fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ELOOP' ? 'is a symbolic link; remove it' : `cannot be written: ${code}`
    throw new ConfigError(`key log: ${path} ${why}`)
  }
  try {
    const info = fstatSync(fd)
    if (!info.isFile()) throw new ConfigError(`key log: ${path} is not a regular file; remove it`)
    refuseOthers(path, info, '600')
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function refuseOthers(path: string, info: Stats, mode: string): void {
  if ((info.mode & 0o077) !== 0) {
    const found = (info.mode & 0o777).toString(8).padStart(4, '0')
    throw new ConfigError(
      `key log: ${path} is open to others than its owner (mode ${found}); run: chmod ${mode} ${path}`,
    )
  }
  const self = process.geteuid?.() ?? 0
  if (info.uid !== self && info.uid !== 0)
    throw new ConfigError(
      `key log: ${path} belongs to user ${info.uid}, who would get all keys; run: chown ${self} ${path}`,
    )
}
