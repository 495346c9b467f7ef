import type { Endpoint } from '../../src/ike/environment.js'
import { IkeEnvironmentTwin } from './ike-ends.js'
import type { VirtualNetwork, VirtualNode } from './virtual-network.js'

/** A NAT in a virtual network, with one host behind it: every inside port has its own outside port, base + port. */
export class VirtualNat implements VirtualNode {
  readonly network: VirtualNetwork
  readonly inside: Endpoint['address']
  readonly outside: Endpoint['address']
  /** Another one is another mapping of all ports. */
  base = 10_000
  /** The host behind it; also attached to the network, for its deadlines. */
  host: VirtualNode | undefined

  constructor(network: VirtualNetwork, inside: Endpoint['address'], outside: Endpoint['address']) {
    this.network = network
    this.inside = inside
    this.outside = outside
    network.attach(outside, this)
  }
  out(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    this.network.send({ address: this.outside, port: this.base + local.port }, remote, message)
  }
  receive(now: number, local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    const port = local.port - this.base
    if (port === 500 || port === 4500)
      this.host?.receive(now, { address: this.inside, port }, remote, message)
  }
  tick(): void {}
  nextDeadline(): undefined {
    return undefined
  }
}

/** Surroundings of the host behind it. */
export class BehindVirtualNat extends IkeEnvironmentTwin {
  private readonly nat: VirtualNat
  constructor(nat: VirtualNat, seed: number | string) {
    super(nat.network, seed)
    this.nat = nat
  }
  override send(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    this.nat.out(local, remote, message)
  }
}
