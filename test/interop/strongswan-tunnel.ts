import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { Lab, type LabOptions, type Side } from '../lab/lab.js'
import { Strongswan, type StrongswanOptions } from './peers/strongswan.js'
import {
  addInnerAddresses,
  type Child,
  childrenOf,
  outerOf,
  type Pings,
  pingArguments,
  type SallyportSettings,
  SECRET,
  sallyport,
  type Tunnel,
} from './tunnel.js'

// A tunnel between sallyport (host a) and strongSwan (host b), in a lab of its own for each test.

/** What differs in strongSwan's configuration. */
export interface StrongswanSettings extends StrongswanOptions {
  /** Proposals, where they are not sallyport's. */
  readonly ike?: string
  readonly child?: string
  /** More lines of the connection, and of every child. */
  readonly connection?: string
  readonly children?: string
  /** Where it sends to, when that is not sallyport's address. */
  readonly remote?: string
  /** What it takes for sallyport's protected addresses. */
  readonly remoteTs?: string
  /** And for its own. */
  readonly localTs?: string
  /** Lines of `local` and of `remote`, instead of the pre-shared key and addresses as identities. */
  readonly auth?: readonly [string, string]
  /** More secrets. */
  readonly secrets?: string
}

/** Its swanctl.conf. Child and connection are called `interop`, or the children as `childrenOf` says. */
export function swanctlConf(t: Tunnel, more: StrongswanSettings = {}): string {
  const [us, them] = outerOf(t)
  const { protocol = 'esp', mode = 'tunnel', encapsulation = 'raw' } = t
  const [mine, yours] = more.auth ?? [`auth = psk\n id = ${them}`, `auth = psk\n id = ${us}`]
  const child = ({ name, hosts, prefix }: Child): string => `${name} {
    local_ts = ${more.localTs ?? `${hosts[1]}/${prefix}`}
    remote_ts = ${more.remoteTs ?? `${hosts[0]}/${prefix}`}
    mode = ${mode}
    ${protocol}_proposals = ${more.child ?? t.child}
    ${more.children ?? ''}
  }`
  return `
connections { interop {
  version = ${t.version}
  local_addrs = ${them}
  remote_addrs = ${more.remote ?? us}
  encap = ${encapsulation === 'udp' ? 'yes' : 'no'}
  proposals = ${more.ike ?? t.ike}
  local { ${mine} }
  remote { ${yours} }
  children { ${childrenOf(t).map(child).join('\n  ')} }
  ${more.connection ?? ''}
} }
secrets {
  ike-1 { secret = "${SECRET}" }
  ${more.secrets ?? ''}
}
`
}

/** It finds out soon that the peer is gone. */
export const WATCHFUL = {
  connection: 'dpd_delay = 2s\n  dpd_timeout = 6s',
  settings: 'retransmit_timeout = 0.5\n retransmit_tries = 3',
} as const satisfies StrongswanSettings

const execute = promisify(execFile)

/** The lab of a test with its two daemons, which may be started and ended on their own. */
export class StrongswanLab {
  private current: Lab | undefined
  gateway: Gateway | undefined
  charon: Strongswan | undefined

  get lab(): Lab {
    if (!this.current) throw new Error('outside of a test')
    return this.current
  }

  /** Both. */
  async start(
    t: Tunnel,
    theirs: StrongswanSettings = {},
    ours: SallyportSettings = {},
  ): Promise<[Gateway, Strongswan]> {
    const charon = await this.strongswan(t, theirs)
    return [await this.sallyport(t, ours), charon]
  }

