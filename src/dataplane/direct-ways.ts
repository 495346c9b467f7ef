import { directWay } from '../net/direct-way.js'
import { NetlinkSocket } from '../net/netlink.js'
import type { DirectWay } from '../net/types.js'
import type { IpAddress } from '../wire/ip-address.js'

/** Routes, neighbours and MTUs are looked up again after this time, as long as somebody sends. */
const REFRESH_MS = 1_000

/** Local and remote underlay address of raw ESP or AH. */
export type UnderlayPair = readonly [local: IpAddress, remote: IpAddress]

/** Keeps the lanes informed how raw packets reach their stations. On the main thread. */
export class DirectWays {
  private netlink: NetlinkSocket | undefined
  private readonly mark: number
  private readonly pairs: () => Iterable<UnderlayPair>
  private readonly tell: (pair: UnderlayPair, way: DirectWay | undefined) => void
  private readonly timer: NodeJS.Timeout

  /**
   * @param mark of the packets, which policy routing may look at
   * @param pairs that are in use, asked for each time
   * @param tell called for each pair every second; `way` undefined: through the kernel's IP layer
   */
  constructor(
    mark: number,
    pairs: () => Iterable<UnderlayPair>,
    tell: (pair: UnderlayPair, way: DirectWay | undefined) => void,
  ) {
    this.mark = mark
    this.pairs = pairs
    this.tell = tell
    this.timer = setInterval(() => {
      for (const pair of this.pairs()) this.find(pair)
    }, REFRESH_MS)
    this.timer.unref()
  }

  /** Looks one pair up at once. */
  find(pair: UnderlayPair): void {
    this.tell(pair, this.lookUp(pair))
  }

  private lookUp([local, remote]: UnderlayPair): DirectWay | undefined {
    try {
      this.netlink ??= NetlinkSocket.open('route')
      return directWay(this.netlink, local, remote, this.mark)
    } catch {
      // What cannot be told is left to the kernel, which has its own ways to complain.
      return undefined
    }
  }

  close(): void {
    clearInterval(this.timer)
    this.netlink?.close()
  }
}
