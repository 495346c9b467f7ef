import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../../test/lab/lab.js'
import { compiled } from '../../test/lab/root.js'
import { run } from '../../test/lab/run.js'
import { Lines } from '../../test/lab/transfer.js'
import type { Connection } from '../contenders/contender.js'
import { hasCommand } from '../requirements.js'

const PORT = '8003'
const RECEIVE = `exec ${process.execPath} ${compiled('bench/programs/migrate-receive')}`

/** A way to carry the migration's stream between two hosts that reach each other. */
export interface Transport {
  missing(): string | undefined
  /**
   * Starts what the receiving host needs, and then the sender, which has descriptor 3 as its control channel.
   * @param sender arguments of migrate-send, without the ones that say where to
   */
  start(lab: Lab, way: Connection, sender: readonly string[]): Promise<ChildProcess>
}

/** A TCP connection of the programs' own. */
export const tcp: Transport = {
  missing: () => undefined,
  async start(lab, way, sender) {
    const receiver = lab.spawn(
      'b',
      process.execPath,
      [compiled('bench/programs/migrate-receive'), '--listen', way.to, '--port', PORT],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    await new Lines(receiver, 'migrate-receive', AbortSignal.timeout(20_000)).next()
    const to = ['--from', way.from, '--to', way.to, '--port', PORT]
    return lab.spawn('a', process.execPath, [compiled('bench/programs/migrate-send'), ...sender, ...to], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    })
  },
}

/** The sender's standard input and output are pipes to a program that carries them, as xl has it with ssh. */
function throughPipes(lab: Lab, sender: readonly string[], carrier: string): ChildProcess {
  const back = lab.path('back')
  rmSync(back, { force: true })
  run('mkfifo', [back])
  const send = [process.execPath, compiled('bench/programs/migrate-send'), ...sender].join(' ')
  return lab.spawn('a', 'sh', ['-c', `${send} <${back} | ${carrier} >${back} 3>&-`], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
}

/** `xl migrate`'s default: ssh runs the receiver at the other host. @param cipher ssh's choice when left out */
export const ssh = (cipher?: string): Transport => ({
  missing: () =>
    hasCommand('/usr/sbin/sshd') && hasCommand('ssh')
      ? undefined
      : 'openssh-server and openssh-client are not installed',
  async start(lab, way, sender) {
    const user = await sshServer(lab, way.to)
    const options = [
      ...['-F', 'none', '-T', '-x', '-i', user, '-b', way.from],
      ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
      ...['-o', 'LogLevel=ERROR', '-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes'],
      ...(cipher === undefined ? [] : ['-c', cipher]),
    ]
    return throughPipes(lab, sender, `ssh ${options.join(' ')} root@${way.to} '${RECEIVE}'`)
  },
})

/** Has a throw-away sshd on host b, which serves this lab alone. Returns the file of the key that it lets in. */
async function sshServer(lab: Lab, at: string): Promise<string> {
  const file = (name: string): string => lab.path(`ssh/${name}`)
  if (existsSync(file('user'))) return file('user')
  mkdirSync(lab.path('ssh'), { mode: 0o700 })
  for (const key of ['host', 'user'])
    run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', key, '-f', file(key)])
  const config = lab.file(
    'ssh/sshd_config',
    `ListenAddress ${at}:22
HostKey ${file('host')}
AuthorizedKeysFile ${file('user.pub')}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
`,
  )
  // The folder that sshd separates privileges in; /run is the namespace's own then.
  const script = `mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f ${config}`
  lab.spawn('b', 'sh', ['-c', script], { stdio: 'ignore' })
  await listening(lab, 22)
  return file('user')
}

/** socat at both ends, TLS between them, the server's certificate verified. */
export const socatTls: Transport = {
  missing: () =>
    hasCommand('socat') && hasCommand('openssl') ? undefined : 'socat and openssl are not installed',
  async start(lab, way, sender) {
    const [key, certificate] = [lab.path('tls.key'), lab.path('tls.crt')]
    const subject = ['-subj', `/CN=${way.to}`, '-addext', `subjectAltName=IP:${way.to}`, '-days', '1']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    run('openssl', ['req', '-x509', ...curve, ...subject, '-keyout', key, '-out', certificate])
    const block = ['-b', '131072']
    const listen = `OPENSSL-LISTEN:${PORT},bind=${way.to},cert=${certificate},key=${key},verify=0,reuseaddr`
    lab.spawn('b', 'socat', [...block, listen, `SYSTEM:${RECEIVE},pipes`], { stdio: 'ignore' })
    await listening(lab, Number(PORT))
    const connect = `OPENSSL:${way.to}:${PORT},bind=${way.from},cafile=${certificate},verify=1`
    return throughPipes(lab, sender, `socat ${block.join(' ')} STDIO ${connect}`)
  },
}

/** Waits until somebody listens on a TCP port of host b. */
async function listening(lab: Lab, port: number): Promise<void> {
  const pattern = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} \\S+ 0A `)
  for (let i = 0; i < 100; i++) {
    if (pattern.test(lab.exec('b', 'cat', '/proc/net/tcp'))) return
    await sleep(50)
  }
  throw new Error(`nobody listens on port ${port}`)
}
