import { koffi } from './koffi.js'

/** bpf(2) of asm-generic; x86-64 has numbers of its own. */
const SYS_BPF = process.arch === 'x64' ? 321 : 280

/**
 * The C library's calls that sallyport makes. Addresses are process addresses as numbers; what they point to must not
 * move and must outlive the call. Every function returns the call's result, or -errno where the call returns -1; none
 * throws, none retries. Parameters of type Uint8Array are for calls outside the hot path: the octets are used during
 * the call only.
 */
export interface Libc {
  open(path: string, flags: number): number
  close(fd: number): number
  read(fd: number, address: number, length: number): number
  write(fd: number, address: number, length: number): number
  /** @param vectors address of `count` iovecs */
  readv(fd: number, vectors: number, count: number): number
  writev(fd: number, vectors: number, count: number): number
  /** @param fds address of `count` pollfds; timeout in ms, -1 waits for ever */
  poll(fds: number, count: number, timeoutMs: number): number
  eventfd(initial: number, flags: number): number
  ioctlPointer(fd: number, request: number, argument: Uint8Array): number
  /** bpf(2), which has no wrapper in libc. */
  bpf(command: number, attributes: number, length: number): number
  ioctlValue(fd: number, request: number, value: number): number
  socket(family: number, type: number, protocol: number): number
  /** Fills `fds` with two descriptors. */
  socketpair(family: number, type: number, protocol: number, fds: Int32Array): number
  bind(fd: number, address: Uint8Array): number
  connect(fd: number, address: Uint8Array): number
  /** Fills `address` with the socket's own address; returns its length. */
  getsockname(fd: number, address: Uint8Array): number
  /** Sets an option of int type. */
  setsockopt(fd: number, level: number, option: number, value: number): number
  setsockoptBytes(fd: number, level: number, option: number, value: Uint8Array): number
  /** Reads an option of int type that cannot be negative. */
  getsockopt(fd: number, level: number, option: number): number
  sendto(fd: number, octets: Uint8Array, flags: number, address: Uint8Array): number
  /** Fills `octets` with one datagram; returns its length. */
  recv(fd: number, octets: Uint8Array, flags: number): number
  /** @param messages address of `count` mmsghdrs */
  recvmmsg(fd: number, messages: number, count: number, flags: number): number
  sendmmsg(fd: number, messages: number, count: number, flags: number): number
  /** @returns the address, or -errno. Offset 0 of the file; `fd` -1 for anonymous memory */
  mmap(address: number, length: number, protection: number, flags: number, fd: number): number
  munmap(address: number, length: number): number
  memfdCreate(name: string, flags: number): number
  ftruncate(fd: number, length: number): number
  /** Moves the calling thread, and nothing else of the process, into new namespaces (CLONE_NEW* flags). */
  unshare(flags: number): number
  /** Moves the calling thread into the namespace that `fd` refers to. */
  setns(fd: number, type: number): number
}

let bound: Libc | undefined

/**
 * The calls, bound at first use in a thread.
 * @throws SystemError where no native calls can be made
 */
export function libc(): Libc {
  bound ??= bind()
  return bound
}

