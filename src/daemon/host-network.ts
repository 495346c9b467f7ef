import { addAddress, deleteAddress, listAddresses } from '../net/addresses.js'
import { type Link, linkByName, RTN_UNICAST, reach, setMtu, setUp } from '../net/links.js'
import { NetlinkSocket } from '../net/netlink.js'
import { replaceTable, tableExists } from '../net/nftables.js'
import { deleteRoute, type Route, replaceRoute } from '../net/routes.js'
import { addRule, deleteRule } from '../net/rules.js'
import { noLinkLocalAddress, RP_FILTER_LOOSE, writeRpFilter } from '../net/sysctl.js'
import { formatIp, formatPrefix } from '../wire/ip-address.js'
import type { GatewayConfig } from './config/config.js'
import {
  blackholeRoute,
  type Lasting,
  lastingOf,
  NOTHING,
  removals,
  type Sockets,
  strictDevices,
  union,
  without,
} from './lasting.js'
import { NetworkJournal } from './network-journal.js'
import { type HostFacts, type NetworkPlan, planNetwork } from './network-plan.js'

export interface HostNetworkLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Told of every step that could not be taken back. */
export type Failed = (what: string, error: unknown) => void

interface Step {
  readonly what: string
  undo(): void
}

/**
 * The host's network settings while the gateway runs. The lasting part of them (packet filter, routes that discard,
 * routing rules, reverse path filter) is set first and taken back last, and stays when the process is killed: nothing
 * protected passes then until a new start takes it over, or `removeLeftovers` takes it back.
 */
export class HostNetwork {
  readonly plan: NetworkPlan
  /** A killed daemon's settings were taken over: whoever fails to start later on closes instead of reverting. */
  readonly inherited: boolean
  private readonly sockets: Sockets
  private readonly journal: NetworkJournal
  private readonly steps: Step[] = []

  private constructor(plan: NetworkPlan, sockets: Sockets, journal: NetworkJournal, inherited: boolean) {
    this.plan = plan
    this.sockets = sockets
    this.journal = journal
    this.inherited = inherited
  }

  /**
   * Sets everything or nothing, except that what a killed daemon left is kept when this fails. The TUN device exists
   * already, the calling thread is in its network namespace, and so it is when `revert` is called.
   * @throws SystemError naming what could not be set
   */
  static apply(config: GatewayConfig, log: HostNetworkLog): HostNetwork {
    const sockets = openSockets()
    try {
      const journal = new NetworkJournal(config.host.state, config.tun.name)
      const left = journal.read()
      const mark = config.dataplane.fwmark
      // Rules for another mark would hide the underlay from us; the killed daemon's packet filter goes on meanwhile.
      for (const rule of left?.rules ?? []) if (rule.mark !== mark) deleteRule(sockets.route, rule)
      const plan = planNetwork(config, hostFacts(sockets.route, mark))
      // The journal may be lost; the filter speaks for itself.
      const inherited = left !== undefined || tableExists(sockets.netfilter, plan.filter.name)
      const network = new HostNetwork(plan, sockets, journal, inherited)
      network.applyAll(left ?? NOTHING, log)
      return network
    } catch (error) {
      closeSockets(sockets)
      throw error
    }
  }

  private applyAll(left: Lasting, log: HostNetworkLog): void {
    const { plan } = this
    const failed: Failed = (what, error) => log.warn({ error: String(error) }, `cannot undo: ${what}`)
    for (const warning of plan.warnings) log.warn({}, warning)
    try {
      this.set(left, failed)
    } catch (error) {
      if (!this.inherited) this.undoAll(failed)
      throw error
    }
    if (this.inherited)
      log.warn({ journal: this.journal.path }, 'took over the network settings of a daemon that was killed')
    log.info({ tun: plan.tun, mtu: plan.mtu, filter: plan.filter.name }, 'network settings')
  }

