import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { atEnd } from './cleanup.js'
import { addNamespace, deleteNamespaces, deleteStale, folderPrefix, labPrefix } from './namespaces.js'
import { offloadsOff } from './offloads.js'
import { makeRouter, ROUTER, type RouterOptions } from './router.js'
import { ipBatch, run } from './run.js'
import { Wire } from './wire/wire.js'

/** `forwarder`: a process of ours passes every frame on, and can look at it and change it. `bridge`: the kernel passes on,
 * the process looks. `cable`: one veth pair, nobody looks; for measuring. `router`: the kernel forwards IP packets. */
export type WireKind = 'forwarder' | 'bridge' | 'cable' | 'router'
export type Side = 'a' | 'b'

export interface LabOptions {
  readonly wire?: WireKind
  /** Of the underlay. Default 1500. */
  readonly mtu?: number
  /** For the wire of that kind. Default: it forwards all that the underlay carries. */
  readonly router?: RouterOptions
}

export interface HostAddresses {
  /** Underlay addresses. */
  readonly v4: string
  readonly v6: string
  /** Addresses of the migration network, which are protected when the hosts have a gateway. */
  readonly inner4: string
  readonly inner6: string
}

export const ADDRESSES: Readonly<Record<Side, HostAddresses>> = {
  a: { v4: '192.0.2.1', v6: '2001:db8::1', inner4: '10.88.1.1', inner6: 'fd88:1::1' },
  b: { v4: '192.0.2.2', v6: '2001:db8::2', inner4: '10.88.2.1', inner6: 'fd88:2::1' },
}
export const other = (side: Side): Side => (side === 'a' ? 'b' : 'a')

/**
 * Two dom0s and the wire between them, in three network namespaces. Nothing outside of them is touched. `close` removes
 * everything; so does the program's end, however it comes, SIGKILL excepted (the next lab then sweeps up).
 */
export class Lab {
  readonly prefix: string
  readonly mtu: number
  /** For keys, configurations, sockets and captures of this lab. */
  readonly directory: string
  /** Offloads of the hosts' devices that the kernel would not switch off. */
  readonly offloadsLeft: readonly string[]
  private link: Wire | undefined
  private readonly dispose: () => void

  private constructor(options: LabOptions) {
    deleteStale()
    this.prefix = labPrefix()
    this.mtu = options.mtu ?? 1500
    this.directory = mkdtempSync(join(tmpdir(), folderPrefix()))
    const names = [this.namespace('a'), this.namespace('b'), this.wireNamespace]
    this.dispose = atEnd(() => {
      deleteNamespaces(names)
      rmSync(this.directory, { recursive: true, force: true })
    })
    try {
      for (const name of names) addNamespace(name)
      const kind = options.wire ?? 'forwarder'
      this.connect(kind)
      this.offloadsLeft = (['a', 'b'] as const).flatMap((side) => this.hostAddresses(side))
      if (kind === 'router') this.route(options.router ?? { mtu: this.mtu })
    } catch (error) {
      this.dispose()
      throw error
    }
  }

  /** @throws Error without root, or when a device cannot be made; nothing is left then */
  static async create(options: LabOptions = {}): Promise<Lab> {
    const lab = new Lab(options)
    const kind = options.wire ?? 'forwarder'
    try {
      if (kind === 'forwarder' || kind === 'bridge')
        lab.link = await Wire.start(lab.wireNamespace, {
          devices: ['to-a', 'to-b'],
          mtu: lab.mtu,
          forward: kind === 'forwarder',
        })
      return lab
    } catch (error) {
      lab.close()
      throw error
    }
  }

  namespace(side: Side): string {
    return `${this.prefix}dom0-${side}`
  }

  get wireNamespace(): string {
    return `${this.prefix}wire`
  }

  /** The wire's process. @throws Error for a cable or a router, on which nobody sits */
  get wire(): Wire {
    if (!this.link) throw new Error('a cable or a router has no process')
    return this.link
  }

