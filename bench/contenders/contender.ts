import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Gateway } from '../../test/lab/gateway.js'
import { ADDRESSES, type Lab } from '../../test/lab/lab.js'

/** The way from host a to host b that a contender has made. */
export interface Connection {
  /** IPv4 address of host a that the way begins at, and the one of host b that it leads to. */
  readonly from: string
  readonly to: string
  /** The daemons, where they are sallyport's. */
  readonly gateways?: readonly [Gateway, Gateway]
}

/** A way to connect the lab's two hosts over a cable. */
export interface Contender {
  readonly name: string
  /** What a report draws it as: this project, another one, or a bound that no gateway reaches. */
  readonly kind: 'ours' | 'peer' | 'bound'
  /** Why it cannot take part here; undefined when it can. */
  missing(): string | undefined
  /** Connects the hosts; whatever it starts ends with the lab. */
  connect(lab: Lab): Promise<Connection>
}

export const INNER: Connection = { from: ADDRESSES.a.inner4, to: ADDRESSES.b.inner4 }

/** Waits until a packet comes through. @throws Error after fifteen seconds without one */
export async function connected(lab: Lab, name: string, way: Connection): Promise<Connection> {
  for (let i = 0; i < 60; i++) {
    const ping = ['ping', '-c', '1', '-W', '1', '-I', way.from, way.to]
    if (spawnSync('ip', ['netns', 'exec', lab.namespace('a'), ...ping]).status === 0) return way
    await sleep(250)
  }
  throw new Error(`${name}: no connection`)
}

/** Gives the hosts their migration addresses, without a route. */
export function protectedAddresses(lab: Lab): void {
  for (const side of ['a', 'b'] as const)
    lab.exec(side, 'ip', 'address', 'add', `${ADDRESSES[side].inner4}/32`, 'dev', 'lo')
}

/** No gateway: a route, and the wire. */
export const plain: Contender = {
  name: 'no gateway',
  kind: 'bound',
  missing: () => undefined,
  connect(lab) {
    lab.routeUnprotected()
    return connected(lab, 'no gateway', INNER)
  },
}
