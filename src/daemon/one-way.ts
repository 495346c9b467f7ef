import type { ChildView, PeerView } from './status.js'

// Negotiated, and yet nothing comes: IKE passes on UDP 500 where a firewall drops ESP or AH, of which nobody tells.

/** Packets that have to have left, and seconds that have to have passed, before their silence means anything. */
const PACKETS_MIN = 10
const SECONDS_MIN = 10

/** What there is to say about a child that only sends; undefined when it is alive, or has nothing to say. */
export function oneWayTrouble(child: ChildView): { message: string; ageSeconds: number } | undefined {
  let sent = 0
  let ageSeconds = 0
  for (const sa of child.sas) {
    if (sa.direction === 'inbound' && sa.packets > 0) return undefined
    if (sa.direction === 'outbound') sent += sa.packets
    ageSeconds = Math.max(ageSeconds, sa.ageSeconds)
  }
  const udp = child.sas.some((sa) => sa.encapsulation === 'udp')
  if (sent < PACKETS_MIN || ageSeconds < SECONDS_MIN) return undefined
  const protocol = child.protocol === 'ah' ? 'IP protocol 51 (AH)' : 'IP protocol 50 (ESP)'
  const what = udp ? 'UDP port 4500' : protocol
  const help = udp || child.protocol === 'ah' ? '' : ' (encapsulation: udp passes most firewalls)'
  const message = `child ${child.name}: ${sent} packets went out and none has come in: ${what} is filtered on the way${help}, or nothing answers there`
  return { message, ageSeconds }
}

/** The peer with the trouble of a child as its last error, when it has none worth more. */
export function withOneWayTrouble(peer: PeerView): PeerView {
  const { ike } = peer
  if (ike === undefined || ike.lastError !== undefined) return peer
  for (const child of peer.children) {
    const trouble = oneWayTrouble(child)
    if (trouble !== undefined)
      return {
        ...peer,
        ike: { ...ike, lastError: trouble.message, lastErrorAgeSeconds: trouble.ageSeconds },
      }
  }
  return peer
}
