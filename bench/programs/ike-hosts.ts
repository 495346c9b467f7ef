import { createSocket, type Socket } from 'node:dgram'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { random } from '../../src/crypto/random.js'
import { DeadlineTimer } from '../../src/daemon/deadline-timer.js'
import type { DynamicPsk, IkePeerConfig } from '../../src/ike/config.js'
import type { Endpoint, IkeEnvironment } from '../../src/ike/environment.js'
import { parseIdentity } from '../../src/ike/identity.js'
import { Ike } from '../../src/ike/ike.js'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { formatIp, parseIp, parsePrefix } from '../../src/wire/ip-address.js'
import { selectorOf } from '../../src/wire/traffic-selector.js'
import { ESP, HUB, type Spoke, spokes } from '../ike/setup.js'

// Many hosts in one process, each with an IKE of its own and an address, and one peer: the hub. They have no data path.
//   ike-hosts --peers N --version 1|2 --dynamic-psk SCHEME --proposals TEXT,TEXT
// Reads "up" and "down", and prints {"seconds", "up"} when all of them have an SA, or none, or when it has waited enough.

const WAIT_MS = 60_000
const LOOK_MS = 5
const PORTS = [500, 4500] as const
/** RFC 3948 section 2.2. */
const MARKER = Buffer.alloc(4)

const { values } = parseArgs({
  options: {
    peers: { type: 'string', default: '1' },
    version: { type: 'string', default: '2' },
    'dynamic-psk': { type: 'string', default: 'off' },
    proposals: { type: 'string', default: '' },
  },
})

const fail = (what: string): never => {
  throw new Error(`ike-hosts: ${what}`)
}
const ip = (text: string): Uint8Array => parseIp(text) ?? fail(text)
const selector = (text: string) => selectorOf(parsePrefix(`${text}/32`) ?? fail(text))

function configOf(s: Spoke, policy: number): IkePeerConfig {
  return {
    ...{ name: 'hub', local: ip(s.address), remote: ip(HUB), key: s.key },
    localId: parseIdentity(s.id) ?? fail(s.id),
    remoteId: parseIdentity('hub.example') ?? fail('hub'),
    dynamicPsk: values['dynamic-psk'] as DynamicPsk,
    version: values.version === '1' ? 1 : 2,
    proposals: values.proposals.split(',').map(parseIkeProposal),
    ...{ ikeLifetimeSeconds: 14_400, encapsulation: 'udp', dpdDelaySeconds: 0, fragmentSize: 1280 },
    children: [
      {
        ...{ name: 'c', policy, protocol: 'esp', mode: 'tunnel', start: 'trap', replayWindow: 1024 },
        proposals: [parseChildProposal('esp', ESP)],
        ...{ localTs: [selector(s.inner)], remoteTs: [selector('10.99.0.1')] },
        lifetime: { hardSeconds: 3_600 },
      },
    ],
  }
}

class Host {
  private readonly sockets = new Map<number, Socket>()
  private readonly outbound = new Set<number>()
  private readonly ike: Ike
  private readonly timer: DeadlineTimer
  private readonly local: string

  constructor(s: Spoke, policy: number) {
    this.local = s.address
    this.ike = new Ike([configOf(s, policy)], this.environment())
    this.timer = new DeadlineTimer(
      () => this.ike.nextDeadline(),
      (now) => this.ike.tick(now),
    )
  }

  private environment(): IkeEnvironment {
    const sent = new Map<string, Uint8Array>()
    return {
      random,
      crashSecret: random(32),
      wallTime: () => {
        const ms = Date.now()
        return { unixSeconds: Math.floor(ms / 1000), nanoseconds: (ms % 1000) * 1_000_000 }
      },
      timestamps: {
        lastSent: (peer) => sent.get(peer),
        lastAccepted: () => undefined,
        setLastSent: (peer, label) => sent.set(peer, label),
        setLastAccepted: () => undefined,
      },
      send: (local, remote, message) => this.send(local, remote, message),
      addSa: (sa) => {
        if (sa.direction === 'outbound') this.outbound.add(sa.spi)
      },
      deleteSa: (key) => {
        if (key.direction === 'outbound') this.outbound.delete(key.spi)
      },
      log: () => undefined,
      count: () => undefined,
    }
  }

  private send(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    const datagram = local.port === 4500 ? Buffer.concat([MARKER, message]) : message
    this.sockets.get(local.port)?.send(datagram, remote.port, formatIp(remote.address))
  }

  async open(): Promise<void> {
    for (const port of PORTS) {
      const socket = createSocket('udp4')
      this.sockets.set(port, socket)
      socket.on('message', (message, from) => {
        const own = { address: ip(this.local), port }
        const remote = { address: ip(from.address), port: from.port }
        this.ike.receive(performance.now(), own, remote, port === 4500 ? message.subarray(4) : message)
        this.timer.arm()
      })
      await new Promise<void>((resolve) => socket.bind(port, this.local, resolve))
    }
    this.ike.tick(performance.now())
  }

  get isUp(): boolean {
    return this.outbound.size > 0
  }

  up(): void {
    this.ike.initiate(performance.now(), 'hub')
    this.timer.arm()
  }

  down(): void {
    this.ike.terminate(performance.now(), 'hub')
    this.timer.arm()
  }
}

async function main(): Promise<void> {
  const hosts = spokes(Number(values.peers)).map((s, i) => new Host(s, i + 1))
  for (const host of hosts) await host.open()
  const step = async (wanted: boolean): Promise<void> => {
    const began = performance.now()
    for (const host of hosts) wanted ? host.up() : host.down()
    const done = (): number => hosts.filter((h) => h.isUp === wanted).length
    while (done() < hosts.length && performance.now() - began < WAIT_MS)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    const seconds = (performance.now() - began) / 1000
    console.log(JSON.stringify({ seconds, up: hosts.filter((h) => h.isUp).length }))
  }
  console.log('{}')
  for await (const line of createInterface(process.stdin)) await step(line.trim() === 'up')
  process.exit(0)
}

await main()
