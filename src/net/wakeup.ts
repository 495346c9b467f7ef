import { EFD_CLOEXEC, EFD_NONBLOCK } from '../ffi/constants.js'
import { type Libc, libc } from '../ffi/libc.js'
import { NativeMemory } from '../ffi/native-memory.js'
import { systemError } from './system-error.js'

const VALUE_LEN = 8

/**
 * An eventfd: any thread wakes, one thread has `fd` in its poll set and drains. A wake before the drain is never lost,
 * several count as one. Both ends hold an object of their own over the same descriptor; one of them closes it.
 */
export class Wakeup {
  readonly fd: number
  private readonly c: Libc
  /** Octets 0..7: the 1 that `wake` writes; 8..15: where `drain` reads to. */
  private readonly memory: NativeMemory

  /** @param fd an eventfd, for example one that another thread opened */
  constructor(fd: number) {
    this.fd = fd
    this.c = libc()
    this.memory = new NativeMemory(2 * VALUE_LEN)
    this.memory.words[0] = 1
  }

  /** @throws SystemError when the process has no descriptor left */
  static open(): Wakeup {
    const fd = libc().eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
    if (fd < 0) throw systemError('eventfd', -fd, 'cannot make an eventfd to wake a thread with')
    return new Wakeup(fd)
  }

  wake(): void {
    // EAGAIN means that 2^64 - 2 wakes are waiting already.
    this.c.write(this.fd, this.memory.address, VALUE_LEN)
  }

  /** Takes what was written, so that poll no longer reports the descriptor. Returns whether there was anything. */
  drain(): boolean {
    return this.c.read(this.fd, this.memory.address + VALUE_LEN, VALUE_LEN) === VALUE_LEN
  }

  close(): void {
    this.c.close(this.fd)
  }
}