  private set(left: Lasting, failed: Failed): void {
    const { plan, journal, sockets } = this
    const { route, netfilter } = sockets
    const link = linkByName(route, plan.tun)
    const lasting = lastingOf(plan, strictDevices(plan.loose, left))
    // Recorded before they are made, so that a kill at any moment leaves nothing unknown.
    journal.write(union(left, lasting))
    this.steps.push({ what: 'journal', undo: () => journal.remove() })
    // Removals are in the order of undoing.
    for (const { what, remove } of removals(sockets, lasting).reverse())
      this.steps.push({ what, undo: remove })

    replaceTable(netfilter, plan.filter)
    for (const blackhole of lasting.blackholes) replaceRoute(route, blackholeRoute(blackhole))
    this.setDevice(link)
    for (const planned of plan.routes) this.setRoute(planned, link)
    for (const rule of lasting.rules) addRule(route, rule)
    for (const device of lasting.rpFilter.keys()) writeRpFilter(device, RP_FILTER_LOOSE)

    // What only an earlier configuration had. It discards, at worst: no reason to stop.
    let whole = true
    for (const { what, remove } of removals(sockets, without(left, lasting)))
      whole = attempt(what, remove, failed) && whole
    if (whole) journal.write(lasting)
  }

  private setDevice(link: Link): void {
    const { plan, sockets } = this
    setMtu(sockets.route, link, plan.mtu)
    for (const address of plan.addresses) {
      const undo = (): void => deleteAddress(sockets.route, link, address)
      this.steps.push({ what: `address ${formatIp(address.address)}`, undo })
      addAddress(sockets.route, link, address)
    }
    noLinkLocalAddress(link.name)
    setUp(sockets.route, link)
  }

  private setRoute({ destination, table, source }: NetworkPlan['routes'][number], link: Link): void {
    const route: Route = { destination, table, metric: 0, via: { kind: 'device', index: link.index, source } }
    const undo = (): boolean => deleteRoute(this.sockets.route, route)
    this.steps.push({ what: `route to ${formatPrefix(destination)}`, undo })
    replaceRoute(this.sockets.route, route)
  }

  /** Takes everything back and closes. A step that fails is told of and does not hold up the others. */
  revert(failed: Failed): void {
    this.undoAll(failed)
    this.close()
  }

  private undoAll(failed: Failed): void {
    let whole = true
    for (let step = this.steps.pop(); step; step = this.steps.pop()) {
      // The journal goes last, and only when nothing is left that it tells of.
      if (this.steps.length === 0 && !whole) return
      const { what, undo } = step
      whole = attempt(what, undo, failed) && whole
    }
  }

  /** Lets go without taking anything back: what is protected stays shut. */
  close(): void {
    this.steps.length = 0
    closeSockets(this.sockets)
  }
}

/**
 * Takes back what a killed daemon left: what its journal tells of, and what this configuration would have made. Not for
 * the time that a daemon runs with it.
 * @returns what was there, in words
 * @throws SystemError when the kernel cannot be asked at all
 */
export function removeLeftovers(config: GatewayConfig, failed: Failed = () => undefined): string[] {
  const sockets = openSockets()
  try {
    const journal = new NetworkJournal(config.host.state, config.tun.name)
    const plan = planNetwork(config, { addresses: [], underlay: () => undefined })
    const left = union(journal.read() ?? NOTHING, lastingOf(plan, new Map()))
    const found: string[] = []
    let whole = true
    for (const { what, remove } of removals(sockets, left))
      whole = attempt(what, () => void (remove() && found.push(what)), failed) && whole
    if (whole) journal.remove()
    return found
  } finally {
    closeSockets(sockets)
  }
}

function attempt(what: string, act: () => unknown, failed: Failed): boolean {
  try {
    act()
    return true
  } catch (error) {
    failed(what, error)
    return false
  }
}

function hostFacts(route: NetlinkSocket, mark: number): HostFacts {
  // A plan asks for each peer several times.
  const known = new Map<string, ReturnType<HostFacts['underlay']>>()
  return {
    addresses: listAddresses(route),
    underlay: (remote) => {
      const name = formatIp(remote)
      if (!known.has(name)) {
        const way = reach(route, remote, mark)
        known.set(name, way?.kind === RTN_UNICAST ? { device: way.link.name, mtu: way.mtu } : undefined)
      }
      return known.get(name)
    },
  }
}

function openSockets(): Sockets {
  const route = NetlinkSocket.open('route')
  try {
    return { route, netfilter: NetlinkSocket.open('netfilter') }
  } catch (error) {
    route.close()
    throw error
  }
}

function closeSockets({ route, netfilter }: Sockets): void {
  route.close()
  netfilter.close()
}
