import { compiled } from '../../test/lab/root.js'
import { Lines } from '../../test/lab/transfer.js'
import type { Session, Workload } from './session.js'

interface Latency {
  readonly count: number
  readonly lost: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

const PORT = '7011'
/** The larger payload fills an IP packet of 1400 octets with either protocol, of TCP with its timestamps. */
const SIZES = [1, 1348]

/** Request and response of the same size, one at a time on an idle way: UDP and TCP. */
export const latency: Workload = {
  section: 'latency',
  async run(session) {
    for (const protocol of ['udp', 'tcp'] as const)
      for (const octets of SIZES) {
        const r = await requests(session, protocol, octets)
        const name = `${protocol.toUpperCase()} ${octets} ${octets === 1 ? 'octet' : 'octets'}`
        for (const [label, value] of [
          ['p50', r.p50],
          ['p99', r.p99],
          ['p99.9', r.p999],
        ] as const)
          session.record({ metric: `${name}, ${label}`, unit: 'µs', better: 'lower' }, value)
        if (protocol === 'udp')
          session.record({ metric: `${name}: lost`, unit: 'requests', better: 'lower' }, r.lost)
      }
  },
}

async function requests(session: Session, protocol: 'udp' | 'tcp', octets: number): Promise<Latency> {
  const { lab, from, to } = session
  const deadline = AbortSignal.timeout(session.seconds * 1000 + 20_000)
  const common = ['--protocol', protocol, '--port', PORT, '--octets', String(octets)]
  const program = (name: string): string => compiled(`bench/programs/${name}`)
  const echo = lab.spawn('b', process.execPath, [program('echo'), ...common, '--listen', to], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  try {
    await new Lines(echo, 'echo', deadline).next()
    const ends = ['--from', from, '--to', to, '--seconds', String(session.seconds / 2)]
    const client = lab.spawn('a', process.execPath, [program('request'), ...common, ...ends], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    try {
      const r = JSON.parse(await new Lines(client, 'request', deadline).next()) as Latency
      if (r.count === 0) throw new Error(`no request of ${r.lost} was answered`)
      return r
    } finally {
      client.kill('SIGKILL')
    }
  } finally {
    echo.kill('SIGKILL')
  }
}
