import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram } from '../../lab/requirements.js'
import { run } from '../../lab/run.js'
import { PeerDaemon } from './daemon.js'
import { missingRecorder, recorder } from './recorded-sas.js'
import { folderOf } from './unpacked.js'

/** Programs are run from here, wherever the package is. */
const LIBEXEC = '/usr/libexec/ipsec'
const PLUTO = `${LIBEXEC}/pluto`

/** Why libreswan cannot be tested with here; undefined when it can. */
export function missingLibreswan(): string | undefined {
  const folder = folderOf(PLUTO)
  if (folder === undefined) return 'libreswan is not there (test/interop/peers/install)'
  const { stderr, status } = spawnSync(join(folder, PLUTO), ['--version'], { encoding: 'utf8' })
  if (status !== 0) return `libreswan does not run here: ${stderr.trim()}`
  if (!hasProgram('certutil')) return 'certutil is not installed (Debian: libnss3-tools)'
  if (!existsSync('/proc/net/xfrm_stat')) return 'libreswan needs a kernel with XFRM'
  return missingRecorder()
}

/** Version of libreswan, e.g. "4.10". */
export function libreswanVersion(): string {
  const { stdout } = spawnSync(join(folderOf(PLUTO) ?? '/', PLUTO), ['--version'], { encoding: 'utf8' })
  return /(\d+\.\d+)/.exec(stdout)?.[1] ?? 'unknown'
}

export interface LibreswanFiles {
  /** Contents of ipsec.conf below its section `config setup`; those with `auto=add` are loaded. */
  readonly connections: string
  /** Lines of ipsec.secrets. */
  readonly secrets: readonly string[]
  /** Lines of its section `config setup`. */
  readonly setup?: string
  /** File that the SAs are written to. */
  readonly record: string
}

/** A real pluto. Its SAs are recorded, as no kernel takes them. */
export class Libreswan extends PeerDaemon {
  /** @param directory for its files */
  static async start(
    namespace: string,
    directory: string,
    { connections, secrets: lines, setup = '', record }: LibreswanFiles,
  ): Promise<Libreswan> {
    const [nss, policies] = [join(directory, 'nss'), join(directory, 'policies')]
    for (const folder of [directory, nss, policies]) mkdirSync(folder, { recursive: true })
    const [conf, secrets] = [join(directory, 'ipsec.conf'), join(directory, 'ipsec.secrets')]
    writeFileSync(conf, `config setup\n  protostack=xfrm\n  ikev1-policy=accept\n${setup}${connections}`)
    writeFileSync(secrets, `${lines.join('\n')}\n`, { mode: 0o600 })
    if (!existsSync(join(nss, 'cert9.db'))) run('certutil', ['-N', '-d', `sql:${nss}`, '--empty-password'])
    const folder = folderOf(PLUTO) ?? '/'
    // It runs its own programs by their whole path.
    const bind = folder === '/' ? 'true' : `mount --bind ${join(folder, '/usr/libexec')} /usr/libexec`
    const files = ['--config', conf, '--secretsfile', secrets, '--nssdir', nss, '--ipsecdir', policies]
    const pluto = new Libreswan({
      namespace,
      prepare: `mkdir /run/pluto && ${bind}`,
      command: [PLUTO, '--nofork', '--stderrlog', '--no-dnssec', '--rundir', '/run/pluto', ...files],
      output: join(directory, 'output'),
      environment: recorder(record),
    })
    // It loads the connections by itself, some time after its socket is there.
    const loaded = /added IKEv[12] connection/g
    const wanted = connections.match(/auto=add/g)?.length ?? 0
    await pluto.ready(
      () => (pluto.log().match(loaded)?.length ?? 0) >= wanted && pluto.log().includes('loading secrets'),
    )
    return pluto
  }

  /** Runs whack beside the daemon. @throws Error with its output when it fails */
  whack(...args: string[]): string {
    return this.run(`${LIBEXEC}/whack`, ...args)
  }
}
