import { utf8 } from '../../src/bytes/octets.js'
import type { DynamicPsk, IkePeerConfig } from '../../src/ike/config.js'
import { identityOf, signingKey } from '../../src/ike/host-identity.js'
import type { IkeOptions } from '../../src/ike/ike.js'
import { IKE_LIMITS } from '../../src/ike/limits.js'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import type { SaProtocol, SaSpec } from '../../src/sadb/sa-spec.js'
import { compareIp } from '../../src/wire/ip-address.js'
import {
  childConfig,
  convergence,
  IkeEnd,
  type IkeEnds,
  ikePeer,
  mirroredPeer,
  selector,
  twoIkes,
} from '../exchange/ike-ends.js'
import { ip } from '../exchange/prephase-ends.js'
import { BehindVirtualNat, VirtualNat } from '../exchange/virtual-nat.js'
import { VirtualNetwork } from '../exchange/virtual-network.js'
import type { Random } from './random.js'
import { must, type Trace } from './trace.js'

// Two ends of whole exchanges, in any surroundings that a configuration may give them, and what has to hold whatever was
// done to them.

/** The longest that honest ends may need afterwards: half-open exchanges and dead peers end by time. */
const RECOVERY_MS = 300_000
const SCHEMES: readonly DynamicPsk[] = ['off', 'classic', 'hardened']

/** One key for both ends, as both have one configuration. */
const IDENTITY = identityOf(new Uint8Array(32).fill(9))
const SIGNATURES = {
  sign: IDENTITY.sign,
  own: signingKey(IDENTITY.publicKey),
  peer: signingKey(IDENTITY.publicKey),
}

export interface World extends IkeEnds {
  readonly protocol: SaProtocol
}

/** Two ends that have said nothing yet. @param over what the target needs to be so */
export function worldOf(random: Random, version: 1 | 2, over: Partial<IkePeerConfig> = {}): World {
  const behindNat = random.oneIn(4)
  const protocol = !behindNat && random.oneIn(5) ? 'ah' : 'esp'
  const config = { ...settings(random, version, protocol), ...over }
  const options: IkeOptions = {
    preferUdp: random.oneIn(3),
    // Every first message needs a cookie.
    ...(version === 2 && random.oneIn(4) && { limits: { cookieAbove: 0 } }),
  }
  const seed = random.u32()
  if (behindNat) return { ...aBehindNat(config, options, seed), protocol }
  const v6 = random.oneIn(4) && { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }
  return { ...twoIkes({ seed, config: { ...config, ...v6 }, options }), protocol }
}

/** B knows A by the NAT's address. */
function aBehindNat(over: Partial<IkePeerConfig>, options: IkeOptions, seed: number): IkeEnds {
  const network = new VirtualNetwork()
  const config = ikePeer({ ...over, local: ip('10.0.0.5') })
  const nat = new VirtualNat(network, config.local, ip('198.51.100.7'))
  const a = new IkeEnd(network, [config], '', options, new BehindVirtualNat(nat, `a ${seed}`))
  nat.host = a
  const b = new IkeEnd(network, [{ ...mirroredPeer(config), remote: nat.outside }], `b ${seed}`, options)
  return { network, a, b }
}

function settings(random: Random, version: 1 | 2, protocol: SaProtocol): Partial<IkePeerConfig> {
  const group = random.oneIn(8) ? 'ecp256' : 'x25519'
  const second = version === 2 && random.oneIn(4) ? '-ke1_mlkem768' : ''
  const pfs = random.oneIn(3) ? `-x25519${random.oneIn(2) ? second : ''}` : ''
  const ppk = { id: utf8('pair'), key: new Uint8Array(32).fill(5), required: random.oneIn(2) }
  const dynamicPsk = random.pick(SCHEMES)
  const suite = protocol === 'ah' ? 'sha256' : 'aes128gcm16'
  return {
    version,
    dynamicPsk,
    encapsulation: random.pick(['auto', 'udp', 'raw'] as const),
    fragmentSize: random.pick([0, 1_280, 300]),
    dpdDelaySeconds: 5,
    ...(version === 2 && random.oneIn(4) && { ppk }),
    ...(version === 2 && dynamicPsk !== 'classic' && random.oneIn(3) && { signatures: SIGNATURES }),
    proposals: [parseIkeProposal(`aes128-sha256-${group}${second}`)],
    children: [childConfig({ protocol, proposals: [parseChildProposal(protocol, `${suite}${pfs}`)] })],
  }
}

