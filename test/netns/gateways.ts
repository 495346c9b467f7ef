import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cli, GatewayProcess } from '../lab/gateway-process.js'
import { type Host, TwoHosts, UNDERLAY } from '../lab/two-hosts.js'

// What the end-to-end tests share: configurations of two hosts, and the gateways on them.

export interface Shape {
  readonly protocol: 'esp' | 'ah'
  readonly mode: 'tunnel' | 'transport'
  readonly underlay: 4 | 6
  readonly inner: 4 | 6
  readonly encapsulation?: 'auto' | 'udp' | 'raw'
  readonly proposals?: string
  readonly dynamicPsk?: string
  readonly lifetime?: string
  readonly ike?: string
  readonly start?: string
  readonly dataplane?: string
  /** Identity that the host expects of the peer; default the peer's own. */
  readonly peerId?: string
  readonly key?: string
}

const INNER = {
  4: { a: '10.88.1.1', b: '10.88.2.1' },
  6: { a: 'fd88:1::1', b: 'fd88:2::1' },
} as const

export const other = (host: Host): Host => (host === 'a' ? 'b' : 'a')

/** Addresses that are protected: in transport mode the underlay's own. */
export const protectedOf = (s: Shape, host: Host): string =>
  s.mode === 'transport' ? UNDERLAY[s.underlay][host] : INNER[s.inner][host]

/** The configuration of one host, besides its `host` and `log` sections. */
export function yaml(s: Shape, host: Host): string {
  const to = other(host)
  const tun = s.mode === 'transport' ? '' : `, addresses: [${protectedOf(s, host)}]`
  return `tun: { name: sally0${tun} }
dataplane: { ${s.dataplane ?? 'engine: auto'} }
peers:
  ${to}:
    id: ${s.peerId ?? `${to}.example`}
    local: ${UNDERLAY[s.underlay][host]}
    remote: ${UNDERLAY[s.underlay][to]}
    key_file: ${s.key ?? 'k.key'}
    dynamic_psk: ${s.dynamicPsk ?? 'hardened'}
    encapsulation: ${s.encapsulation ?? 'auto'}
    ike: { ${s.ike ?? 'version: 1'} }
    children:
      migration:
        protocol: ${s.protocol}
        mode: ${s.mode}
        local: [${protectedOf(s, host)}]
        remote: [${protectedOf(s, to)}]
        proposals: [${s.proposals ?? (s.protocol === 'ah' ? 'sha256' : 'aes128gcm16')}]
        lifetime: { ${s.lifetime ?? 'time: 1h'} }
        start: ${s.start ?? 'trap'}
`
}

/** Makes a K_ab for both hosts. */
export function makeKey(hosts: TwoHosts, name = 'k.key'): void {
  const { status, stderr } = cli('genkey', '-o', join(hosts.directory, name))
  if (status !== 0) throw new Error(stderr)
}

/** Two hosts with a gateway each. */
export async function gateways(
  a: Shape,
  b: Shape = a,
): Promise<{ hosts: TwoHosts; a: GatewayProcess; b: GatewayProcess }> {
  const hosts = new TwoHosts()
  try {
    makeKey(hosts)
    const [first, second] = await Promise.all([
      GatewayProcess.start(hosts, 'a', yaml(a, 'a')),
      GatewayProcess.start(hosts, 'b', yaml(b, 'b')),
    ])
    return { hosts, a: first, b: second }
  } catch (error) {
    await hosts.close()
    throw error
  }
}

export interface Status {
  readonly drops: Record<string, number>
  readonly events: Record<string, number>
  readonly peers: {
    readonly ike: { readonly lastError?: string } | null
    readonly children: {
      readonly sas: { readonly direction: string; readonly packets: number; readonly spi: number }[]
    }[]
  }[]
}

export const statusOf = (g: GatewayProcess): Status => g.status() as unknown as Status

/** A TCP program that knows of nothing: sends `mebibytes` from a to b and returns both ends' SHA-256. */
export async function transfer(
  hosts: TwoHosts,
  s: Shape,
  mebibytes: number,
): Promise<{ sent: string; received: string }> {
  const receiver = join(hosts.directory, 'receiver.mjs')
  writeFileSync(
    receiver,
    `import { createHash } from 'node:crypto'; import { createServer } from 'node:net'
const h = createHash('sha256')
createServer((s) => { s.on('data', (d) => h.update(d)).on('end', () => { console.log('digest ' + h.digest('hex')); s.end(); process.exit(0) }) }).listen(7000, process.argv[2], () => console.log('listening'))\n`,
  )
  const sender = join(hosts.directory, 'sender.mjs')
  writeFileSync(
    sender,
    `import { createHash, randomBytes } from 'node:crypto'; import { connect } from 'node:net'
const h = createHash('sha256'); const s = connect({ port: 7000, host: process.argv[2], localAddress: process.argv[3] })
for (let i = 0; i < ${mebibytes}; i++) { const d = randomBytes(1 << 20); h.update(d); if (!s.write(d)) await new Promise((r) => s.once('drain', r)) }
s.end(); await new Promise((r) => s.once('close', r)); console.log('digest ' + h.digest('hex'))\n`,
  )
  const [from, to] = [protectedOf(s, 'a'), protectedOf(s, 'b')]
  const log = join(hosts.directory, `receiver-${Math.random()}.log`)
  const child = hosts.start('b', log.slice(hosts.directory.length + 1), process.execPath, receiver, to)
  const { readFileSync } = await import('node:fs')
  const text = (): string => {
    try {
      return readFileSync(log, 'utf8')
    } catch {
      return ''
    }
  }
  for (let i = 0; i < 50 && !text().includes('listening'); i++) await new Promise((r) => setTimeout(r, 100))
  const sent = hosts.run('a', process.execPath, sender, to, from)
  if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve))
  const digest = (t: string): string => /digest (\w+)/.exec(t)?.[1] ?? 'none'
  return { sent: digest(sent), received: digest(text()) }
}

/** Packets, sent one behind the other at a rate; returns how many were lost, by ping's own count. */
export function lost(hosts: TwoHosts, s: Shape, count: number, interval: string, from: Host = 'a'): number {
  const [source, destination] = [protectedOf(s, from), protectedOf(s, other(from))]
  const ping = hosts.attempt(
    from,
    'ping',
    '-c',
    String(count),
    '-i',
    interval,
    '-W',
    '2',
    '-I',
    source,
    destination,
  )
  const m = /(\d+) packets transmitted, (\d+) received/.exec(ping.stdout)
  if (!m) throw new Error(`ping: ${ping.stdout}${ping.stderr}`)
  return Number(m[1]) - Number(m[2])
}
