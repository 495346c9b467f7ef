import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const CHARON = '/usr/lib/ipsec/charon'
const PLUGINS =
  'random nonce openssl curve25519 hmac sha1 sha2 aes gcm ccm ctr chapoly xcbc cmac kdf drbg pem pkcs1 pkcs8 pubkey x509 kernel-libipsec kernel-netlink ' +
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

/**
 * A real charon with the userspace IPsec backend (kernel-libipsec: UDP-encapsulated ESP only) in a network namespace. It
 * has a mount namespace of its own with an empty /run, so that several can run beside each other.
 */
export class Strongswan {
  private readonly process: ChildProcess
  private readonly directory: string

  private constructor(process: ChildProcess, directory: string) {
    this.process = process
    this.directory = directory
  }

  /**
   * @param directory for its files; its folders `private` and `pubkey` may hold keys
   * @param swanctlConf contents of swanctl.conf: connections and secrets
   * @param settings more of strongswan.conf's section charon
   */
  static async start(
    namespace: string,
    directory: string,
    swanctlConf: string,
    settings = '',
  ): Promise<Strongswan> {
    mkdirSync(directory, { recursive: true })
    const conf = join(directory, 'strongswan.conf')
    writeFileSync(
      conf,
      `charon {
  load_modular = no
  load = ${PLUGINS}
  ${settings}
  plugins { kernel-libipsec { allow_peer_ts = yes } }
  filelog { log { path = ${join(directory, 'charon.log')}\n default = 1\n ike = 2\n enc = 1\n flush_line = yes } }
}
swanctl { load = pem pkcs1 pkcs8 pubkey x509 curve25519 openssl random }
`,
    )
    writeFileSync(join(directory, 'swanctl.conf'), swanctlConf)
    const output = openSync(join(directory, 'output'), 'w')
    const command = 'mount -t tmpfs tmpfs /run && exec "$0"'
    const process = spawn('ip', ['netns', 'exec', namespace, 'bash', '-c', command, CHARON], {
      env: { ...globalThis.process.env, STRONGSWAN_CONF: conf },
      stdio: ['ignore', output, output],
    })
    const charon = new Strongswan(process, directory)
    for (let i = 0; i < 100; i++) {
      const tried = charon.trySwanctl('--load-all', '--file', join(directory, 'swanctl.conf'))
      if (tried.status === 0) return charon
      await sleep(100)
    }
    await charon.stop()
    throw new Error(`charon did not start:\n${charon.log()}`)
  }

  /** Runs swanctl beside the daemon; throws with its output when it fails. */
  swanctl(...args: string[]): string {
    const { status, stdout, stderr } = this.trySwanctl(...args)
    if (status !== 0) throw new Error(`swanctl ${args.join(' ')}: ${stdout}${stderr}\n${this.log()}`)
    return stdout
  }

  private trySwanctl(...args: string[]) {
    const nsenter = ['-t', String(this.process.pid), '-m', '-n', 'swanctl', ...args]
    return spawnSync('nsenter', nsenter, {
      encoding: 'utf8',
      timeout: 30_000,
      env: {
        ...globalThis.process.env,
        STRONGSWAN_CONF: join(this.directory, 'strongswan.conf'),
        SWANCTL_DIR: this.directory,
      },
    })
  }

  log(): string {
    try {
      return readFileSync(join(this.directory, 'charon.log'), 'utf8')
    } catch {
      return readFileSync(join(this.directory, 'output'), 'utf8')
    }
  }

  kill9(): void {
    this.process.kill('SIGKILL')
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGTERM')
    await Promise.race([ended, sleep(5_000)])
    this.process.kill('SIGKILL')
  }
}