  private connect(kind: WireKind): void {
    const [a, b, wire] = [this.namespace('a'), this.namespace('b'), this.wireNamespace]
    if (kind === 'cable') {
      run('ip', [
        'link',
        'add',
        'underlay',
        'netns',
        a,
        'type',
        'veth',
        'peer',
        'name',
        'underlay',
        'netns',
        b,
      ])
      return
    }
    const ip = (text: string): string => run('ip', text.split(' '))
    // Nothing of the wire's own shall be on the wire.
    if (kind !== 'router')
      run('ip', ['netns', 'exec', wire, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'])
    ip(`link add underlay netns ${a} type veth peer name to-a netns ${wire}`)
    ip(`link add underlay netns ${b} type veth peer name to-b netns ${wire}`)
    const { mtu } = this
    const commands = [`link set to-a mtu ${mtu} up`, `link set to-b mtu ${mtu} up`]
    if (kind === 'bridge')
      commands.push(
        'link add bridge0 type bridge mcast_snooping 0',
        `link set bridge0 mtu ${mtu} up`,
        'link set to-a master bridge0',
        'link set to-b master bridge0',
      )
    ipBatch(wire, commands)
    for (const device of ['to-a', 'to-b']) offloadsOff(wire, device)
  }

  private hostAddresses(side: Side): string[] {
    const { v4, v6 } = ADDRESSES[side]
    ipBatch(this.namespace(side), [
      'link set lo up',
      `link set underlay mtu ${this.mtu} up`,
      `address add ${v4}/24 dev underlay`,
      `address add ${v6}/64 dev underlay nodad`,
    ])
    return offloadsOff(this.namespace(side), 'underlay')
  }

  private route(options: RouterOptions): void {
    const hosts = (['a', 'b'] as const).map((side) => ({ device: `to-${side}`, ...ADDRESSES[side] }))
    makeRouter(this.wireNamespace, options, hosts)
    for (const side of ['a', 'b'] as const)
      ipBatch(this.namespace(side), [
        `route add ${ROUTER.v4}/32 dev underlay`,
        `route add ${ROUTER.v6}/128 dev underlay`,
        `route add ${ADDRESSES[other(side)].v4}/32 via ${ROUTER.v4} dev underlay`,
        `route add ${ADDRESSES[other(side)].v6}/128 via ${ROUTER.v6} dev underlay`,
      ])
  }

  /** Gives the hosts their migration addresses without protection: plain routes over the underlay. */
  routeUnprotected(): void {
    for (const side of ['a', 'b'] as const) {
      const [mine, theirs] = [ADDRESSES[side], ADDRESSES[other(side)]]
      ipBatch(this.namespace(side), [
        `address add ${mine.inner4}/32 dev lo`,
        `address add ${mine.inner6}/128 dev lo nodad`,
        `route add ${theirs.inner4}/32 via ${theirs.v4} src ${mine.inner4}`,
        `route add ${theirs.inner6}/128 via ${theirs.v6} src ${mine.inner6}`,
      ])
    }
  }

  /** Takes back what routeUnprotected did. */
  unrouteUnprotected(): void {
    for (const side of ['a', 'b'] as const) {
      const [mine, theirs] = [ADDRESSES[side], ADDRESSES[other(side)]]
      ipBatch(this.namespace(side), [
        `route del ${theirs.inner4}/32`,
        `route del ${theirs.inner6}/128`,
        `address del ${mine.inner4}/32 dev lo`,
        `address del ${mine.inner6}/128 dev lo`,
      ])
    }
  }

  /** A path in the lab's folder; what is written there is gone with the lab. */
  path(name: string): string {
    return join(this.directory, name)
  }

  /** Writes a file of mode 0600 into the lab's folder and returns its path. */
  file(name: string, contents: string | Uint8Array): string {
    const path = this.path(name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, contents, { mode: 0o600 })
    return path
  }

  /** Runs a program on a host to its end; gives what it printed. @throws Error when it fails */
  exec(side: Side, command: string, ...args: string[]): string {
    return run('ip', ['netns', 'exec', this.namespace(side), command, ...args])
  }

  /** Starts a program on a host. It is killed with the lab. */
  spawn(side: Side, command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.namespace(side), command, ...args], options)
  }

  close(): void {
    this.link?.stop()
    this.dispose()
  }
}
