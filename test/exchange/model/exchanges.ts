import { parseChildProposal, parseIkeProposal } from '../../../src/ike/proposals.js'
import { childConfig, selector } from '../ike-ends.js'
import { established, flow, type Pair, type PairOptions, pair } from './pair.js'
import { WISHES, type WishName } from './wishes.js'

// Every exchange of every version, each from a network that is quiet: what makes it happen, and how many messages it takes.

export interface Exchange {
  readonly name: string
  readonly version: 1 | 2
  /** Ends that are about to begin it. Data flows where there are SAs. */
  setUp(): Pair
  /** Begins it. Its first message is sent within the call or soon after. */
  begin(p: Pair): void
  /** Messages when nothing goes wrong, up to the last that belongs to it. */
  readonly messages: number
  /** The same, with any one of them lost, doubled or late, and hints about SPIs that are gone: no more than these until all is quiet. */
  readonly messagesMax: number
  /** There is an SA to send on all the time. */
  readonly gapless: boolean
  /** Policies with a CHILD_SA when it is over. */
  readonly policies: number
}

const SECOND = childConfig({
  name: 'storage',
  policy: 2,
  localTs: [selector('10.99.1.0/24')],
  remoteTs: [selector('10.99.2.0/24')],
})

const up = (config: PairOptions['config'], b?: PairOptions['b']): Pair =>
  established({ config: { dynamicPsk: 'off', ...config }, ...(b && { b }) })

const wish =
  (name: WishName) =>
  (p: Pair): void =>
    WISHES[name].run(p.a, p.network.now)

/** The second child has no SA yet. */
function withSecondChild(version: 1 | 2): Pair {
  const p = pair({ config: { version, dynamicPsk: 'off', children: [childConfig(), SECOND] } })
  p.a.ike.initiate(p.network.now, 'b', 'migration')
  p.network.runFor(2_500)
  flow(p, [1])
  p.network.runFor(20)
  return p
}

/** A's first packet. */
const begin = (p: Pair): void => p.traffic.a.send(p.policies)

const quiet = { gapless: true, policies: 1 } as const

/** The first contact, from the pre-phase to the first CHILD_SA. */
const first = (version: 1 | 2, dynamicPsk: 'off' | 'classic' | 'hardened', messages: number): Exchange => ({
  name: `IKEv${version}: first contact, dynamic_psk: ${dynamicPsk}`,
  version,
  setUp: () => pair({ config: { version, dynamicPsk } }),
  begin,
  ...{ messages, messagesMax: messages + (version === 1 ? 5 : 2), gapless: false, policies: 1 },
})

const esp = (text: string) => childConfig({ proposals: [parseChildProposal('esp', text)] })
const HYBRID = [parseIkeProposal('aes128gcm16-prfsha256-x25519-ke1_mlkem768')]
const GROUPS = ['aes128-sha256-x25519', 'aes128-sha256-ecp256'].map(parseIkeProposal)

