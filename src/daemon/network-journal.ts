import { mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SystemError } from '../errors.js'
import { describeErrno } from '../ffi/errno.js'
import type { MarkRule } from '../net/rules.js'
import { formatPrefix, parsePrefix } from '../wire/ip-address.js'
import type { Lasting } from './lasting.js'

// What the gateway set on its host and what outlives it when it is killed, in a file: the next start takes it over or
// takes it back, whatever its configuration says by then. Device, addresses and routes of the TUN go with the process
// and are not in it. The file means nothing after a reboot or in another network namespace, so it says where it is from.

const OCTETS_MAX = 16 * 1024 * 1024

export class NetworkJournal {
  readonly path: string
  private readonly folder: string

  /** @param state the daemon's state directory */
  constructor(state: string, tun: string) {
    this.folder = state
    this.path = join(state, `network-${tun}.json`)
  }

  /** What is recorded for this boot and this network namespace; undefined when that is nothing, or damaged. */
  read(): Lasting | undefined {
    try {
      const text = readFileSync(this.path, 'utf8')
      return text.length > OCTETS_MAX ? undefined : parse(text)
    } catch {
      return undefined
    }
  }

  /** Makes the directory (0700) where there is none. @throws SystemError */
  write(lasting: Lasting): void {
    const next = `${this.path}.new`
    this.system('write', () => {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 })
      writeFileSync(next, `${JSON.stringify(plain(lasting))}\n`, { mode: 0o600 })
      renameSync(next, this.path)
    })
  }

  /** @throws SystemError */
  remove(): void {
    this.system('remove', () => rmSync(this.path, { force: true }))
  }

  private system(what: string, run: () => void): void {
    try {
      run()
    } catch (cause) {
      const errno = Math.abs((cause as NodeJS.ErrnoException).errno ?? 0)
      throw new SystemError(
        what,
        errno,
        `cannot ${what} ${this.path}: ${describeErrno(errno)}. Network settings are recorded there before they are made; ` +
          'check host.state of the configuration',
        { cause },
      )
    }
  }
}

interface Plain {
  readonly version: 1
  readonly place: string
  readonly filters: string[]
  readonly blackholes: { destination: string; table: number }[]
  readonly rules: MarkRule[]
  readonly rpFilter: Record<string, number>
}

function plain(lasting: Lasting): Plain {
  return {
    version: 1,
    place: place(),
    filters: [...lasting.filters],
    blackholes: lasting.blackholes.map((b) => ({ destination: formatPrefix(b.destination), table: b.table })),
    rules: [...lasting.rules],
    rpFilter: Object.fromEntries(lasting.rpFilter),
  }
}

function parse(text: string): Lasting | undefined {
  const p = JSON.parse(text) as Partial<Plain>
  if (p.version !== 1 || p.place !== place()) return undefined
  const blackholes = (p.blackholes ?? []).map(({ destination, table }) => {
    const prefix = parsePrefix(destination)
    if (!prefix) throw new TypeError(destination)
    return { destination: prefix, table: number(table) }
  })
  const rules = (p.rules ?? []).map((r) => ({
    family: r.family === 6 ? (6 as const) : (4 as const),
    mark: number(r.mark),
    table: number(r.table),
    priority: number(r.priority),
  }))
  const rpFilter = new Map(Object.entries(p.rpFilter ?? {}).map(([device, value]) => [device, number(value)]))
  return { filters: (p.filters ?? []).map(String), blackholes, rules, rpFilter }
}

function number(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff)
    throw new TypeError(`${value}`)
  return value
}

/** This boot, and the network namespace of the calling thread. */
function place(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  return `${boot} ${readlinkSync('/proc/thread-self/ns/net')}`
}
