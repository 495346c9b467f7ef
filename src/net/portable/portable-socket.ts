import type { Slab } from '../../bytes/slab.js'
import { InternalError, SystemError } from '../../errors.js'
import {
  IP_HDRINCL,
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_TCLASS,
  SO_MARK,
  SOL_SOCKET,
} from '../../ffi/constants.js'
import { ENOBUFS, EOPNOTSUPP } from '../../ffi/errno.js'
import { formatIp, type IpAddress, parseIp, sameIp } from '../../wire/ip-address.js'
import { DESTINATIONS_MAX, type PacketSocket, type RxBatch, type TxBatch } from '../types.js'
import { loadRawSocket, type RawSocket, type RawSocketModule } from './raw-socket.js'

/** Received packets that wait for `receive`, at most; further ones are dropped and counted. */
export const PORTABLE_QUEUE_MAX = 256
/** Packets that wait to be sent, at most; further ones are not taken. */
export const PORTABLE_SENDING_MAX = 256
/** Larger than any IP packet, so that nothing is cut: the package could not tell. */
const RECEIVE_BUFFER = 65_536

export interface PortableSocketOptions {
  /** The underlay address. IPv4: packets to other addresses of the host are not delivered. */
  readonly local: IpAddress
  /** IP protocol: 50 (ESP) or 51 (AH). */
  readonly protocol: number
  /** SO_MARK of what is sent; 0 or absent: none. */
  readonly mark?: number
  /** IPv4: the caller writes the IP header of what it sends. Not possible for IPv6. */
  readonly headerIncluded?: boolean
}

interface Received {
  readonly octets: Uint8Array
  readonly source: IpAddress
}

/**
 * A raw IP socket without FFI, over the npm package `raw-socket`: for systems without a koffi build and as the oracle of
 * the native one. Same contract as NativePacketSocket, with these limits:
 *
 * - main thread only, a packet an event, a system call and two copies a packet;
 * - not bound to `local`: the kernel chooses the source address by route unless the header is included, and IPv6
 *   packets to any address of the host are delivered (IPv6 brings no header that could tell);
 * - `receive` knows no TOS for IPv6; there is no UDP, no segmentation, no descriptor to poll: `readable` is called instead;
 * - `send` takes packets into a queue; what the kernel says of them later only counts in `refused`.
 */
export class PortablePacketSocket implements PacketSocket {
  /** The package does not show its descriptor. */
  readonly fd = -1
  readonly family: 4 | 6
  readonly kind = 'raw'
  /** Called on the event loop when `receive` has something to give. */
  readable: (() => void) | undefined
  /** Packets received while PORTABLE_QUEUE_MAX others waited. */
  overrun = 0
  /** Packets longer than their receive slot; reported with length 0. */
  truncated = 0
  /** Packets that the kernel refused after `send` had taken them. */
  refused = 0
  /** Failed reads. */
  errors = 0

  /** DF is in the header that the caller writes; the package cannot set it. */
  dontFragment(): void {}

  private readonly slab: Slab
  private readonly local: IpAddress
  private readonly socket: RawSocket
  private readonly queue: Received[] = []
  private readonly destinations: string[] = []
  private readonly indices = new Map<string, number>()
  private sending = 0
  private tos = 0
  private closed = false

