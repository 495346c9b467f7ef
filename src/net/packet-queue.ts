import {
  AF_UNIX,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from '../ffi/constants.js'
import { libc } from '../ffi/libc.js'
import { systemError } from './system-error.js'

/** Octets that may wait, by the kernel's reckoning: about sixty packets of 64 KiB, or a few thousand small ones. */
const QUEUE_OCTETS = 4 * 1024 * 1024

/** A queue of packets between threads. */
export interface PacketQueue {
  /** Any thread writes whole packets here, one a write; EAGAIN when the queue is full. */
  readonly inFd: number
  /** One thread reads them here, in the order in which each writer wrote them. */
  readonly outFd: number
}

/**
 * A pair of unix datagram sockets: packets stay whole, and the kernel bounds it by octets (the bound in packets,
 * net.unix.max_dgram_qlen, is for sockets that are not each other's peer).
 * @throws SystemError without a descriptor left
 */
export function openPacketQueue(): PacketQueue {
  const c = libc()
  const fds = new Int32Array(2)
  const r = c.socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds)
  if (r < 0) throw systemError('socketpair', -r, 'cannot make a queue between two threads')
  const [inFd, outFd] = [fds[0]!, fds[1]!]
  if (c.setsockopt(inFd, SOL_SOCKET, SO_SNDBUFFORCE, QUEUE_OCTETS) < 0)
    c.setsockopt(inFd, SOL_SOCKET, SO_SNDBUF, QUEUE_OCTETS)
  return { inFd, outFd }
}
