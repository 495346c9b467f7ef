import { utf8 } from '../../../src/bytes/octets.js'
import { WireError } from '../../../src/errors.js'
import type { DynamicPsk, IkePeerConfig } from '../../../src/ike/config.js'
import { identityOf, signingKey } from '../../../src/ike/host-identity.js'
import { IKE_LIMITS } from '../../../src/ike/limits.js'
import { parseChildProposal, parseIkeProposal } from '../../../src/ike/proposals.js'
import type { SaSpec } from '../../../src/sadb/sa-spec.js'
import { EXCHANGE } from '../../../src/wire/ike/header.js'
import { compareIp } from '../../../src/wire/ip-address.js'
import {
  childConfig,
  convergence,
  type IkeEnd,
  type IkeEnds,
  selector,
  twoIkes,
} from '../../exchange/ike-ends.js'
import { A, B, twoEnds } from '../../exchange/prephase-ends.js'
import type { Datagram, Fate, VirtualEnvironment, VirtualNode } from '../../exchange/virtual-network.js'
import { InsiderV1 } from '../insider-v1.js'
import { InsiderV2 } from '../insider-v2.js'
import { messageTree } from '../mutate/isakmp.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree } from '../mutate/tree.js'
import type { Random } from '../random.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'

// Whole exchanges between two ends on the virtual network, disturbed for a while. Whatever happened, nothing has thrown,
// what is kept is bounded, and afterwards the two find each other again. Keys are random, so these cases cannot be
// compared octet for octet with a second run.

const HOSTILE_MS = 20_000
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

/** A message as somebody sends it who saw others. */
function forged(random: Random, message: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  if (message.length < 28 || random.oneIn(3)) return mutateOctets(random, message, others)
  const encrypted = (message[19]! & 1) !== 0
  if (encrypted || random.oneIn(6)) {
    // Header fields: cookies, chain, version, exchange, flags, message ID, length.
    const out = message.slice()
    const at = random.below(28)
    out[at] = random.edge(8, out[at])
    return out
  }
  return emitNode(mutateTree(random, messageTree(message), { others: [], lies: random.oneIn(2) }))
}

/** Loses, doubles and delays what is sent, and adds what was not. */
function disturbance(random: Random, trace: Trace, inject: (d: Datagram, message: Uint8Array) => void) {
  const sent: Uint8Array[] = []
  return (d: Datagram): Fate => {
    if (sent.length < 64) sent.push(d.message)
    for (let n = random.below(4); n > 0; n--) {
      const message = forged(random, random.oneIn(2) ? d.message : random.pick(sent), sent)
      trace.input(message)
      inject(d, message)
    }
    trace.input(d.message)
    switch (random.below(8)) {
      case 0:
        return []
      case 1:
        return [5, random.below(3_000)]
      case 2:
        return [random.below(3_000)]
      default:
        return [5]
    }
  }
}

function noFaults(env: VirtualEnvironment): void {
  for (const [counter, n] of env.counters)
    if (counter.endsWith('internal'))
      must(false, `${counter}: ${n}; ${JSON.stringify(env.lines.filter((l) => l.message.includes('fault')))}`)
}

function bounded(end: IkeEnd): void {
  const { peer, env } = end
  const sas = peer.ikeSas.length
  must(sas <= IKE_LIMITS.halfOpenPerPeer + IKE_LIMITS.ikeSasPerPeer, `${sas} IKE SAs`)
  must(env.sas.size <= 2 * 2 * IKE_LIMITS.childSasPerPolicy, `${env.sas.size} SAs`)
  noFaults(env)
}

function settings(random: Random, version: 1 | 2): Partial<IkePeerConfig> {
  const group = random.oneIn(8) ? 'ecp256' : 'x25519'
  const second = version === 2 && random.oneIn(4) ? '-ke1_mlkem768' : ''
  const pfs = random.oneIn(3) ? `-x25519${random.oneIn(2) ? second : ''}` : ''
  const ppk = { id: utf8('pair'), key: new Uint8Array(32).fill(5), required: random.oneIn(2) }
  const dynamicPsk = random.pick(SCHEMES)
  return {
    version,
    dynamicPsk,
    encapsulation: random.pick(['auto', 'udp', 'raw'] as const),
    fragmentSize: random.pick([0, 1_280, 300]),
    dpdDelaySeconds: 5,
    ...(version === 2 && random.oneIn(4) && { ppk }),
    ...(version === 2 && dynamicPsk !== 'classic' && random.oneIn(3) && { signatures: SIGNATURES }),
    proposals: [parseIkeProposal(`aes128-sha256-${group}${second}`)],
    children: [childConfig({ proposals: [parseChildProposal('esp', `aes128gcm16${pfs}`)] })],
  }
}

