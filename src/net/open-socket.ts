import { release } from 'node:os'
import type { SystemError } from '../errors.js'
import {
  AF_PACKET,
  ICMP_DEST_UNREACH,
  ICMP_FILTER,
  ICMP6_FILTER,
  ICMPV6_DEST_UNREACH,
  ICMPV6_PARAMPROB,
  ICMPV6_PKT_TOOBIG,
  IP_HDRINCL,
  IP_MTU_DISCOVER,
  IP_RECVTOS,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_UDP,
  IPV6_HDRINCL,
  IPV6_MTU_DISCOVER,
  IPV6_RECVTCLASS,
  IPV6_V6ONLY,
  PMTUDISC_DO,
  PMTUDISC_DONT,
  PMTUDISC_PROBE,
  SO_MARK,
  SO_NO_CHECK,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_RAW,
  SOL_SOCKET,
  UDP_GRO,
  UDP_SEGMENT,
} from '../ffi/constants.js'
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EPERM } from '../ffi/errno.js'
import { addressFamily, SIN_PORT, SOCKADDR_STRIDE, sockaddr } from '../ffi/layout/sockaddr.js'
import { libc } from '../ffi/libc.js'
import { formatIp, type IpAddress } from '../wire/ip-address.js'
import { systemError } from './system-error.js'

/**
 * What happens to an outer packet that is larger than the path. `clear`: DF is not set and the kernel or a router
 * fragments it (IPv6: the kernel). `set`: DF is set, the kernel learns the path MTU and refuses with EMSGSIZE. `probe`:
 * DF is set and what the kernel learnt is ignored; only the device's own MTU refuses.
 */
export type DfPolicy = 'clear' | 'set' | 'probe'

const PMTUDISC: Readonly<Record<DfPolicy, number>> = {
  clear: PMTUDISC_DONT,
  set: PMTUDISC_DO,
  probe: PMTUDISC_PROBE,
}

/** Octets of socket buffer that is asked for by default, in each direction. */
export const SOCKET_BUFFER = 4 * 1024 * 1024

export interface SocketOptions {
  /** The underlay address to bind to: only what is sent to it is received, everything is sent from it. */
  readonly local: IpAddress
  /** SO_MARK of what is sent, which policy routing can keep out of the tunnel. 0 or absent: none. */
  readonly mark?: number
  /** Octets of receive and send buffer. Without CAP_NET_ADMIN the kernel gives no more than net.core.*mem_max. */
  readonly receiveBuffer?: number
  readonly sendBuffer?: number
  /** Default `clear`. */
  readonly df?: DfPolicy
}

export interface UdpSocketOptions extends SocketOptions {
  /** 0 lets the kernel choose. */
  readonly port: number
  /** IPv4: false sends a zero UDP checksum (RFC 3948 section 2.1). It excludes UDP_SEGMENT. Default true. */
  readonly checksum?: boolean
  /** Several sockets on the same address and port, among which the kernel spreads flows. Default false. */
  readonly reusePort?: boolean
  /** Ask for UDP_GRO. Default false. */
  readonly gro?: boolean
}

export interface RawSocketOptions extends SocketOptions {
  /** IP protocol: 50 (ESP) or 51 (AH). */
  readonly protocol: number
  /** The caller writes the IP header of what it sends. Default false. */
  readonly headerIncluded?: boolean
}

/** A non-blocking, close-on-exec socket. Whoever opened it closes it. */
export interface OpenSocket {
  readonly fd: number
  readonly family: 4 | 6
}

export interface OpenUdpSocket extends OpenSocket {
  /** The port it is bound to. */
  readonly port: number
  /** UDP_GRO is on: slots need room for 65 535 octets. */
  readonly gro: boolean
  /** UDP_SEGMENT is known to the kernel; a device or a route can still refuse it when sending. */
  readonly gso: boolean
}