/** Something that an operator, the traffic or a lifetime brings about. */
export function event(random: Random, { network, a, b }: IkeEnds, trace: Trace): void {
  const [end, peer] = random.oneIn(2) ? ([a, 'b'] as const) : ([b, 'a'] as const)
  const { now } = network
  switch (random.below(8)) {
    case 0:
      return end.ike.initiate(now, peer)
    case 1:
      return end.ike.acquire(now, 1)
    case 2:
    case 3:
      trace.note(end.ike.rekey(now, peer) ? 'IKE SA to be renewed' : 'no IKE SA to renew')
      return
    case 4:
    case 5:
    case 6: {
      const sas = [...end.env.sas.values()]
      if (sas.length === 0) return
      const { direction, protocol, spi, policy } = random.pick(sas)
      const limit = random.oneIn(4) ? 'hard' : 'soft'
      return end.ike.expire(now, { direction, protocol, spi, policy, limit, cause: 'asked' })
    }
    default:
      if (random.oneIn(4)) end.ike.terminate(now, peer)
  }
}

export function noFaults(
  env: IkeEnd['env'] | { counters: Map<string, number>; lines: { message: string }[] },
) {
  for (const [counter, n] of env.counters)
    if (counter.endsWith('internal'))
      must(false, `${counter}: ${n}; ${JSON.stringify(env.lines.filter((l) => l.message.includes('fault')))}`)
}

/** What an end keeps. */
export function bounded(end: IkeEnd): void {
  const { peer, env } = end
  const sas = peer.ikeSas.length
  must(sas <= IKE_LIMITS.halfOpenPerPeer + IKE_LIMITS.ikeSasPerPeer, `${sas} IKE SAs`)
  must(env.sas.size <= 2 * 2 * IKE_LIMITS.childSasPerPolicy, `${env.sas.size} SAs`)
  noFaults(env)
}

/** An end's SAs are what the configuration allows, whatever the peer asked for. */
export function agreed({ a, protocol }: World, end: IkeEnd): void {
  for (const sa of end.env.sas.values()) agreedSa(sa, end === a, protocol)
}

const A_TS = selector('10.88.1.0/24')
const B_TS = selector('10.88.2.0/24')

function agreedSa(sa: SaSpec, isA: boolean, protocol: SaProtocol): void {
  const within = (list: SaSpec['localTs'], by: typeof A_TS): boolean =>
    list.length > 0 &&
    list.every(
      (s) =>
        s.start.length === by.start.length &&
        compareIp(s.start, by.start) >= 0 &&
        compareIp(s.end, by.end) <= 0 &&
        compareIp(s.start, s.end) <= 0,
    )
  must(within(sa.localTs, isA ? A_TS : B_TS), 'local selectors wider than the configuration')
  must(within(sa.remoteTs, isA ? B_TS : A_TS), 'remote selectors wider than the configuration')
  const configured =
    protocol === 'esp'
      ? sa.encryption?.id === 20 && sa.encryption.key.length === 20
      : sa.encryption === undefined && sa.integrity?.key.length === 32
  must(configured, 'an algorithm that is not configured')
  must(sa.mode === 'tunnel' && sa.protocol === protocol && sa.policy === 1, 'an SA that is not configured')
  must(sa.spi >= 256 && sa.spi <= 0xffff_ffff, `SPI ${sa.spi}`)
  must(sa.direction === 'outbound' || sa.replayWindow > 0, 'no replay protection')
}

/** Both ends begin anew, and must come to one IKE SA and one CHILD_SA. */
export function recovers(ends: IkeEnds, trace: Trace): void {
  const { network, a, b } = ends
  trace.rest()
  for (const exchange of new Set(network.sent.map((d) => d.message[18]))) trace.note(`exchange ${exchange}`)
  network.impairment = () => [5]
  network.runFor(4_000)
  a.ike.terminate(network.now, 'b')
  b.ike.terminate(network.now, 'a')
  network.runFor(1_000)
  a.ike.initiate(network.now, 'b')
  const good = network.runUntil(() => convergence(ends).length === 0, RECOVERY_MS)
  must(good, `no way back: ${convergence(ends).join(', ')}; ${a.peer.lastError?.message}`)
  bounded(a)
  bounded(b)
  a.ike.shutdown(network.now)
  b.ike.shutdown(network.now)
  trace.note('found each other again')
}
