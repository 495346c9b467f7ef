import type { SaProtocol } from '../sadb/sa-spec.js'
import { ahSpi } from '../wire/ah.js'
import { espSpi } from '../wire/esp.js'
import { NAT_T_PORT } from '../wire/ike/header.js'
import { ESP } from '../wire/ip-protocol.js'
import { ipv4HeaderLength } from '../wire/ipv4.js'
import { Budget } from './budget.js'
import type { FromLane, SocketSpec } from './messages.js'

/** Packets told of in each span of housekeeping: a peer that has not noticed our restart sends far more. */
const PACKETS = 2

/** Tells the main thread of packets on SPIs that a lane does not know. What is beyond the budget costs a comparison. */
export class UnknownSpis {
  private readonly packets = new Budget(PACKETS)
  private readonly post: (message: FromLane) => void

  constructor(post: (message: FromLane) => void) {
    this.post = post
  }

  refill(): void {
    this.packets.refill()
  }

  /**
   * A packet that was dropped for its SPI, as the socket gave it: with its IP header from a raw IPv4 socket, else without any.
   * @param source 16 octets at `sourceAt` @param port of the sender in UDP
   */
  report(
    b: Uint8Array,
    at: number,
    spec: SocketSpec,
    source: Uint8Array,
    sourceAt: number,
    port: number,
  ): void {
    if (!this.packets.take()) return
    const raw = spec.kind === 'raw'
    const from = raw && spec.family === 4 ? at + ipv4HeaderLength(b, at) : at
    const protocol: SaProtocol = !raw || spec.protocol === ESP ? 'esp' : 'ah'
    this.post({
      op: 'unknownSpi',
      protocol,
      spi: protocol === 'esp' ? espSpi(b, from) : ahSpi(b, from),
      local: spec.local,
      localPort: raw ? 0 : NAT_T_PORT,
      remote: source.slice(sourceAt, sourceAt + spec.local.length),
      remotePort: raw ? 0 : port,
    })
  }
}