  async strongswan(t: Tunnel, settings: StrongswanSettings = {}): Promise<Strongswan> {
    const { lab } = this
    // Recorded SAs carry nothing: its kernel would answer without protection.
    if (settings.backend === undefined) addInnerAddresses(lab, t)
    const conf = swanctlConf(t, settings)
    this.charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), conf, settings)
    return this.charon
  }

  async sallyport(t: Tunnel, settings: SallyportSettings = {}): Promise<Gateway> {
    this.gateway = await Gateway.start(this.lab, 'a', sallyport(this.lab, t, settings))
    return this.gateway
  }

  /** What ping prints, of packets from `side` through a child. It fails for nobody. */
  async ping(side: Side, child: Child, options: Pings = {}): Promise<string> {
    const argv = ['netns', 'exec', this.lab.namespace(side), ...pingArguments(side, child, options)]
    const { stdout } = await execute('ip', argv).catch((error: { stdout: string }) => error)
    return stdout
  }

  /**
   * What ping prints when not all of `count` packets had an answer; nothing when they had. It waits for its last one no longer than twice
   * as long as for the others, which is little: one more is sent than is looked at.
   */
  async lost(
    side: Side,
    child: Child,
    options: Pings & { readonly count: number },
  ): Promise<string | undefined> {
    const printed = await this.ping(side, child, { ...options, count: options.count + 1 })
    const answered = answeredNumbers(printed)
    return Array.from({ length: options.count }, (_, i) => i + 1).every((n) => answered.has(n))
      ? undefined
      : printed
  }

  /** Packets of a child from `side`, ten a second, until `stop`, which gives the numbers of those that had no answer. */
  pinging(side: Side, child: Child): { stop(): Promise<number[]> } {
    const [ping = '', ...args] = pingArguments(side, child, { count: 1_000 })
    const process = this.lab.spawn(side, ping, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    let printed = ''
    process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
    const ended = new Promise((resolve) => process.once('close', resolve))
    return {
      stop: async () => {
        process.kill('SIGINT')
        await ended
        const answered = answeredNumbers(printed)
        // The last one may still be on its way.
        const sent = Number(/^(\d+) packets transmitted/m.exec(printed)?.[1]) - 1
        expect(sent).toBeGreaterThan(10)
        return Array.from({ length: sent }, (_, i) => i + 1).filter((n) => !answered.has(n))
      },
    }
  }

  /** Waits until strongSwan's list of SAs is as `holds` says. @throws Error with the list when it never is */
  async listed(holds: (list: string) => boolean, timeoutMs = 15_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const list = this.charon!.swanctl('--list-sas')
      if (holds(list)) return
      if (performance.now() > deadline) throw new Error(`after ${timeoutMs} ms:\n${list}`)
      await sleep(100)
    }
  }

  /** Expects that every child carries packets both ways. */
  async flows(t: Tunnel): Promise<void> {
    for (const child of childrenOf(t)) {
      // The first packet may be lost while the other side still installs its SAs.
      await this.ping('a', child, { count: 1, wait: 3 })
      for (const side of ['a', 'b'] as const) {
        const lost = await this.lost(side, child, { count: 3 })
        if (lost === undefined) continue
        const { drops, counters } = await this.gateway!.status()
        throw new Error(
          `${child.name}, from ${side}: ${lost}\n${JSON.stringify({ drops, counters })}\n` +
            `${this.charon!.swanctl('--list-sas')}\n${this.charon!.log().slice(-3_000)}\n${this.gateway!.log().slice(-3_000)}`,
        )
      }
    }
  }

  async open(options: LabOptions): Promise<void> {
    this.current = await Lab.create(options)
  }

  async close(): Promise<void> {
    await this.gateway?.stop()
    await this.charon?.stop()
    this.gateway = undefined
    this.charon = undefined
    this.current?.close()
    this.current = undefined
  }
}

/** Of the packets that had an answer, by ping's output. */
const answeredNumbers = (printed: string): Set<number> =>
  new Set([...printed.matchAll(/icmp_seq=(\d+) ttl/g)].map((m) => Number(m[1])))

/** Of strongSwan's list. */
export const established = (list: string): number => list.match(/ESTABLISHED/g)?.length ?? 0
export const installed = (list: string): number => list.match(/INSTALLED/g)?.length ?? 0

/** Of sallyport's log. */
export const childrenMade = (log: string): number => log.match(/CHILD_SA established/g)?.length ?? 0

/** Within a `describe`: a lab for each of its tests. */
export function strongswanLab(options: LabOptions = { wire: 'cable' }): StrongswanLab {
  const lab = new StrongswanLab()
  beforeEach(() => lab.open(options))
  afterEach(() => lab.close())
  return lab
}