/** @throws SystemError naming address, port and what to do; no descriptor stays open then */
export function openUdpSocket(options: UdpSocketOptions): OpenUdpSocket {
  const { local, port, checksum = true, reusePort = false, gro = false } = options
  const where = `UDP port ${port} of ${formatIp(local)}`
  const socket = open(options, SOCK_DGRAM, IPPROTO_UDP, port, where, (fd, family) => {
    if (family === 6) must(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, 'IPV6_V6ONLY', where)
    if (reusePort) must(fd, SOL_SOCKET, SO_REUSEPORT, 1, 'SO_REUSEPORT', where)
    if (!checksum && family === 4) must(fd, SOL_SOCKET, SO_NO_CHECK, 1, 'SO_NO_CHECK', where)
    const c = libc()
    const granted = gro && groIsSound(release()) && c.setsockopt(fd, IPPROTO_UDP, UDP_GRO, 1) >= 0
    const gso = (checksum || family === 6) && c.setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, 0) >= 0
    return { fd, family, gro: granted, gso }
  })
  return { ...socket, port: port === 0 ? boundPort(socket.fd) : port }
}

function boundPort(fd: number): number {
  const name = new Uint8Array(SOCKADDR_STRIDE)
  libc().getsockname(fd, name)
  return (name[SIN_PORT]! << 8) | name[SIN_PORT + 1]!
}

/** @throws SystemError naming address, protocol and what to do; no descriptor stays open then */
export function openRawSocket(options: RawSocketOptions): OpenSocket {
  const { local, protocol, headerIncluded = false } = options
  const where = `IP protocol ${protocol} of ${formatIp(local)}`
  return open(options, SOCK_RAW, protocol, 0, where, (fd, family) => {
    const value = headerIncluded ? 1 : 0
    if (family === 4) must(fd, IPPROTO_IP, IP_HDRINCL, value, 'IP_HDRINCL', where)
    // A kernel before 4.15 does not know the IPv6 option, and has it off.
    else if (headerIncluded) must(fd, IPPROTO_IPV6, IPV6_HDRINCL, value, 'IPV6_HDRINCL', where)
    return { fd, family }
  })
}

/**
 * A packet socket that receives nothing and sends whole IP packets to Ethernet stations.
 * @returns the descriptor, or -errno where the kernel has no packet sockets or the right to them is missing
 */
export function openLinkSocket(mark: number, sendBuffer = SOCKET_BUFFER): number {
  const c = libc()
  // Protocol 0: no packet is ever delivered to it.
  const fd = c.socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd < 0) return fd
  const marked = mark === 0 ? 0 : c.setsockopt(fd, SOL_SOCKET, SO_MARK, mark | 0)
  if (marked < 0) {
    c.close(fd)
    return marked
  }
  grow(fd, SO_SNDBUFFORCE, SO_SNDBUF, sendBuffer)
  return fd
}

/**
 * Sends one datagram outside the data path's batches, from any thread.
 * @returns octets sent, or -errno; -EAGAIN when the socket's buffer is full
 */
export function sendDatagram(fd: number, address: IpAddress, port: number, datagram: Uint8Array): number {
  return libc().sendto(fd, datagram, 0, sockaddr(address, port))
}

/** Changes the policy of a socket that was opened with another one. */
export function setDf(fd: number, family: 4 | 6, df: DfPolicy): void {
  if (family === 4) libc().setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC[df])
  else libc().setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC[df])
}

/**
 * A raw socket that hears of packets that were too big for a path or could not be delivered, and of no other ICMP: "destination
 * unreachable" comes with its IPv4 header, ICMPv6's three kinds of it without IPv6 header.
 * @throws SystemError as openRawSocket
 */
export function openIcmpSocket(options: SocketOptions): OpenSocket {
  const { local } = options
  const where = `ICMP of ${formatIp(local)}`
  const protocol = local.length === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6
  return open(options, SOCK_RAW, protocol, 0, where, (fd, family) => {
    if (family === 4) must(fd, SOL_RAW, ICMP_FILTER, ~(1 << ICMP_DEST_UNREACH), 'ICMP_FILTER', where)
    else {
      const blocked = new Uint8Array(32).fill(0xff)
      const wanted = (1 << ICMPV6_DEST_UNREACH) | (1 << ICMPV6_PKT_TOOBIG) | (1 << ICMPV6_PARAMPROB)
      blocked[0] = 0xff & ~wanted
      const r = libc().setsockoptBytes(fd, IPPROTO_ICMPV6, ICMP6_FILTER, blocked)
      if (r < 0) throw systemError('setsockopt', -r, `cannot set ICMP6_FILTER on the socket for ${where}`)
    }
    return { fd, family }
  })
}

