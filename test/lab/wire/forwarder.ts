import { linkByName } from '../../../src/net/links.js'
import { withNetlink } from '../../../src/net/netlink.js'
import { Poller } from '../../../src/net/poller.js'
import { Frame, type Kind } from './frame.js'
import { FRAMES, FrameSocket } from './frame-socket.js'
import { type Direction, type Impairment, Judge, VERDICT } from './impairments.js'
import type { WatchOptions, WireOptions, WireReport } from './messages.js'
import { tamper } from './tamper.js'
import { Watch } from './watch.js'

/** Frames that wait for their time, or for others to overtake them, at most. */
const WAITING_MAX = 8192
/** A frame that is held back goes on after so many later ones, or after so many milliseconds. */
const HOLD_FRAMES = 3
const HOLD_MS = 20
const DIRECTIONS: readonly [Direction, Direction] = ['a-to-b', 'b-to-a']

interface Waiting {
  readonly octets: Uint8Array
  readonly side: 0 | 1
  readonly dueMs: number
  /** Goes on when so many later frames have passed, if that comes before `dueMs`. */
  after: number
}

/** The wire between the two hosts: takes frames from either device, and passes them on to the other. */
export class Forwarder {
  private readonly options: WireOptions
  private readonly sockets: readonly [FrameSocket, FrameSocket]
  private readonly poller = new Poller()
  private readonly frame = new Frame()
  private readonly slots = new Int32Array(FRAMES)
  private watching: Watch
  private judge: Judge | undefined
  private waiting: Waiting[] = []

  constructor(options: WireOptions) {
    this.options = options
    const room = (options.mtu + 32 + 7) & ~7
    this.sockets = withNetlink('route', (netlink) => {
      const open = (name: string): FrameSocket => new FrameSocket(linkByName(netlink, name).index, room)
      return [open(options.devices[0]), open(options.devices[1])]
    })
    for (const socket of this.sockets) this.poller.add(socket.fd)
    this.watching = new Watch({}, options.devices)
  }

  watch(options: WatchOptions): void {
    this.drops()
    this.watching.close()
    this.watching = new Watch(options, this.options.devices)
  }

  impair(impairments: readonly Impairment[], seed: number): void {
    this.judge = impairments.length === 0 ? undefined : new Judge(impairments, seed)
  }

  report(): WireReport {
    this.drops()
    return this.watching.report()
  }

  samples(kind: Kind, direction: Direction): readonly string[] {
    return this.watching.samples(kind, sideOf(direction))
  }

  /** Puts frames on the wire; returns how many the device took. */
  inject(direction: Direction, frames: readonly string[]): number {
    const to = this.sockets[1 - sideOf(direction)]!
    let taken = 0
    for (const text of frames) if (to.send(Buffer.from(text, 'base64'))) taken++
    return taken
  }

  /** Waits at most `waitMs` for frames and moves what there is. */
  turn(waitMs: number): void {
    this.poller.wait(this.waiting.length > 0 ? 1 : waitMs)
    for (const side of [0, 1] as const) {
      if (!this.poller.readable(side)) continue
      // Several batches of one side at a time, but not for ever: the other side's acknowledgements wait.
      for (let i = 0; i < 4 && this.move(side) === FRAMES; i++);
    }
    if (this.waiting.length > 0) this.release()
  }

  private move(side: 0 | 1): number {
    const from = this.sockets[side]
    const n = from.receive()
    let pass = 0
    for (let i = 0; i < n; i++) {
      const at = i * from.room
      const length = from.length[i]!
      this.frame.parse(from.bytes, at, length)
      if (this.judgeOne(from, i, at, length, side)) this.slots[pass++] = i
    }
    if (this.options.forward && pass > 0)
      this.watching.counts.overrun += this.sockets[1 - side]!.sendFrom(from, this.slots, pass)
    return n
  }

  /** Returns whether the frame goes on at once. */
  private judgeOne(from: FrameSocket, i: number, at: number, length: number, side: 0 | 1): boolean {
    const { counts } = this.watching
    const verdict = this.judge?.judge(this.frame, length, DIRECTIONS[side]) ?? VERDICT.PASS
    if (
      verdict !== VERDICT.PASS &&
      (verdict & VERDICT.TAMPER) !== 0 &&
      tamper(from.bytes, this.frame, this.judge!.random())
    )
      counts.tampered++
    this.watching.see(from.bytes, at, length, this.frame, side, from.seconds[i]!, from.nanoseconds[i]!)
    if (verdict === VERDICT.PASS) return true
    if ((verdict & VERDICT.DROP) !== 0) {
      counts.lost++
      return false
    }
    const octets = from.bytes.subarray(at, at + length)
    if ((verdict & VERDICT.DUPLICATE) !== 0) {
      counts.duplicated++
      this.wait({ octets: Uint8Array.from(octets), side, dueMs: performance.now(), after: 0 })
    }
    if ((verdict & VERDICT.DELAY) !== 0) {
      counts.delayed++
      const dueMs = performance.now() + (this.judge?.delayMs ?? 0)
      this.wait({ octets: Uint8Array.from(octets), side, dueMs, after: Number.POSITIVE_INFINITY })
      return false
    }
    if ((verdict & VERDICT.HOLD) !== 0) {
      counts.reordered++
      const dueMs = performance.now() + HOLD_MS
      this.wait({ octets: Uint8Array.from(octets), side, dueMs, after: HOLD_FRAMES })
      return false
    }
    for (const held of this.waiting) if (held.side === side && held.after > 0) held.after--
    return true
  }

  private wait(frame: Waiting): void {
    if (this.waiting.length >= WAITING_MAX) this.watching.counts.overrun++
    else this.waiting.push(frame)
  }

  private release(): void {
    const now = performance.now()
    const later: Waiting[] = []
    for (const held of this.waiting) {
      if (held.dueMs > now && held.after > 0) later.push(held)
      else if (!this.sockets[1 - held.side]!.send(held.octets)) this.watching.counts.overrun++
    }
    this.waiting = later
  }

  private drops(): void {
    for (const socket of this.sockets) this.watching.counts.overrun += socket.dropped()
  }
}

const sideOf = (direction: Direction): 0 | 1 => (direction === 'a-to-b' ? 0 : 1)
