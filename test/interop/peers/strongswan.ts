import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PeerDaemon } from './daemon.js'
import { recorder } from './recorded-sas.js'

const CHARON = '/usr/lib/ipsec/charon'
const PLUGINS =
  'random nonce openssl curve25519 hmac sha1 sha2 aes gcm ccm ctr chapoly xcbc cmac kdf drbg pem pkcs1 pkcs8 pubkey x509 ' +
  'socket-default vici updown'

/** Why strongSwan cannot be tested with here; undefined when it can. */
export function missingStrongswan(): string | undefined {
  if (!existsSync(CHARON)) return 'strongSwan is not installed (Debian: strongswan-charon)'
  if (spawnSync('swanctl', ['--version']).error)
    return 'swanctl is not installed (Debian: strongswan-swanctl)'
  if (!existsSync('/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so'))
    return 'the kernel-libipsec plugin is not installed (Debian: libcharon-extra-plugins)'
  return undefined
}

/** Version of the installed charon, e.g. "5.9.8". */
export function strongswanVersion(): string {
  // Without a daemon it says so, and itself on the other stream.
  const { stdout, stderr } = spawnSync('swanctl', ['--version'], { encoding: 'utf8' })
  return /(\d+\.\d+\.\d+)/.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown'
}

export interface StrongswanOptions {
  /** More of strongswan.conf's section charon. */
  readonly settings?: string
  /**
   * What takes its SAs: `libipsec`, its userspace backend, which carries packets (ESP in UDP and tunnel mode only); or
   * `record`, the backend for a kernel's IPsec, whose SAs are written to the file of that path instead.
   */
  readonly backend?: 'libipsec' | { readonly record: string }
}

/** A real charon. */
export class Strongswan extends PeerDaemon {
  private readonly directory: string

  private constructor(namespace: string, directory: string, record: string | undefined) {
    super({
      namespace,
      command: [CHARON],
      output: join(directory, 'output'),
      environment: {
        STRONGSWAN_CONF: join(directory, 'strongswan.conf'),
        SWANCTL_DIR: directory,
        ...(record !== undefined && recorder(record)),
      },
    })
    this.directory = directory
  }

  /**
   * @param directory for its files; its folders `private` and `pubkey` may hold keys
   * @param swanctlConf contents of swanctl.conf: connections and secrets
   */
  static async start(
    namespace: string,
    directory: string,
    swanctlConf: string,
    { settings = '', backend = 'libipsec' }: StrongswanOptions = {},
  ): Promise<Strongswan> {
    mkdirSync(directory, { recursive: true })
    const kernel = backend === 'libipsec' ? 'kernel-libipsec kernel-netlink' : 'kernel-netlink'
    writeFileSync(
      join(directory, 'strongswan.conf'),
      `charon {
  load_modular = no
  load = ${PLUGINS} ${kernel}
  ${settings}
  plugins { kernel-libipsec { allow_peer_ts = yes } }
  filelog { log { path = ${join(directory, 'charon.log')}\n default = 1\n ike = 2\n enc = 1\n flush_line = yes } }
}
swanctl { load = pem pkcs1 pkcs8 pubkey x509 curve25519 openssl random }
`,
    )
    const conf = join(directory, 'swanctl.conf')
    writeFileSync(conf, swanctlConf)
    const record = backend === 'libipsec' ? undefined : backend.record
    const charon = new Strongswan(namespace, directory, record)
    await charon.ready(() => charon.attempt('swanctl', '--load-all', '--file', conf).status === 0)
    return charon
  }

  /** Runs swanctl beside the daemon. @throws Error with its output when it fails */
  swanctl(...args: string[]): string {
    return this.run('swanctl', ...args)
  }

  override log(): string {
    try {
      return readFileSync(join(this.directory, 'charon.log'), 'utf8')
    } catch {
      return super.log()
    }
  }
}
