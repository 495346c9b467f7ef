import { ADDRESSES, type Lab, other, type Side } from './lab.js'
import { ROUTER } from './router.js'
import { ipBatch, run } from './run.js'

/** Another address that the router can have. */
const OTHER_ADDRESS = '192.0.2.253'

/**
 * A real NAT (nftables and conntrack of the kernel) on the router of a lab: one host is behind it, and the other one sees the
 * router's address, with ports of its choice.
 */
export class Nat {
  private readonly namespace: string
  private readonly hidden: Side
  private binding = 0
  /** What the other host has to send to. */
  address: string = ROUTER.v4

  /** @param lab with a wire of kind `router` @param hidden the host behind it */
  constructor(lab: Lab, hidden: Side) {
    this.namespace = lab.wireNamespace
    this.hidden = hidden
    this.apply()
  }

  /** It forgets all it knows: whatever is sent next has another port, and nothing comes back to the old one. */
  rebind(): void {
    this.apply()
  }

  /** It has another address, and forgets all it knows. */
  readdress(): void {
    const device = `to-${other(this.hidden)}`
    ipBatch(this.namespace, [`address add ${OTHER_ADDRESS}/32 dev ${device}`])
    this.address = OTHER_ADDRESS
    this.apply()
  }

  /** Ends it; the hosts see each other. */
  remove(): void {
    this.nft('table ip nat', 'delete table ip nat', 'table ip zones', 'delete table ip zones')
    if (this.address === ROUTER.v4) return
    ipBatch(this.namespace, [`address delete ${OTHER_ADDRESS}/32 dev to-${other(this.hidden)}`])
  }

  /** In another zone conntrack knows nothing of the connections in this one. */
  private apply(): void {
    const first = 20_000 + 100 * ++this.binding
    const device = `to-${other(this.hidden)}`
    const from = `oifname "${device}" ip saddr ${ADDRESSES[this.hidden].v4}`
    this.nft(
      'table ip zones',
      'delete table ip zones',
      'table ip nat',
      'delete table ip nat',
      'table ip zones {',
      'chain before {',
      'type filter hook prerouting priority -300',
      `ct zone set ${this.binding}`,
      '}',
      '}',
      'table ip nat {',
      'chain after {',
      'type nat hook postrouting priority 100',
      ...this.rules(from, `:${first}-${first + 99}`),
      '}',
      '}',
    )
  }

  /** A router masquerades: its device's address is what the other host sees. With two of them one is named. */
  private rules(from: string, ports: string): string[] {
    if (this.address === ROUTER.v4)
      return [`${from} ip protocol udp masquerade to ${ports}`, `${from} masquerade`]
    return [`${from} ip protocol udp snat to ${this.address}${ports}`, `${from} snat to ${this.address}`]
  }

  private nft(...lines: readonly string[]): void {
    run('ip', ['netns', 'exec', this.namespace, 'nft', '-f', '-'], `${lines.join('\n')}\n`)
  }
}