/** Switches UDP_GRO off. What the kernel has joined already comes as one datagram that is none. */
export function disableUdpGro(fd: number): void {
  libc().setsockopt(fd, IPPROTO_UDP, UDP_GRO, 0)
}

/** UDP_GRO came with Linux 5.0, but its last fixes of checksums and tunnels only with 5.12. */
export function groIsSound(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split('.').map((part) => Number.parseInt(part, 10))
  return major > 5 || (major === 5 && minor >= 12)
}

function open<T extends OpenSocket>(
  options: SocketOptions,
  type: number,
  protocol: number,
  port: number,
  where: string,
  finish: (fd: number, family: 4 | 6) => T,
): T {
  const { local, mark = 0, receiveBuffer = SOCKET_BUFFER, sendBuffer = SOCKET_BUFFER, df = 'clear' } = options
  const family = local.length === 4 ? 4 : 6
  const c = libc()
  const fd = c.socket(addressFamily(family), type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)
  if (fd < 0) throw socketError(-fd, where, family)
  try {
    if (mark !== 0) must(fd, SOL_SOCKET, SO_MARK, mark | 0, 'SO_MARK', where)
    grow(fd, SO_RCVBUFFORCE, SO_RCVBUF, receiveBuffer)
    grow(fd, SO_SNDBUFFORCE, SO_SNDBUF, sendBuffer)
    if (family === 4) {
      must(fd, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC[df], 'IP_MTU_DISCOVER', where)
      must(fd, IPPROTO_IP, IP_RECVTOS, 1, 'IP_RECVTOS', where)
    } else {
      must(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC[df], 'IPV6_MTU_DISCOVER', where)
      must(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1, 'IPV6_RECVTCLASS', where)
    }
    const socket = finish(fd, family)
    const bound = c.bind(fd, sockaddr(local, port))
    if (bound < 0) throw bindError(-bound, local, port, where)
    return socket
  } catch (error) {
    c.close(fd)
    throw error
  }
}

function must(fd: number, level: number, option: number, value: number, name: string, where: string): void {
  const r = libc().setsockopt(fd, level, option, value)
  if (r >= 0) return
  const remedy = -r === EPERM ? 'CAP_NET_ADMIN is missing: run as root' : undefined
  throw systemError('setsockopt', -r, `cannot set ${name} on the socket for ${where}`, remedy)
}

/** The kernel gives what it can; less is slower, not wrong. */
function grow(fd: number, force: number, plain: number, octets: number): void {
  const c = libc()
  if (c.setsockopt(fd, SOL_SOCKET, force, octets) < 0) c.setsockopt(fd, SOL_SOCKET, plain, octets)
}

function socketError(errno: number, where: string, family: 4 | 6): SystemError {
  const what = `cannot open a socket for ${where}`
  if (errno === EPERM || errno === EACCES)
    return systemError(
      'socket',
      errno,
      what,
      'CAP_NET_RAW is missing: run as root, or give it to the process',
    )
  if (errno === EAFNOSUPPORT)
    return systemError('socket', errno, what, `IPv${family} is switched off in this kernel`)
  return systemError('socket', errno, what)
}

function bindError(errno: number, local: IpAddress, port: number, where: string): SystemError {
  const what = `cannot bind a socket to ${where}`
  switch (errno) {
    case EADDRINUSE:
      return systemError(
        'bind',
        errno,
        what,
        `Another program has the port, often another IKE daemon; "ss -lunp sport = :${port}" names it`,
      )
    case EADDRNOTAVAIL:
      return systemError(
        'bind',
        errno,
        what,
        `No interface of this host has ${formatIp(local)} (or, for IPv6, not yet: duplicate address detection takes ` +
          'a second or two). Check "local" of the peer, and "ip address"',
      )
    case EACCES:
    case EPERM:
      return systemError('bind', errno, what, 'CAP_NET_BIND_SERVICE is missing: run as root')
    default:
      return systemError('bind', errno, what)
  }
}