/** Both ends begin anew, and must come to one IKE SA and one CHILD_SA. */
function honest(ends: IkeEnds, trace: Trace): void {
  const { network, a, b } = ends
  trace.rest()
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

const disturbed = (version: 1 | 2): Target => ({
  name: `ikev${version}-exchange`,
  about: `pre-phase and IKEv${version} with messages lost, doubled, misordered, changed and forged`,
  weight: 2,
  prepare() {
    return {
      run(random, trace) {
        const ends = twoIkes({ seed: random.u32(), config: settings(random, version) })
        const { network, a, b } = ends
        network.impairment = disturbance(random, trace, (d, message) => {
          // To either end, and from its peer's address as often as not.
          const back = random.oneIn(8)
          const from = random.oneIn(8) ? { ...d.from, port: random.below(65_536) } : d.from
          network.inject(back ? d.to : from, back ? d.from : d.to, message, random.below(40))
        })
        a.ike.acquire(network.now, 1)
        if (random.oneIn(3)) b.ike.acquire(network.now, 1)
        network.runFor(HOSTILE_MS)
        trace.note(convergence(ends).length === 0 ? 'up all the same' : 'prevented')
        for (const e of [a, b]) {
          bounded(e)
          for (const sa of e.env.sas.values()) agreed(sa, e === a)
        }
        honest(ends, trace)
      },
    }
  },
})

export const IKE_V1_EXCHANGE = disturbed(1)
export const IKE_V2_EXCHANGE = disturbed(2)

/** An SA is what the configuration allows, whatever the peer asked for. */
function agreed(sa: SaSpec, isA: boolean): void {
  const a = selector('10.88.1.0/24')
  const b = selector('10.88.2.0/24')
  const within = (list: SaSpec['localTs'], by: typeof a): boolean =>
    list.length > 0 &&
    list.every(
      (s) =>
        s.start.length === by.start.length &&
        compareIp(s.start, by.start) >= 0 &&
        compareIp(s.end, by.end) <= 0 &&
        compareIp(s.start, s.end) <= 0,
    )
  must(within(sa.localTs, isA ? a : b), 'local selectors wider than the configuration')
  must(within(sa.remoteTs, isA ? b : a), 'remote selectors wider than the configuration')
  must(sa.encryption?.id === 20 && sa.encryption.key.length === 20, 'an algorithm that is not configured')
  must(sa.mode === 'tunnel' && sa.protocol === 'esp' && sa.policy === 1, 'an SA that is not configured')
  must(sa.spi >= 256 && sa.spi <= 0xffff_ffff, `SPI ${sa.spi}`)
  must(sa.direction === 'outbound' || sa.replayWindow > 0, 'no replay protection')
}

export const IKE_INSIDER: Target = {
  name: 'ikev1-insider',
  about: 'an end that has the keys: its messages are changed before they are encrypted, and authentic',
  weight: 2,
  prepare() {
    return {
      run(random, trace) {
        const ends = twoIkes({
          seed: random.u32(),
          config: {
            ...settings(random, 1),
            fragmentSize: 0,
            dynamicPsk: random.oneIn(4) ? 'hardened' : 'off',
          },
        })
        const { network, a, b } = ends
        const bad = random.oneIn(2) ? a : b
        const victim = bad === a ? b : a
        const insider = new InsiderV1(bad, random)
        const first = random.below(8)
        network.impairment = (d) => {
          const own = d.from.address.join() === (bad === a ? A : B).address.join()
          const change = own && d.index >= first && random.oneIn(3)
          const message = insider.pass(d.message, change)
          if (message === d.message) return [5]
          trace.input(message)
          network.inject(d.from, d.to, message, 5)
          return []
        }
        a.ike.acquire(network.now, 1)
        network.runFor(3_000)
        for (let n = random.below(24); n > 0; n--) {
          const message = insider.begin(random.oneIn(2) ? EXCHANGE.QUICK_MODE : EXCHANGE.INFORMATIONAL_V1)
          if (message === undefined) break
          trace.input(message)
          const [from, to] = bad === a ? [A, B] : [B, A]
          network.inject(from, to, message, random.below(200))
          if (random.oneIn(3)) network.runFor(random.below(500))
        }
        if (random.oneIn(4)) a.ike.initiate(network.now, 'b')
        network.runFor(6_000)
        for (const e of [a, b]) bounded(e)
        for (const sa of victim.env.sas.values()) agreed(sa, victim === a)
        trace.note(`${victim.env.sas.size / 2} CHILD_SAs`)
        honest(ends, trace)
      },
    }
  },
}

export const IKE_V2_INSIDER: Target = {
  name: 'ikev2-insider',
  about: 'an end that has the keys: its IKEv2 payloads are changed before they are sealed, and authentic',
  weight: 2,
  prepare() {
    return {
      run(random, trace) {
        const ends = twoIkes({
          seed: random.u32(),
          config: { ...settings(random, 2), dynamicPsk: random.oneIn(4) ? 'hardened' : 'off' },
        })
        const { network, a, b } = ends
        const insider = new InsiderV2(random, random.oneIn(2))
        const victim = insider.isInitiator ? b : a
        network.impairment = (d) => {
          if (insider.changed) {
            insider.changed = false
            trace.input(d.message)
          }
          return [5]
        }
        try {
          a.ike.acquire(network.now, 1)
          for (let n = 2 + random.below(14); n > 0; n--) {
            network.runFor(random.below(4_000))
            const policy = 1
            const spi = a.env.outbound()[0]?.spi ?? 1
            const event = random.below(4)
            if (event === 0) a.ike.initiate(network.now, 'b')
            else if (event === 1) b.ike.initiate(network.now, 'a')
            else if (event === 2)
              a.ike.expire(network.now, {
                direction: 'outbound',
                protocol: 'esp',
                spi,
                policy,
                limit: 'soft',
                cause: 'asked',
              })
            else if (random.oneIn(4)) a.ike.terminate(network.now, 'b')
          }
          network.runFor(6_000)
        } finally {
          insider.end()
        }
        for (const e of [a, b]) bounded(e)
        for (const sa of victim.env.sas.values()) agreed(sa, victim === a)
        trace.note(`${victim.env.sas.size / 2} CHILD_SAs`)
        honest(ends, trace)
      },
    }
  },
}

/** The pre-phase alone, which is cheaper. */
export const PREPHASE_EXCHANGE: Target = {
  name: 'prephase-exchange',
  about:
    'the pre-phase between two ends, both schemes, with messages lost, doubled, misordered, changed and forged',
  prepare() {
    return {
      run(random, trace) {
        const scheme = random.oneIn(4) ? 'classic' : 'hardened'
        const { network, a, b } = twoEnds(scheme, { seed: random.u32() })
        network.impairment = disturbance(random, trace, (d, message) => {
          network.inject(d.from, d.to, message, random.below(40))
        })
        network.attach(A.address, readable(a))
        network.attach(B.address, readable(b))
        a.prephase.start(network.now, 'b')
        if (random.oneIn(3)) b.prephase.start(network.now, 'a')
        network.runFor(10_000)
        for (const e of [a, b]) noFaults(e.env)
        for (const { result } of a.finished) {
          const other = b.finished.find((s) => same(s.result.initiatorCookie, result.initiatorCookie))
          if (other !== undefined && result.role === 'initiator')
            must(same(other.result.psk, result.psk), 'two ends, two keys')
          trace.outcome(other === undefined ? 'one end' : 'both ends')
        }
        trace.rest()
        network.impairment = () => [5]
        network.runFor(60_000)
        const before = a.results('initiator').length
        a.prephase.start(network.now, 'b')
        must(
          network.runUntil(() => a.results('initiator').length > before, 120_000),
          'no pre-phase afterwards',
        )
        for (const e of [a, b]) {
          noFaults(e.env)
          e.prephase.shutdown()
        }
      },
    }
  },
}

/** What does not even have a header never comes to the pre-phase. */
const readable = (end: VirtualNode): VirtualNode => ({
  receive(now, local, remote, message) {
    try {
      end.receive(now, local, remote, message)
    } catch (error) {
      if (!(error instanceof WireError) || !error.field.startsWith('header')) throw error
    }
  },
  tick: (now) => end.tick(now),
  nextDeadline: () => end.nextDeadline(),
})

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

export const exchanges: readonly Target[] = [
  IKE_V1_EXCHANGE,
  IKE_V2_EXCHANGE,
  IKE_INSIDER,
  IKE_V2_INSIDER,
  PREPHASE_EXCHANGE,
]