export const EXCHANGES: readonly Exchange[] = [
  first(1, 'off', 9),
  first(1, 'classic', 13),
  first(1, 'hardened', 13),
  {
    ...{ name: 'IKEv1: Quick Mode for another child', version: 1, ...quiet, policies: 2 },
    setUp: () => withSecondChild(1),
    begin: (p) => p.a.ike.initiate(p.network.now, 'b', 'storage'),
    ...{ messages: 3, messagesMax: 8 },
  },
  {
    ...{ name: 'IKEv1: Quick Mode that renews, with PFS', version: 1, ...quiet },
    setUp: () => up({ version: 1, children: [esp('aes128gcm16-x25519')] }),
    begin: wish('renews the child'),
    // The old one's Delete last.
    ...{ messages: 4, messagesMax: 9 },
  },
  {
    ...{ name: 'IKEv1: Main Mode that renews', version: 1, ...quiet },
    setUp: () => up({ version: 1 }),
    begin: wish('renews the IKE SA'),
    ...{ messages: 7, messagesMax: 9 },
  },
  {
    ...{ name: 'IKEv1: Informational that deletes a child', version: 1, gapless: false, policies: 1 },
    setUp: () => up({ version: 1 }),
    begin: wish('ends the child'),
    // Three Deletes, and the Quick Mode that traffic asks for; while packets wait, message 1 goes out of turn.
    ...{ messages: 6, messagesMax: 14 },
  },
  {
    ...{ name: 'IKEv1: Informational that deletes the IKE SA', version: 1, gapless: false, policies: 1 },
    setUp: () => up({ version: 1 }),
    begin: wish('ends everything'),
    // Two Deletes, which nobody says again once the peer has said INITIAL_CONTACT.
    ...{ messages: 11, messagesMax: 21 },
  },
  {
    ...{ name: 'IKEv1: Informational that asks for life', version: 1, ...quiet, gapless: false },
    setUp: () => silent(1),
    begin: () => {},
    ...{ messages: 2, messagesMax: 4 },
  },
  first(2, 'off', 4),
  first(2, 'classic', 8),
  first(2, 'hardened', 8),
  {
    ...{ name: 'IKEv2: IKE_SA_INIT with another group', version: 2, gapless: false, policies: 1 },
    setUp: () =>
      pair({
        config: { version: 2, dynamicPsk: 'off', proposals: GROUPS },
        b: { proposals: GROUPS.slice(1) },
      }),
    begin,
    ...{ messages: 6, messagesMax: 8 },
  },
  {
    ...{ name: 'IKEv2: CREATE_CHILD_SA, another child', version: 2, ...quiet, policies: 2 },
    setUp: () => withSecondChild(2),
    begin: (p) => p.a.ike.initiate(p.network.now, 'b', 'storage'),
    ...{ messages: 2, messagesMax: 4 },
  },
  {
    ...{ name: 'IKEv2: CREATE_CHILD_SA, renewed child, with PFS', version: 2, ...quiet },
    setUp: () => up({ version: 2, children: [esp('aes128gcm16-x25519')] }),
    begin: wish('renews the child'),
    ...{ messages: 4, messagesMax: 6 },
  },
  {
    ...{ name: 'IKEv2: CREATE_CHILD_SA, renewed IKE SA', version: 2, ...quiet },
    setUp: () => up({ version: 2 }),
    begin: wish('renews the IKE SA'),
    ...{ messages: 4, messagesMax: 18 },
  },
  {
    ...{ name: 'IKEv2: IKE_INTERMEDIATE', version: 2, gapless: false, policies: 1 },
    setUp: () => pair({ config: { version: 2, dynamicPsk: 'off', proposals: HYBRID } }),
    begin,
    // The encapsulation key takes two fragments.
    ...{ messages: 7, messagesMax: 10 },
  },
  {
    ...{ name: 'IKEv2: IKE_FOLLOWUP_KE, renewed child', version: 2, ...quiet },
    setUp: () => up({ version: 2, children: [esp('aes128gcm16-x25519-ke1_mlkem768')] }),
    begin: wish('renews the child'),
    ...{ messages: 7, messagesMax: 10 },
  },
  {
    ...{ name: 'IKEv2: IKE_FOLLOWUP_KE, renewed IKE SA', version: 2, ...quiet },
    setUp: () => up({ version: 2, proposals: HYBRID }),
    begin: wish('renews the IKE SA'),
    ...{ messages: 7, messagesMax: 22 },
  },
  {
    ...{ name: 'IKEv2: INFORMATIONAL, a child deleted', version: 2, gapless: false, policies: 1 },
    setUp: () => up({ version: 2 }),
    begin: wish('ends the child'),
    // Both ends have traffic and ask at once: two CHILD_SAs, of which one is deleted again.
    ...{ messages: 8, messagesMax: 17 },
  },
  {
    ...{ name: 'IKEv2: INFORMATIONAL, the IKE SA deleted', version: 2, gapless: false, policies: 1 },
    setUp: () => up({ version: 2 }),
    begin: wish('ends everything'),
    ...{ messages: 6, messagesMax: 20 },
  },
  {
    ...{ name: 'IKEv2: INFORMATIONAL, alive?', version: 2, ...quiet, gapless: false },
    setUp: () => silent(2),
    begin: () => {},
    ...{ messages: 2, messagesMax: 4 },
  },
]

/** An end that has heard nothing for a while is about to ask. */
function silent(version: 1 | 2): Pair {
  const p = pair({ config: { version, dynamicPsk: 'off', dpdDelaySeconds: 200 }, b: { dpdDelaySeconds: 0 } })
  p.a.ike.initiate(p.network.now, 'b')
  p.network.runFor(199_000)
  return p
}
