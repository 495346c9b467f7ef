import { concat } from '../bytes/octets.js'
import { InternalError, SystemError } from '../errors.js'
import {
  AF_NETLINK,
  MSG_TRUNC,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_NETLINK,
  SOL_SOCKET,
} from '../ffi/constants.js'
import { EACCES, EAFNOSUPPORT, EAGAIN, EINTR, EPERM, EPROTONOSUPPORT } from '../ffi/errno.js'
import { POLL_EVENTS, POLLFD_LEN, POLLIN } from '../ffi/layout/pollfd.js'
import { libc } from '../ffi/libc.js'
import { NativeMemory } from '../ffi/native-memory.js'
import { closeFd } from './fd.js'
import {
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  host32,
  type NetlinkMessage,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HEADER_LEN,
} from './netlink-message.js'
import { systemError } from './system-error.js'

/** How long the kernel may take to answer. It answers within the call that asks, unless memory is short. */
const ANSWER_MS = 5_000
/** The kernel's own bound of a dump's datagram is 32 KiB; answers to single requests are far shorter. */
const RECEIVE_OCTETS = 65_536
/**
 * Octets of the messages that one batch may have: the packet filter of 4096 pairs of selectors. The kernel takes no more than the
 * socket's send buffer has, which is asked for as far as it is needed.
 */
export const BATCH_OCTETS_MAX = 16 * 1024 * 1024
/** What the kernel needs of the send buffer besides (net/netlink/af_netlink.c: 32 octets). */
const SEND_BUFFER_REST = 4_096
const NLM_F_ACK_TLVS = 0x200
const NLM_F_CAPPED = 0x100
const NLMSGERR_ATTR_MSG = 1
const CAP_NET_ADMIN = 'CAP_NET_ADMIN is missing: run as root, or give it to the process'

const PROTOCOLS = {
  route: { number: NETLINK_ROUTE, name: 'rtnetlink' },
  netfilter: { number: NETLINK_NETFILTER, name: 'nfnetlink' },
} as const

/**
 * A conversation with the kernel about network settings: each request waits for its answer. It speaks of the network
 * namespace that the calling thread was in when it was opened. Whoever opened it closes it.
 */
export class NetlinkSocket {
  readonly protocol: keyof typeof PROTOCOLS
  private readonly fd: number
  private readonly pollFd = new NativeMemory(POLLFD_LEN)
  private readonly buffer = new Uint8Array(RECEIVE_OCTETS)
  private sequence = 1
  private closed = false

  private constructor(protocol: keyof typeof PROTOCOLS, fd: number) {
    this.protocol = protocol
    this.fd = fd
    this.pollFd.view.setInt32(0, fd, true)
    this.pollFd.view.setInt16(POLL_EVENTS, POLLIN, true)
  }

