import type { ChildConfig } from '../../../src/ike/config.js'
import type { Established } from '../../../src/ike/v2/established.js'
import type { OwnEvent } from '../../../src/ike/v2/own-states.js'
import type { IkeEnd } from '../ike-ends.js'

// What an end may want of SAs that are there, and what a peer does that does not keep to the rules.

export interface Wish {
  /** Something is ended on purpose: there may be nothing to send on for a while. */
  readonly ends?: true
  /** Whether it can be done now; at any time unless told. */
  ready?(e: IkeEnd): boolean
  run(e: IkeEnd, now: number): void
}

/** As the data path says it. */
function expire(e: IkeEnd, now: number, limit: 'soft' | 'hard'): void {
  const child = e.current()[0]
  if (child === undefined) return
  const sa = { direction: 'outbound', protocol: 'esp', spi: child.outboundSpi, policy: child.policy } as const
  e.ike.expire(now, { ...sa, limit, cause: 'asked' })
}

const renewChild = (e: IkeEnd, now: number): void => expire(e, now, 'soft')
const renewIke = (e: IkeEnd, now: number): void => void e.ike.rekey(now, e.peer.peer)

export const WISHES = {
  'makes contact': { run: (e, now) => e.ike.initiate(now, e.peer.peer) },
  'renews the child': { run: renewChild },
  'renews the IKE SA': { run: renewIke },
  'renews both': {
    run: (e, now) => {
      renewChild(e, now)
      renewIke(e, now)
    },
  },
  'ends the child': { ends: true, run: (e, now) => expire(e, now, 'hard') },
  'ends everything': { ends: true, run: (e, now) => e.ike.terminate(now, e.peer.peer) },

  // A peer that renews the same SA twice, before it lets the old one go.
  'v2: renews the child and keeps the old': {
    ready: (e) => upOf(e).own.kind === 'IDLE',
    run: inside((e, now) => {
      const up = upOf(e)
      const old = up.children[0]
      if (old === undefined) return
      // Its Delete is held back.
      old.closing = true
      up.ownEvent(now, { kind: 'CREATE', child: old.agreed.child, old })
    }),
  },
  'v2: lets the old go': {
    ready: (e) => upOf(e).own.kind === 'IDLE',
    run: inside((e, now) => {
      const up = upOf(e)
      const old = up.children[0]
      if (old === undefined) return
      old.closing = false
      up.sendDelete(now, 'esp', [old.agreed.inboundSpi])
    }),
  },
  'v2: renews the IKE SA twice': { run: inside(renewIkeTwice) },
  'v1: renews the child twice': {
    run: inside((e, now) => {
      const sa = saOf(e)
      for (let i = 0; i < 2; i++) {
        const exchange = { messageId: sa.phase2.newMessageId(now), state: { kind: 'IDLE' } }
        sa.phase2.exchanges.set(exchange.messageId, exchange)
        sa.phase2.quickMode(now, exchange, { kind: 'BEGIN', child: peerOf(e).config.children[0]! })
      }
    }),
  },
  'v1: renews the IKE SA twice': {
    run: (e, now) => {
      renewIke(e, now)
      peerOf(e).attempt = undefined
      renewIke(e, now)
    },
  },
} satisfies Record<string, Wish>

export type WishName = keyof typeof WISHES

/** The parts that a well-behaved end does not show. */
interface PeerInside {
  readonly config: { readonly children: readonly ChildConfig[] }
  attempt: unknown
}
interface SaInside {
  readonly stage: string
  readonly up: UpInside
  readonly phase2: {
    readonly exchanges: Map<number, unknown>
    newMessageId(now: number): number
    quickMode(now: number, exchange: unknown, event: unknown): void
  }
}
type UpInside = Pick<Established, 'own' | 'children' | 'ownEvent' | 'sendDelete'> & {
  rekeyed(...args: readonly unknown[]): void
}

const insideOf = (e: IkeEnd) =>
  e.ike as unknown as {
    peers: Map<string, PeerInside>
    sas: Map<string, { sa: SaInside }>
    with(peer: PeerInside, run: () => void): void
  }

const peerOf = (e: IkeEnd): PeerInside => [...insideOf(e).peers.values()][0]!
const saOf = (e: IkeEnd): SaInside =>
  [...insideOf(e).sas.values()].map((v) => v.sa).findLast((sa) => sa.stage === 'ESTABLISHED')!
const upOf = (e: IkeEnd): UpInside => saOf(e).up

/** What is done behind the manager's back: it looks at the peer's deadlines afterwards. */
function inside(run: (e: IkeEnd, now: number) => void): (e: IkeEnd, now: number) => void {
  return (e, now) => insideOf(e).with(peerOf(e), () => run(e, now))
}

/** What the first response gives is put aside until the second has come. */
function renewIkeTwice(e: IkeEnd, now: number): void {
  const up = upOf(e)
  const { ownEvent, rekeyed } = up
  let first: readonly unknown[] | undefined
  up.rekeyed = (...args) => {
    if (first !== undefined) return
    first = args
  }
  up.ownEvent = (at: number, event: OwnEvent) => {
    const second = first !== undefined
    ownEvent.call(up, at, event)
    if (event.kind !== 'RESPONSE') return
    if (!second && first !== undefined) return ownEvent.call(up, at, { kind: 'REKEY' })
    Object.assign(up, { ownEvent, rekeyed })
    if (first !== undefined) rekeyed.apply(up, [at, ...first.slice(1)])
  }
  ownEvent.call(up, now, { kind: 'REKEY' })
}
