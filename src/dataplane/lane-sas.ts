import { randomBytes } from 'node:crypto'
import { wipe } from '../bytes/octets.js'
import type { Slab } from '../bytes/slab.js'
import type { CryptoEngine } from '../crypto/types.js'
import type { Burst } from '../ipsec/burst.js'
import { createInboundSa, createOutboundSa, type InboundSa, type OutboundSa } from '../ipsec/sa.js'
import { SA_CELLS } from '../ipsec/sa-use.js'
import type { Sad } from '../ipsec/sad.js'
import type { Spd } from '../ipsec/spd.js'
import type { SaKey, SaSpec } from '../sadb/sa-spec.js'
import type { IpAddress } from '../wire/ip-address.js'
import { AH, ESP, UDP } from '../wire/ip-protocol.js'
import type { Counters } from './counters.js'
import type { LaneSocket } from './lane-socket.js'
import type { Post } from './messages.js'
import type { PathFit } from './path-fit.js'
import type { WayOut } from './way-out.js'

export interface LaneSasOptions {
  readonly sad: Sad
  readonly spd: Spd
  /** In order of preference. */
  readonly engines: readonly CryptoEngine[]
  readonly burst: Burst | undefined
  readonly sockets: readonly LaneSocket[]
  readonly fit: PathFit
  readonly wayOut: WayOut
  readonly post: Post
}

/** The lane's SAs, as the main thread wants them: made and deleted, with a route for each that packets leave by. */
export class LaneSas {
  private readonly slab: Slab
  private readonly counters: Counters
  private readonly options: LaneSasOptions

  constructor(slab: Slab, counters: Counters, options: LaneSasOptions) {
    this.slab = slab
    this.counters = counters
    this.options = options
  }

  /**
   * An SA that cannot be is refused in a message.
   * @param spec its keys are wiped @param slot of the counters
   */
  add(spec: SaSpec, slot: number, nowMs: number): void {
    const { spd, engines, burst, post } = this.options
    const from = this.counters.saBase(slot)
    const handling = spd.handling(spec.policy)
    const use = {
      nowMs,
      cells: this.counters.cells.subarray(from, from + SA_CELLS),
      ivSalt: randomBytes(8),
      burst,
      ...(handling && { handling }),
    }
    try {
      if (spec.direction === 'inbound') this.addInbound(createInboundSa(spec, engines, this.slab, use))
      else this.addOutbound(createOutboundSa(spec, engines, this.slab, use))
    } catch (error) {
      const { direction, protocol, spi, policy } = spec
      const key = { direction, protocol, spi, policy }
      post({ op: 'refused', key, reason: (error as Error).message })
    } finally {
      wipe(spec.encryption?.key, spec.integrity?.key)
    }
  }

  private addInbound(sa: InboundSa): void {
    const { sad, fit } = this.options
    sad.addInbound(sa)
    fit.refit()
  }

  private addOutbound(sa: OutboundSa): void {
    const { sad, sockets, fit, wayOut } = this.options
    const { info, policy } = sa
    const protocol = info.udp ? UDP : info.protocol === 'esp' ? ESP : AH
    const from = sockets.find(
      ({ spec }) => spec.protocol === protocol && Buffer.compare(spec.local, info.local) === 0,
    )
    if (!from) {
      sa.destroy()
      throw new Error('no socket is bound to its local address')
    }
    const destination = from.socket.destination(info.remote, info.udp?.remotePort ?? 0)
    if (destination < 0) {
      sa.destroy()
      throw new Error('too many destinations')
    }
    const old = sad.outbound(policy)
    fit.apply(sa)
    sad.addOutbound(sa)
    if (old) wayOut.routes.delete(old)
    wayOut.routes.set(sa, { queue: from.queue, destination, whole: from.spec.kind === 'raw' })
    // Before anything leaves by it: padding and the MSS of connections depend on what fits.
    fit.refit()
    wayOut.release(policy)
  }

  /** An outbound SA in UDP sends elsewhere from now on. What was sealed already goes where it was meant to. */
  redirect(key: SaKey, remote: IpAddress, port: number): void {
    const { sockets, fit, wayOut } = this.options
    for (const [sa, route] of wayOut.routes) {
      const { spi, policy, protocol } = sa.key
      if (spi !== key.spi || protocol !== key.protocol || policy !== key.policy || !sa.info.udp) continue
      const from = sockets.find(({ queue }) => queue === route.queue)
      const destination = from?.socket.destination(remote, port) ?? -1
      // A full table: it goes on as it is until it is negotiated anew.
      if (destination < 0) continue
      sa.redirect(remote, port)
      wayOut.routes.set(sa, { ...route, destination })
      fit.apply(sa)
      fit.refit()
    }
  }

  delete(key: SaKey): void {
    const { sad, wayOut } = this.options
    sad.delete(key)
    if (key.direction === 'inbound') return
    for (const sa of wayOut.routes.keys()) if (sad.outbound(sa.policy) !== sa) wayOut.routes.delete(sa)
  }

  /** Tells of SAs that have reached a limit of their lifetime. */
  expire(nowMs: number): void {
    for (const sa of this.options.sad) {
      const expiry = sa.expiry(nowMs)
      if (expiry) this.options.post({ op: 'expire', expiry })
    }
  }
}