  /** @throws SystemError when the kernel has no such netlink family */
  static open(protocol: keyof typeof PROTOCOLS): NetlinkSocket {
    const c = libc()
    const { number, name } = PROTOCOLS[protocol]
    const fd = c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, number)
    if (fd < 0) {
      const missing = -fd === EPROTONOSUPPORT || -fd === EAFNOSUPPORT
      const remedy =
        missing && protocol === 'netfilter'
          ? 'This kernel has no nfnetlink: load it with "modprobe nfnetlink"'
          : undefined
      throw systemError('socket', -fd, `cannot open a netlink socket (${name})`, remedy)
    }
    // Kernels before 4.12 have neither option and answer without the text.
    c.setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1)
    c.setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1)
    const bound = c.bind(fd, kernelAddress())
    if (bound < 0) {
      closeFd(fd)
      throw systemError('bind', -bound, `cannot bind a netlink socket (${name})`)
    }
    return new NetlinkSocket(protocol, fd)
  }

  /** Closing it again does nothing. */
  close(): void {
    if (!this.closed) closeFd(this.fd)
    this.closed = true
  }

  /**
   * Asks for a change, and waits until it is made.
   * @param what is being done, for the error: "cannot <what>: EPERM, ..."
   * @param tolerated errnos that are no error; the result tells which one it was, 0 for none
   * @throws SystemError
   */
  change(what: string, request: NetlinkRequest, tolerated: readonly number[] = []): number {
    const sequence = this.send(what, [{ ...request, flags: request.flags | NLM_F_ACK }])
    for (;;)
      for (const message of this.receive(what)) {
        if (message.sequence !== sequence || message.type !== NLMSG_ERROR) continue
        const { errno, text } = answerOf(message)
        if (errno !== 0 && !tolerated.includes(errno)) throw refusal(this.protocol, what, errno, text)
        return errno
      }
  }

  /**
   * Asks a question with one answer.
   * @returns the answering message, with memory of its own; the errno where that is tolerated
   */
  ask(what: string, request: NetlinkRequest, tolerated: readonly number[] = []): NetlinkMessage | number {
    const sequence = this.send(what, [request])
    for (;;)
      for (const message of this.receive(what)) {
        if (message.sequence !== sequence) continue
        if (message.type !== NLMSG_ERROR) return { ...message, body: message.body.slice() }
        const { errno, text } = answerOf(message)
        if (errno !== 0 && tolerated.includes(errno)) return errno
        if (errno !== 0) throw refusal(this.protocol, what, errno, text)
      }
  }

  /** Asks for a list. The messages have memory of their own. */
  dump(what: string, request: NetlinkRequest): NetlinkMessage[] {
    const sequence = this.send(what, [{ ...request, flags: request.flags | NLM_F_DUMP }])
    const out: NetlinkMessage[] = []
    for (;;)
      for (const message of this.receive(what)) {
        if (message.sequence !== sequence) continue
        if (message.type === NLMSG_DONE) return out
        if (message.type === NLMSG_ERROR) {
          const { errno, text } = answerOf(message)
          throw refusal(this.protocol, what, errno, text)
        }
        out.push({ ...message, body: message.body.slice() })
      }
  }

  /**
   * Sends an nfnetlink batch, which is done whole or not at all, and waits for the end of it.
   * @param requests `begin` and `end` included; the second last one asks for the acknowledgement
   */
  batch(what: string, requests: readonly NetlinkRequest[], tolerated: readonly number[] = []): number {
    if (requests.length < 3) throw new InternalError('an empty batch')
    const last = requests.length - 2
    const marked = requests.map((r, i) => (i === last ? { ...r, flags: r.flags | NLM_F_ACK } : r))
    const first = this.send(what, marked)
    const acknowledged = (first + last) >>> 0
    for (;;)
      for (const message of this.receive(what)) {
        const offset = (message.sequence - first) >>> 0
        if (message.type !== NLMSG_ERROR || offset >= requests.length) continue
        const { errno, text } = answerOf(message)
        if (errno !== 0) {
          // The first failure is the cause; those that follow may be its consequences.
          if (tolerated.includes(errno)) return errno
          throw refusal(this.protocol, what, errno, text)
        }
        if (message.sequence === acknowledged) return 0
      }
  }

  /** @returns the sequence number of the first message */
  private send(what: string, requests: readonly NetlinkRequest[]): number {
    this.drain()
    const first = this.sequence
    const octets = concat(...requests.map((r, i) => encodeMessage(r, (first + i) >>> 0)))
    if (octets.length > BATCH_OCTETS_MAX)
      throw new SystemError(
        'sendto',
        0,
        `cannot ${what}: ${octets.length} octets of netlink messages, more than ${BATCH_OCTETS_MAX}; the configuration has ` +
          'too many selectors',
      )
    this.sequence = (first + requests.length) >>> 0
    this.makeRoom(what, octets.length + SEND_BUFFER_REST)
    const sent = libc().sendto(this.fd, octets, 0, kernelAddress())
    if (sent < 0) throw refusal(this.protocol, what, -sent)
    return first
  }

  private makeRoom(what: string, octets: number): void {
    const c = libc()
    if (c.getsockopt(this.fd, SOL_SOCKET, SO_SNDBUF) >= octets) return
    if (c.setsockopt(this.fd, SOL_SOCKET, SO_SNDBUFFORCE, octets) < 0)
      c.setsockopt(this.fd, SOL_SOCKET, SO_SNDBUF, octets)
    const granted = c.getsockopt(this.fd, SOL_SOCKET, SO_SNDBUF)
    if (granted >= octets) return
    throw new SystemError(
      'setsockopt',
      0,
      `cannot ${what}: it takes ${octets} octets of send buffer, and the kernel grants ${granted}. ${CAP_NET_ADMIN}, or raise the ` +
        'sysctl net.core.wmem_max',
    )
  }

  /** Throws away what is left of an earlier conversation, for instance the errors behind a batch's first. */
  private drain(): void {
    while (libc().recv(this.fd, this.buffer, MSG_TRUNC) > 0);
  }

  private receive(what: string): NetlinkMessage[] {
    const c = libc()
    const deadline = performance.now() + ANSWER_MS
    for (;;) {
      const n = c.recv(this.fd, this.buffer, MSG_TRUNC)
      if (n > this.buffer.length)
        throw new SystemError('recv', 0, `cannot ${what}: the kernel's answer of ${n} octets is too long`)
      if (n > 0) return decodeMessages(this.buffer.subarray(0, n))
      if (n !== -EAGAIN && n !== -EINTR) throw refusal(this.protocol, what, -n)
      const left = Math.ceil(deadline - performance.now())
      if (left <= 0)
        throw new SystemError(
          'recv',
          0,
          `cannot ${what}: the kernel did not answer within ${ANSWER_MS / 1000} s`,
        )
      c.poll(this.pollFd.address, 1, left)
    }
  }
}

/** Runs `use` with a socket that is closed behind it. */
export function withNetlink<T>(protocol: keyof typeof PROTOCOLS, use: (socket: NetlinkSocket) => T): T {
  const socket = NetlinkSocket.open(protocol)
  try {
    return use(socket)
  } finally {
    socket.close()
  }
}

/** struct sockaddr_nl: family u16, padding u16, port id u32 (0 = the kernel, or "choose one"), groups u32. */
function kernelAddress(): Uint8Array {
  const address = new Uint8Array(12)
  address[0] = AF_NETLINK
  return address
}

/** struct nlmsgerr: negative errno, the header asked with, then text if the kernel has one. */
function answerOf(message: NetlinkMessage): { errno: number; text: string | undefined } {
  const errno = -(host32(message.body) | 0)
  return { errno, text: errno === 0 ? undefined : errorText(message) }
}

function errorText(message: NetlinkMessage): string | undefined {
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return undefined
  const repeated =
    (message.flags & NLM_F_CAPPED) !== 0 ? NLMSG_HEADER_LEN : (host32(message.body, 4) + 3) & ~3
  const text = decodeAttributes(message.body.subarray(4 + repeated)).get(NLMSGERR_ATTR_MSG)
  return text ? new TextDecoder().decode(text).replace(/\0.*$/s, '') : undefined
}

function refusal(protocol: keyof typeof PROTOCOLS, what: string, errno: number, text?: string): SystemError {
  const remedy = errno === EPERM || errno === EACCES ? CAP_NET_ADMIN : undefined
  const said = text ? ` (the kernel says: ${text})` : ''
  return systemError(PROTOCOLS[protocol].name, errno, `cannot ${what}${said}`, remedy)
}
