import { InternalError } from '../errors.js'
import { EINTR } from '../ffi/errno.js'
import {
  POLL_EVENTS,
  POLL_REVENTS,
  POLLERR,
  POLLFD_LEN,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
} from '../ffi/layout/pollfd.js'
import { type Libc, libc } from '../ffi/libc.js'
import { NativeMemory } from '../ffi/native-memory.js'
import { systemError } from './system-error.js'

/** Descriptors that a poller holds at most. */
export const POLL_FDS_MAX = 256

/** A set of descriptors that one thread waits on. Level-triggered: what is not read is reported again. */
export class Poller {
  private readonly c: Libc
  private readonly memory: NativeMemory
  private count = 0

  /** @param capacity descriptors at most, up to POLL_FDS_MAX */
  constructor(capacity = 16) {
    if (capacity < 1 || capacity > POLL_FDS_MAX) throw new InternalError(`a poller of ${capacity}`)
    this.c = libc()
    this.memory = new NativeMemory(capacity * POLLFD_LEN)
  }

  /** Adds a descriptor, waited on for reading; returns its index, which stays valid for good. */
  add(fd: number): number {
    const i = this.count
    if ((i + 1) * POLLFD_LEN > this.memory.bytes.length) throw new InternalError('the poller is full')
    this.memory.view.setInt32(i * POLLFD_LEN, fd, true)
    this.memory.view.setInt16(i * POLLFD_LEN + POLL_EVENTS, POLLIN, true)
    this.count++
    return i
  }

  /** What to wait for from now on. With neither, only errors of the descriptor are reported. */
  watch(i: number, readable: boolean, writable: boolean): void {
    const events = (readable ? POLLIN : 0) | (writable ? POLLOUT : 0)
    this.memory.view.setInt16(i * POLLFD_LEN + POLL_EVENTS, events, true)
  }

  /**
   * Waits until a descriptor is ready or `timeoutMs` is over (0 only looks, -1 waits for ever).
   * Returns how many are ready; 0 also when a signal ended the wait.
   * @throws SystemError when the kernel has no memory for it
   */
  wait(timeoutMs: number): number {
    const n = this.c.poll(this.memory.address, this.count, timeoutMs)
    if (n >= 0) return n
    // The array still has the answers of the wait before.
    for (let i = 0; i < this.count; i++) this.memory.view.setInt16(i * POLLFD_LEN + POLL_REVENTS, 0, true)
    if (n === -EINTR) return 0
    throw systemError('poll', -n, `cannot wait on ${this.count} descriptors`)
  }

  /** There is something to read, or an error that a read will tell. */
  readable(i: number): boolean {
    return (this.events(i) & (POLLIN | POLLERR | POLLHUP)) !== 0
  }

  writable(i: number): boolean {
    return (this.events(i) & POLLOUT) !== 0
  }

  /** The descriptor is closed, or its device is gone: waiting on it again would not wait. */
  broken(i: number): boolean {
    return (this.events(i) & (POLLNVAL | POLLERR | POLLHUP)) !== 0
  }

  private events(i: number): number {
    return this.memory.view.getInt16(i * POLLFD_LEN + POLL_REVENTS, true)
  }
}
