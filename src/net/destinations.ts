import { hex } from '../bytes/octets.js'
import { InternalError } from '../errors.js'
import { ETH_P_IP, ETH_P_IPV6 } from '../ffi/constants.js'
import { ENOBUFS } from '../ffi/errno.js'
import { SOCKADDR_STRIDE, writeLinkAddress, writeSockaddr } from '../ffi/layout/sockaddr.js'
import { NativeMemory } from '../ffi/native-memory.js'
import type { IpAddress } from '../wire/ip-address.js'
import { DESTINATIONS_MAX, type DirectWay } from './types.js'

/**
 * Socket addresses that a socket sends to, in native memory: entry i is at `address` + 32 i, and its direct way, where
 * there is one, at `ways` + 32 i. Entries are never removed.
 */
export class Destinations {
  readonly address: number
  readonly ways: number
  private readonly memory: NativeMemory
  private readonly wayMemory: NativeMemory
  /** Longest packet that goes the direct way; 0 = there is none. */
  private readonly wayMtu = new Int32Array(DESTINATIONS_MAX)
  private readonly known = new Map<string, number>()
  private readonly octets: number

  constructor(family: 4 | 6) {
    this.octets = family === 4 ? 4 : 16
    // Untouched pages of them are not backed by memory.
    this.memory = new NativeMemory(DESTINATIONS_MAX * SOCKADDR_STRIDE)
    this.wayMemory = new NativeMemory(DESTINATIONS_MAX * SOCKADDR_STRIDE)
    this.address = this.memory.address
    this.ways = this.wayMemory.address
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

  setWay(i: number, way: DirectWay | undefined): void {
    if (way) {
      const protocol = this.octets === 4 ? ETH_P_IP : ETH_P_IPV6
      writeLinkAddress(this.wayMemory.bytes, i * SOCKADDR_STRIDE, protocol, way.index, way.mac)
    }
    this.wayMtu[i] = way?.mtu ?? 0
  }

  mtuOfWay(i: number): number {
    return this.wayMtu[i]!
  }
}
