import type { ChildConfig } from '../ike/config.js'
import { type EncapsulationShape, innerMtu } from '../ipsec/overhead.js'
import type { IpAddress } from '../wire/ip-address.js'
import type { GatewayConfig, PolicySettings } from './config/config.js'

/** No TUN device gets less: every IPv6 link must carry 1280 octets (RFC 8200 section 5). */
export const TUN_MTU_MIN = 1280

/**
 * MTU of the TUN device: the largest inner packet that fits the underlay whatever the children negotiate, as one device
 * serves them all.
 * @param underlayMtu MTU of the way from a local address to a remote one
 */
export function tunMtu(
  config: GatewayConfig,
  underlayMtu: (local: IpAddress, remote: IpAddress) => number,
): number {
  const { mtu } = config.tun
  if (mtu !== 'auto') return mtu
  const children = new Map(config.ike.flatMap((peer) => peer.children).map((c) => [c.policy, c]))
  const fits = config.policies.flatMap((policy) => {
    const outer = underlayMtu(policy.local, policy.remote)
    return shapes(config, policy, children.get(policy.id)).map((shape) => innerMtu(outer, shape))
  })
  return Math.max(TUN_MTU_MIN, Math.min(...fits))
}

/** What the policy's SAs may look like: one shape a proposal, or the manual SA's. */
function shapes(
  config: GatewayConfig,
  policy: PolicySettings,
  child: ChildConfig | undefined,
): EncapsulationShape[] {
  const { protocol, mode } = policy
  const common = {
    protocol,
    mode,
    // With `auto` the negotiation may end in UDP.
    udp: protocol === 'esp' && policy.encapsulation !== 'raw',
    addressLength: policy.local.length,
  }
  if (policy.manual)
    return config.manual
      .filter((sa) => sa.policy === policy.id)
      .map((sa) => ({ ...common, encryption: sa.encryption?.id ?? 0, integrity: sa.integrity?.id ?? 0 }))
  return (child?.proposals ?? []).map((p) => ({
    ...common,
    encryption: p.encryption?.id ?? 0,
    integrity: p.integrity,
  }))
}