  /**
   * @param slab where packets of both directions lie; plain memory will do
   * @throws SystemError where raw-socket is missing or the right to open a raw socket is
   */
  constructor(slab: Slab, options: PortableSocketOptions, module: RawSocketModule = loadRawSocket()) {
    const { local, protocol, mark = 0, headerIncluded = false } = options
    this.slab = slab
    this.local = local
    this.family = local.length === 4 ? 4 : 6
    const { IPv4, IPv6 } = module.AddressFamily
    const where = `IP protocol ${protocol} of ${formatIp(local)}`
    if (headerIncluded && this.family === 6)
      throw new SystemError(
        'raw-socket',
        EOPNOTSUPP,
        `${where}: the portable path sends no IPv6 header of the caller's`,
      )
    this.socket = attempt(`cannot open a socket for ${where}`, () =>
      module.createSocket({
        protocol,
        addressFamily: this.family === 4 ? IPv4 : IPv6,
        bufferSize: RECEIVE_BUFFER,
      }),
    )
    this.socket.on('message', (octets, source) => this.received(octets, source))
    this.socket.on('error', () => {
      this.errors++
    })
    // The package closes it by itself when the event loop reports an error.
    this.socket.on('close', () => {
      this.closed = true
    })
    try {
      attempt(`cannot set options of the socket for ${where}`, () => {
        if (mark !== 0) this.socket.setOption(SOL_SOCKET, SO_MARK, mark)
        if (headerIncluded) this.socket.setOption(IPPROTO_IP, IP_HDRINCL, 1)
      })
    } catch (error) {
      this.close()
      throw error
    }
  }

  receive(rx: RxBatch): number {
    const n = Math.min(rx.size, this.queue.length)
    for (let i = 0; i < n; i++) {
      const { octets, source } = this.queue.shift()!
      const fits = octets.length <= rx.room
      if (fits) this.slab.bytes.set(octets, rx.at[i]!)
      else this.truncated++
      rx.length[i] = fits ? octets.length : 0
      rx.segment[i] = 0
      rx.tos[i] = this.family === 4 ? octets[1]! : 0
      rx.sourcePort[i] = 0
      rx.source.set(source, i * 16)
    }
    return n
  }

  /** Takes packets into the send queue; their octets are copied. 0 when the queue is full. */
  send(tx: TxBatch, from: number, count: number): number {
    if (this.closed) return 0
    const n = Math.min(count, PORTABLE_SENDING_MAX - this.sending)
    for (let i = from; i < from + n; i++) {
      const address = this.destinations[tx.destination[i]!]
      if (address === undefined) throw new InternalError('unknown destination')
      const at = tx.at[i]!
      const tos = tx.tos[i]!
      // The package reads the octets later, when the slab may have others.
      const octets = Buffer.from(this.slab.bytes.slice(at, at + tx.length[i]!))
      this.sending++
      this.socket.send(
        octets,
        0,
        octets.length,
        address,
        () => this.setTos(tos),
        (error) => {
          this.sending--
          if (error) this.refused++
        },
      )
    }
    return n
  }

  destination(address: IpAddress, _port: number): number {
    const text = formatIp(address)
    const found = this.indices.get(text)
    if (found !== undefined) return found
    const i = this.destinations.length
    if (i === DESTINATIONS_MAX) return -ENOBUFS
    this.destinations.push(text)
    this.indices.set(text, i)
    return i
  }

  /** Packets that are not sent yet are lost. */
  close(): void {
    // The package would open a closed socket again, without its options.
    if (this.closed) return
    this.closed = true
    this.socket.close()
  }

  private setTos(tos: number): void {
    if (tos === this.tos) return
    if (this.family === 4) this.socket.setOption(IPPROTO_IP, IP_TOS, tos)
    else this.socket.setOption(IPPROTO_IPV6, IPV6_TCLASS, tos)
    this.tos = tos
  }

  private received(octets: Buffer, source: string): void {
    const address = parseIp(source)
    if (!address) return
    if (this.family === 4 && (octets.length < 20 || !sameIp(octets.subarray(16, 20), this.local))) return
    if (this.queue.length === PORTABLE_QUEUE_MAX) {
      this.overrun++
      return
    }
    // All packets arrive in one buffer of the package.
    this.queue.push({ octets: Uint8Array.from(octets), source: address })
    this.readable?.()
  }
}

/** The package throws the text of strerror(3) alone. */
function attempt<T>(what: string, f: () => T): T {
  try {
    return f()
  } catch (cause) {
    const text = (cause as Error).message
    const remedy = /not permitted|denied/i.test(text)
      ? '. CAP_NET_RAW (for a mark CAP_NET_ADMIN) is missing: run as root'
      : ''
    throw new SystemError('raw-socket', 0, `${what}: ${text}${remedy}`, { cause })
  }
}