function bind(): Libc {
  const ffi = koffi()
  const c = ffi.load(null)
  const errno = ffi.errno
  // errno is read only after a failure: it costs as much as a call.
  const result = (r: number): number => (r < 0 ? -errno() : r)

  const open = c.func('open', 'int', ['str', 'int', 'int'])
  const close = c.func('close', 'int', ['int'])
  const read = c.func('read', 'int64_t', ['int', 'uintptr_t', 'size_t'])
  const write = c.func('write', 'int64_t', ['int', 'uintptr_t', 'size_t'])
  const readv = c.func('readv', 'int64_t', ['int', 'uintptr_t', 'int'])
  const writev = c.func('writev', 'int64_t', ['int', 'uintptr_t', 'int'])
  const poll = c.func('poll', 'int', ['uintptr_t', 'ulong', 'int'])
  const eventfd = c.func('eventfd', 'int', ['uint', 'int'])
  // ioctl is variadic; on the supported processors a third argument travels as in a fixed prototype.
  const ioctlPointer = c.func('ioctl', 'int', ['int', 'ulong', 'void *'])
  const ioctlValue = c.func('ioctl', 'int', ['int', 'ulong', 'ulong'])
  const socket = c.func('socket', 'int', ['int', 'int', 'int'])
  const socketpair = c.func('socketpair', 'int', ['int', 'int', 'int', 'void *'])
  const bindTo = c.func('bind', 'int', ['int', 'void *', 'uint'])
  const connect = c.func('connect', 'int', ['int', 'void *', 'uint'])
  const getsockname = c.func('getsockname', 'int', ['int', 'void *', 'void *'])
  const setsockopt = c.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint'])
  const getsockopt = c.func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *'])
  const sendto = c.func('sendto', 'int64_t', ['int', 'void *', 'size_t', 'int', 'void *', 'uint'])
  const recv = c.func('recv', 'int64_t', ['int', 'void *', 'size_t', 'int'])
  const recvmmsg = c.func('recvmmsg', 'int', ['int', 'uintptr_t', 'uint', 'int', 'uintptr_t'])
  const sendmmsg = c.func('sendmmsg', 'int', ['int', 'uintptr_t', 'uint', 'int'])
  const mmap = c.func('mmap', 'int64_t', ['uintptr_t', 'size_t', 'int', 'int', 'int', 'int64_t'])
  const munmap = c.func('munmap', 'int', ['uintptr_t', 'size_t'])
  const memfdCreate = c.func('memfd_create', 'int', ['str', 'uint'])
  const ftruncate = c.func('ftruncate', 'int', ['int', 'int64_t'])
  const syscall = c.func('syscall', 'long', ['long', 'long', 'uintptr_t', 'uint'])
  const unshare = c.func('unshare', 'int', ['int'])
  const setns = c.func('setns', 'int', ['int', 'int'])

  return {
    open: (path, flags) => result(open(path, flags, 0)),
    close: (fd) => result(close(fd)),
    read: (fd, address, length) => result(read(fd, address, length)),
    write: (fd, address, length) => result(write(fd, address, length)),
    readv: (fd, vectors, count) => result(readv(fd, vectors, count)),
    writev: (fd, vectors, count) => result(writev(fd, vectors, count)),
    poll: (fds, count, timeoutMs) => result(poll(fds, count, timeoutMs)),
    eventfd: (initial, flags) => result(eventfd(initial, flags)),
    bpf: (command, attributes, length) => result(syscall(SYS_BPF, command, attributes, length)),
    ioctlPointer: (fd, request, argument) => result(ioctlPointer(fd, request, argument)),
    ioctlValue: (fd, request, value) => result(ioctlValue(fd, request, value)),
    socket: (family, type, protocol) => result(socket(family, type, protocol)),
    socketpair: (family, type, protocol, fds) => result(socketpair(family, type, protocol, fds)),
    bind: (fd, address) => result(bindTo(fd, address, address.length)),
    connect: (fd, address) => result(connect(fd, address, address.length)),
    getsockname(fd, address) {
      const length = Uint32Array.of(address.length)
      const r = result(getsockname(fd, address, length))
      return r < 0 ? r : length[0]!
    },
    setsockoptBytes: (fd, level, option, value) => result(setsockopt(fd, level, option, value, value.length)),
    setsockopt: (fd, level, option, value) => result(setsockopt(fd, level, option, Int32Array.of(value), 4)),
    getsockopt(fd, level, option) {
      const value = new Int32Array(1)
      const r = result(getsockopt(fd, level, option, value, Uint32Array.of(4)))
      return r < 0 ? r : value[0]!
    },
    sendto: (fd, octets, flags, address) =>
      result(sendto(fd, octets, octets.length, flags, address, address.length)),
    recv: (fd, octets, flags) => result(recv(fd, octets, octets.length, flags)),
    recvmmsg: (fd, messages, count, flags) => result(recvmmsg(fd, messages, count, flags, 0)),
    sendmmsg: (fd, messages, count, flags) => result(sendmmsg(fd, messages, count, flags)),
    mmap: (address, length, protection, flags, fd) =>
      result(Number(mmap(address, length, protection, flags, fd, 0))),
    munmap: (address, length) => result(munmap(address, length)),
    memfdCreate: (name, flags) => result(memfdCreate(name, flags)),
    ftruncate: (fd, length) => result(ftruncate(fd, length)),
    unshare: (flags) => result(unshare(flags)),
    setns: (fd, type) => result(setns(fd, type)),
  }
}
