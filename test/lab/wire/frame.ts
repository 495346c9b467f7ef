import { ipv6UpperLayer, UPPER_LATER_FRAGMENT, upperOffset, upperProtocol } from '../../../src/wire/ipv6.js'

// Reading of Ethernet frames as somebody on the wire does: what is it, and where does the payload start.

export const KINDS = [
  'arp',
  'neighbour',
  'prephase',
  'ike-main',
  'ike-quick',
  'ike-init',
  'ike-intermediate',
  'ike-auth',
  'ike-child',
  'ike-informational',
  'ike-other',
  'keepalive',
  'esp',
  'esp-udp',
  'ah',
  'tcp',
  'udp',
  'icmp',
  'fragment',
  'other',
] as const
export type Kind = (typeof KINDS)[number]

/** Kinds that show the traffic itself, unprotected. */
export const PLAIN_KINDS: readonly Kind[] = ['tcp', 'udp', 'icmp', 'fragment']
export const PROTECTED_KINDS: readonly Kind[] = ['esp', 'esp-udp', 'ah']
/** Key exchanges of both versions, without the pre-phase. */
export const IKE_KINDS = [
  'ike-main',
  'ike-quick',
  'ike-init',
  'ike-intermediate',
  'ike-auth',
  'ike-child',
  'ike-informational',
  'ike-other',
] as const satisfies readonly Kind[]

const ETHERNET = 14
const [TCP, UDP, ESP, AH, ICMP, ICMPV6] = [6, 17, 50, 51, 1, 58]

/** What `parse` found; one object serves all frames. */
export class Frame {
  kind: Kind = 'other'
  /** Offset and end of the IP packet; end is that of the packet's own length field. */
  ip = 0
  end = 0
  /** Offset of TCP or UDP, inside AH too; 0 where there is none. */
  transport = 0
  /** 6, 17 or 0: what is at `transport`. */
  transportProtocol = 0
  /** First octet behind all headers that can be read. */
  payload = 0

  parse(b: Uint8Array, at: number, length: number): void {
    this.kind = 'other'
    this.ip = at + ETHERNET
    this.end = at + length
    this.transport = 0
    this.transportProtocol = 0
    this.payload = this.end
    if (length < ETHERNET + 1) return
    const type = (b[at + 12]! << 8) | b[at + 13]!
    if (type === 0x0806) this.kind = 'arp'
    else if (type === 0x0800) this.ipv4(b, length - ETHERNET)
    else if (type === 0x86dd) this.ipv6(b, length - ETHERNET)
  }

  private ipv4(b: Uint8Array, available: number): void {
    const { ip } = this
    const header = (b[ip]! & 15) * 4
    const total = (b[ip + 2]! << 8) | b[ip + 3]!
    if (header < 20 || total < header || total > available) return
    this.end = ip + total
    this.payload = ip + header
    const later = (((b[ip + 6]! & 0x1f) << 8) | b[ip + 7]!) !== 0
    this.upper(b, b[ip + 9]!, ip + header, later)
  }

  private ipv6(b: Uint8Array, available: number): void {
    const { ip } = this
    const total = 40 + ((b[ip + 4]! << 8) | b[ip + 5]!)
    if (total > available) return
    this.end = ip + total
    this.payload = ip + 40
    const found = ipv6UpperLayer(b, ip, total)
    if (found < 0) return
    this.upper(b, upperProtocol(found), ip + upperOffset(found), (found & UPPER_LATER_FRAGMENT) !== 0)
  }

  private upper(b: Uint8Array, protocol: number, at: number, later: boolean): void {
    this.payload = Math.min(at, this.end)
    const left = this.end - at
    if (protocol === ESP) {
      this.kind = 'esp'
      if (!later) this.payload = Math.min(at + 8, this.end)
    } else if (protocol === AH) {
      this.kind = 'ah'
      if (!later && left >= 12) this.insideAh(b, at)
    } else if (later) this.kind = 'fragment'
    else if (protocol === TCP) this.tcp(b, at, left)
    else if (protocol === UDP) this.udp(b, at, left)
    else if (protocol === ICMP) this.kind = 'icmp'
    else if (protocol === ICMPV6) this.icmp6(b[at]!)
    else this.kind = 'other'
  }

  private icmp6(type: number): void {
    // Neighbour discovery and multicast listeners: every IPv6 host says these by itself.
    this.kind = (type >= 130 && type <= 137) || type === 143 ? 'neighbour' : 'icmp'
  }

  private tcp(b: Uint8Array, at: number, left: number): void {
    this.kind = 'tcp'
    if (left < 20) return
    this.transport = at
    this.transportProtocol = TCP
    this.payload = Math.min(at + (b[at + 12]! >>> 4) * 4, this.end)
  }

  /** AH hides nothing: what it protects is read on. */
  private insideAh(b: Uint8Array, at: number): void {
    let next = b[at]!
    let from = at + (b[at + 1]! + 2) * 4
    this.payload = Math.min(from, this.end)
    if (next === 4 && this.end - from >= 20) {
      next = b[from + 9]!
      from += (b[from]! & 15) * 4
    } else if (next === 41 && this.end - from >= 40) {
      next = b[from + 6]!
      from += 40
    }
    if (next === TCP) this.tcp(b, from, this.end - from)
    else if (next === UDP && this.end - from >= 8) {
      this.transport = from
      this.transportProtocol = UDP
      this.payload = from + 8
    }
    this.kind = 'ah'
  }

  private udp(b: Uint8Array, at: number, left: number): void {
    this.kind = 'udp'
    if (left < 8) return
    this.transport = at
    this.transportProtocol = UDP
    this.payload = at + 8
    const [source, destination] = [(b[at]! << 8) | b[at + 1]!, (b[at + 2]! << 8) | b[at + 3]!]
    if (source === 4500 || destination === 4500) this.port4500(b, at + 8)
    else if (source === 500 || destination === 500) this.kind = ikeKind(b, at + 8, this.end)
  }

  private port4500(b: Uint8Array, at: number): void {
    if (this.end - at === 1 && b[at] === 0xff) this.kind = 'keepalive'
    else if (this.end - at >= 4 && (b[at]! | b[at + 1]! | b[at + 2]! | b[at + 3]!) === 0)
      this.kind = ikeKind(b, at + 4, this.end)
    else {
      this.kind = 'esp-udp'
      this.payload = Math.min(at + 8, this.end)
    }
  }
}

function ikeKind(b: Uint8Array, at: number, end: number): Kind {
  if (end - at < 28) return 'ike-other'
  switch (b[at + 18]) {
    case 241:
      return 'prephase'
    case 2:
      return 'ike-main'
    case 32:
      return 'ike-quick'
    case 34:
      return 'ike-init'
    case 35:
      return 'ike-auth'
    case 36:
    case 44:
      return 'ike-child'
    case 43:
      return 'ike-intermediate'
    case 5:
    case 37:
      return 'ike-informational'
    default:
      return 'ike-other'
  }
}
