import { hex } from '../bytes/octets.js'
import { InternalError } from '../errors.js'
import { ENOBUFS } from '../ffi/errno.js'
import { SOCKADDR_STRIDE, writeSockaddr } from '../ffi/layout/sockaddr.js'
import { NativeMemory } from '../ffi/native-memory.js'
import type { IpAddress } from '../wire/ip-address.js'
import { DESTINATIONS_MAX } from './types.js'

/** Socket addresses that a socket sends to, in native memory: entry i is at `address` + 32 i. Entries are never removed. */
export class Destinations {
  readonly address: number
  private readonly memory: NativeMemory
  private readonly known = new Map<string, number>()
  private readonly octets: number

  constructor(family: 4 | 6) {
    this.octets = family === 4 ? 4 : 16
    // Untouched pages of it are not backed by memory.
    this.memory = new NativeMemory(DESTINATIONS_MAX * SOCKADDR_STRIDE)
    this.address = this.memory.address
  }

  get count(): number {
    return this.known.size
  }

  /** Index of the pair, which is made when it is new; -ENOBUFS when the table is full. */
  index(address: IpAddress, port: number): number {
    if (address.length !== this.octets) throw new InternalError('a destination of the other address family')
    const key = `${hex(address)} ${port}`
    const found = this.known.get(key)
    if (found !== undefined) return found
    const i = this.known.size
    if (i === DESTINATIONS_MAX) return -ENOBUFS
    writeSockaddr(this.memory.bytes, i * SOCKADDR_STRIDE, address, port)
    this.known.set(key, i)
    return i
  }
}
