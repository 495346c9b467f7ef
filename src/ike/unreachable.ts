import { formatIp } from '../wire/ip-address.js'
import type { Unreachable, UnreachableReason } from '../wire/unreachable.js'

const MEANING: Readonly<Record<UnreachableReason, string>> = {
  port: 'is closed: no IKE daemon serves it there',
  protocol: 'is not taken there',
  filtered: 'is filtered: a firewall refuses it',
  host: 'cannot be reached: there is no way to the host, or it is down',
}

/** What ICMP says about a peer, for the operator. */
export function unreachableText({ remote, protocol, port, reason }: Unreachable): string {
  const what =
    protocol === 17 ? `UDP port ${port}` : `IP protocol ${protocol} (${protocol === 50 ? 'ESP' : 'AH'})`
  return `ICMP says that ${what} of ${formatIp(remote)} ${MEANING[reason]}`
}
