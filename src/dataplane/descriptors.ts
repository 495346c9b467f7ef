import { closeFd } from '../net/fd.js'
import { steerRaw, steerUdp } from '../net/lane-filters.js'
import { openIcmpSocket, openLinkSocket, openRawSocket, openUdpSocket } from '../net/open-socket.js'
import { openPacketQueue, type PacketQueue } from '../net/packet-queue.js'
import { type OpenTun, openTun, type TunOffload } from '../net/tun.js'
import { steerTun } from '../net/tun-steering.js'
import { NAT_T_PORT } from '../wire/ike/header.js'
import type { IpAddress } from '../wire/ip-address.js'
import { AH, ESP, ICMP, ICMPV6, UDP } from '../wire/ip-protocol.js'
import type { LaneOptions, SocketSpec } from './messages.js'

// The TUN device and the sockets of all lanes.

/** Octets from the header to the SPI. */
const SPI_AT = { [ESP]: 0, [AH]: 4 } as const
/** Octets for ICMP messages that nobody has asked for. */
const ICMP_BUFFER = 64 * 1024

export interface OffloadOptions {
  readonly tun: TunOffload
  readonly udpGso: boolean
  readonly udpGro: boolean
  /** Raw ESP and AH goes to the Ethernet station of its peer without the kernel's IP layer. */
  readonly rawDirect: boolean
  /** Inner TCP segments, and UDP datagrams, are joined to large writes to the TUN device. */
  readonly joinTcp: boolean
  readonly joinUdp: boolean
}

export interface DescriptorOptions {
  readonly tunName: string
  /** Underlay addresses of this host, without repetition. */
  readonly locals: readonly IpAddress[]
  /** Mark of every packet that the gateway itself sends. */
  readonly fwmark: number
  /** Offloads that may be used; what the kernel refuses is done without. */
  readonly offload: OffloadOptions
  /** How many are wanted; a kernel that cannot keep flows in order over several gives one. */
  readonly lanes: number
}

export interface LaneDescriptors {
  readonly tun: LaneOptions['tun']
  readonly sockets: readonly SocketSpec[]
  readonly inboxFd: number
  readonly outboxFds: readonly number[]
}

export interface Descriptors {
  readonly tunName: string
  readonly lanes: readonly LaneDescriptors[]
  /** Every one of them, to be closed. */
  readonly fds: readonly number[]
  readonly features: Readonly<Record<string, boolean>>
}

/** Opens everything or nothing. @throws SystemError */
export function openDescriptors(options: DescriptorOptions): Descriptors {
  const fds: number[] = []
  const keep = <T extends { readonly fd: number }>(opened: T): T => {
    fds.push(opened.fd)
    return opened
  }
  try {
    const { offload, fwmark } = options
    const device = openDevice(options)
    fds.push(...device.fds)
    const count = device.fds.length
    const linkFds = device.fds.map(() => (offload.rawDirect ? openLinkSocket(fwmark) : -1))
    fds.push(...linkFds.filter((fd) => fd >= 0))
    const queues = device.fds.map(() => openInbox(count, fds))
    const sockets: SocketSpec[][] = device.fds.map(() => [])
    for (const local of options.locals) {
      if (count > 1) expectFreePort(local)
      for (const [lane, list] of sockets.entries()) {
        const linkFd = linkFds[lane]!
        const udp = keep(openUdp(options, local, count))
        const gso = offload.udpGso && udp.gso
        list.push({ ...udp, kind: 'udp', protocol: UDP, local, gso, linkFd: -1 })
        // Bound in the order of their lanes; once is enough for all of them.
        if (count > 1 && lane === count - 1) steerUdp(udp.fd, count)
        for (const protocol of [ESP, AH] as const) {
          // DF is in our own header. What the kernel has learnt of the path may be a forger's word.
          const raw = keep(
            openRawSocket({ local, protocol, mark: fwmark, headerIncluded: true, df: 'probe' }),
          )
          if (count > 1) steerRaw(raw.fd, raw.family, SPI_AT[protocol], lane, count)
          list.push({ ...raw, kind: 'raw', protocol, local, gro: false, gso: false, linkFd })
        }
        const icmp = keep(openIcmpSocket({ local, receiveBuffer: ICMP_BUFFER }))
        const protocol = icmp.family === 4 ? ICMP : ICMPV6
        list.push({ ...icmp, kind: 'raw', protocol, local, gro: false, gso: false, linkFd: -1 })
      }
    }
    const { vnetHeader, offloads } = device
    const tun = {
      vnetHeader,
      offloads,
      joinTcp: offload.joinTcp && vnetHeader,
      // A kernel that does not know USO refuses large UDP packets.
      joinUdp: offload.joinUdp && device.offload === 'uso',
    }
    const udp = sockets.flat().filter((s) => s.kind === 'udp')
    const features = {
      vnetHeader,
      tunTso: device.offload === 'tso' || device.offload === 'uso',
      tunUso: device.offload === 'uso',
      tunChecksum: offloads !== 0,
      joinTcp: tun.joinTcp,
      joinUdp: tun.joinUdp,
      udpGro: udp.some((s) => s.gro),
      udpGso: udp.some((s) => s.gso),
      rawDirect: linkFds.every((fd) => fd >= 0),
    }
    const outboxFds = queues.map((queue) => queue.inFd)
    const lanes = device.fds.map((fd, lane) => ({
      tun: { ...tun, fd },
      sockets: sockets[lane]!,
      inboxFd: queues[lane]!.outFd,
      outboxFds,
    }))
    return { tunName: device.name, lanes, fds, features }
  } catch (error) {
    for (const fd of fds) closeFd(fd)
    throw error
  }
}

function openDevice({ tunName: name, offload, lanes }: DescriptorOptions): OpenTun {
  const device = openTun({ name, offload: offload.tun, queues: lanes })
  if (lanes === 1 || steerTun(device.fd) === 0) return device
  // Without a program of ours the kernel moves flows between queues, and they could be reordered.
  for (const fd of device.fds) closeFd(fd)
  return openTun({ name, offload: offload.tun })
}

/** A lane's inbox, where there are others to fill it. */
function openInbox(lanes: number, fds: number[]): PacketQueue {
  if (lanes === 1) return { inFd: -1, outFd: -1 }
  const queue = openPacketQueue()
  fds.push(queue.inFd, queue.outFd)
  return queue
}

/**
 * Sockets that share a port let those of another program of this user in, such as a second sallyport: they would take
 * packets from each other. One that shares with nobody shows that the port is free. @throws SystemError when it is not
 */
function expectFreePort(local: IpAddress): void {
  closeFd(openUdpSocket({ local, port: NAT_T_PORT }).fd)
}

function openUdp({ fwmark, offload }: DescriptorOptions, local: IpAddress, lanes: number) {
  const reusePort = lanes > 1
  // The kernel joins datagrams of a pair of ports whatever their SPI is: a train could hold packets of several lanes.
  const gro = offload.udpGro && !reusePort
  return openUdpSocket({ local, port: NAT_T_PORT, mark: fwmark, gro, reusePort })
}
