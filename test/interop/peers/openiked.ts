import { spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../../lab/run.js'
import { PeerDaemon } from './daemon.js'
import { missingRecorder, recorder } from './recorded-sas.js'
import { folderOf } from './unpacked.js'

const IKED = '/usr/sbin/iked'
const IKECTL = '/usr/sbin/ikectl'
const USER = '_iked'
/** It locks itself into this folder. */
const EMPTY = '/var/lib/openiked/empty'
/** What it and openssl read of the system's. */
const ETC = ['passwd', 'group', 'nsswitch.conf', 'ld.so.cache', 'protocols', 'services', 'ssl/openssl.cnf']

const program = (path: string): string => join(folderOf(path) ?? '/', path)

/** Why OpenIKED cannot be tested with here; undefined when it can. */
export function missingOpeniked(): string | undefined {
  if (folderOf(IKED) === undefined) return 'OpenIKED is not there (test/interop/peers/install)'
  const { stderr, status } = spawnSync(program(IKED), ['-V'], { encoding: 'utf8' })
  if (status !== 0) return `OpenIKED does not run here: ${stderr.trim()}`
  return missingRecorder()
}

/** Version of OpenIKED, e.g. "7.2". */
export function openikedVersion(): string {
  const { stdout, stderr } = spawnSync(program(IKED), ['-V'], { encoding: 'utf8' })
  return /(\d+\.\d+)/.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown'
}

export interface OpenikedFiles {
  /** Contents of iked.conf. */
  readonly conf: string
  /** File that the SAs are written to. */
  readonly record: string
  /** ESP in UDP, NAT or not. */
  readonly encapsulation?: boolean
}

/** A real iked. Its SAs are recorded, as no kernel takes them. */
export class Openiked extends PeerDaemon {
  /** @param directory for its files */
  static async start(
    namespace: string,
    directory: string,
    { conf, record, encapsulation = false }: OpenikedFiles,
  ): Promise<Openiked> {
    const etc = join(directory, 'etc')
    const keys = join(etc, 'iked', 'private')
    for (const folder of [keys, ...['ca', 'certs', 'crls', 'pubkeys'].map((f) => join(etc, 'iked', f))])
      mkdirSync(folder, { recursive: true })
    // It wants folders and a user of its own, and a key even with pre-shared keys alone.
    for (const name of ETC) if (existsSync(`/etc/${name}`)) cpSync(`/etc/${name}`, join(etc, name))
    const user = `${USER}:x:990:990::${EMPTY}:/usr/sbin/nologin\n`
    for (const [name, entry] of [['passwd', user] as const, ['group', `${USER}:x:990:\n`] as const])
      if (!readFileSync(join(etc, name), 'latin1').includes(`${USER}:`))
        appendFileSync(join(etc, name), entry)
    const key = join(keys, 'local.key')
    if (!existsSync(key)) run('openssl', ['ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', key])
    const file = join(directory, 'iked.conf')
    writeFileSync(file, conf, { mode: 0o600 })
    const iked = new Openiked({
      namespace,
      prepare: `mount --bind ${etc} /etc && mount -t tmpfs tmpfs /var/lib && mkdir -p ${EMPTY}`,
      command: [program(IKED), '-d', '-vv', ...(encapsulation ? ['-t'] : []), '-f', file],
      output: join(directory, 'output'),
      environment: recorder(record),
    })
    await iked.ready(() => iked.attempt(program(IKECTL), 'show', 'sa').status === 0)
    return iked
  }

  /** Runs ikectl beside the daemon. @throws Error with its output when it fails */
  ikectl(...args: string[]): string {
    return this.run(program(IKECTL), ...args)
  }
}
