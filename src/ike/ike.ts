import { isZero, wipe } from '../bytes/octets.js'
import { ConfigError, InternalError, WireError } from '../errors.js'
import type { SaExpiry, SaKey, SaProtocol } from '../sadb/sa-spec.js'
import { EXCHANGE, type IkeHeader, parseIkeHeader } from '../wire/ike/header.js'
import { spiNumber } from '../wire/ike/v1/notify.js'
import { PAYLOAD } from '../wire/ike/v2/numbers.js'
import { formatIp, sameIp } from '../wire/ip-address.js'
import type { Unreachable } from '../wire/unreachable.js'
import type { ChildConfig, IkePeerConfig } from './config.js'
import { Deadlines } from './deadlines.js'
import type { Endpoint, IkeEnvironment, Millis } from './environment.js'
import { keysOf, plainKeys } from './first-keys.js'
import type { FirstKeys, IkeVersion } from './ike-sa.js'
import { IkeSaIndex } from './ike-sa-index.js'
import { IKE_LIMITS, type IkeLimits } from './limits.js'
import type { Path } from './path.js'
import { Peer, type PeerShared } from './peer.js'
import type { PrephaseLimits } from './prephase/limits.js'
import { Prephase } from './prephase/prephase.js'
import { TokenBucket } from './prephase/token-bucket.js'
import { RefusalLog } from './refusal-log.js'
import { hintedSpi, isSpiHint, spiHint } from './spi-hint.js'
import type { IkePeerStatus } from './status.js'
import { IKE_V1 } from './v1/ike-sa-v1.js'
import { SPI_MIN } from './v1/phase2-offer.js'
import { Cookies } from './v2/cookies.js'
import { higherVersion } from './v2/higher-version.js'
import { IKE_V2 } from './v2/ike-sa-v2.js'

export interface IkeOptions {
  readonly limits?: Partial<IkeLimits>
  readonly prephaseLimits?: Partial<PrephaseLimits>
  /**
   * The data path is faster with ESP in UDP: with `encapsulation: auto` it is used even without a NAT, if the peer says
   * the same.
   */
  readonly preferUdp?: boolean
  /** Inbound SPIs that are taken by others: manual SAs. */
  readonly spiInUse?: (spi: number) => boolean
}

/** The versions that this release speaks. */
const VERSIONS: Readonly<Partial<Record<number, IkeVersion>>> = { 1: IKE_V1, 2: IKE_V2 }

/** The peers at one address; at least one. */
interface Source {
  readonly peers: Peer[]
  /** What belongs to something that we know. */
  readonly messages: TokenBucket
  readonly strangers: TokenBucket
  /** First messages that say they have a cookie. */
  readonly returned: TokenBucket
  readonly firsts: TokenBucket
  /** First messages with a cookie, which nobody else can have sent. */
  readonly proven: TokenBucket
  /** What we say about SPIs that we do not know. */
  readonly hints: TokenBucket
}

/**
 * IKE and the pre-phase of all peers. It does no I/O and reads no clock: `now` is monotonic milliseconds and never goes
 * back, effects go through the environment. No entry point throws for anything that a peer sends.
 */
export class Ike {
  private readonly env: IkeEnvironment
  private readonly limits: IkeLimits
  private readonly options: IkeOptions
  private readonly prephase: Prephase
  private readonly refusals: RefusalLog
  private readonly peers = new Map<string, Peer>()
  private readonly byPolicy = new Map<number, { peer: Peer; child: ChildConfig }>()
  /** Messages from addresses that are nobody's. */
  private readonly elsewhere: TokenBucket
  private readonly sources = new Map<string, Source>()
  private readonly deadlines = new Deadlines<Peer>()
  private readonly allFirsts: TokenBucket
  private readonly sas = new IkeSaIndex()
  /** The latest time that anybody has told us. */
  private now: Millis = 0
  private down = false

  /**
   * @param peers keys stay the configuration's, and must outlive this object
   * @throws ConfigError for peers that cannot be told apart, a version that is not there, or a key of no use
   */
  constructor(peers: readonly IkePeerConfig[], env: IkeEnvironment, options: IkeOptions = {}) {
    this.env = env
    this.options = options
    this.limits = { ...IKE_LIMITS, ...options.limits }
    this.elsewhere = new TokenBucket(this.limits.elsewherePerSecond, this.limits.elsewhereBurst)
    this.refusals = new RefusalLog(env, this.limits.logEveryMs)
    this.allFirsts = new TokenBucket(this.limits.allFirstsPerSecond, this.limits.allFirstsBurst)
    const listener = {
      finished: (now: Millis, result: Parameters<Peer['prephaseFinished']>[1]) => {
        const peer = this.peers.get(result.peer)
        if (result.role === 'initiator' && peer !== undefined)
          this.with(peer, () => peer.prephaseFinished(now, result))
      },
      failed: (now: Millis, name: string, reason: string) => {
        const peer = this.peers.get(name)
        if (peer !== undefined) this.with(peer, () => peer.prephaseFailed(now, reason))
      },
    }
    this.prephase = new Prephase(peers, env, listener, options.prephaseLimits)
    const shared: PeerShared = {
      env,
      limits: this.limits,
      prephase: this.prephase,
      refusals: this.refusals,
      prefersUdp: options.preferUdp ?? false,
      cookies: new Cookies((length) => env.random(length)),
      newIkeSpi: () => this.newIkeSpi(),
      newSpi: (child) => this.newSpi(child),
      proved: (peer) => this.proved(peer),
      tellUnknown: (now, { config }, path, answer) => {
        const source = this.sources.get(formatIp(config.remote))
        if (source !== undefined) this.answerUnknown(now, path, answer, source)
      },
      register: (peer, sa) => this.sas.add(peer, sa),
      unregister: (peer, sa) => this.sas.remove(peer, sa),
    }
    for (const config of peers) this.addPeer(config, shared)
  }

  private addPeer(config: IkePeerConfig, shared: PeerShared): void {
    const version = VERSIONS[config.version]
    if (version === undefined)
      throw new ConfigError(`peer ${config.name}: IKEv${config.version} is not available in this release`)
    const peer = new Peer(config, version, shared)
    this.peers.set(config.name, peer)
    this.deadlines.set(peer, peer.nextDeadline())
    for (const child of config.children) this.byPolicy.set(child.policy, { peer, child })
    const address = formatIp(config.remote)
    const source = this.sources.get(address) ?? {
      peers: [],
      messages: new TokenBucket(this.limits.messagesPerSecond, this.limits.messagesBurst),
      strangers: new TokenBucket(this.limits.strangersPerSecond, this.limits.strangersBurst),
      returned: new TokenBucket(this.limits.strangersPerSecond, this.limits.strangersBurst),
      firsts: new TokenBucket(this.limits.firstMessagesPerSecond, this.limits.firstMessagesBurst),
      proven: new TokenBucket(this.limits.firstMessagesPerSecond, this.limits.firstMessagesBurst),
      hints: new TokenBucket(this.limits.hintsPerSecond, this.limits.hintsBurst),
    }
    const twin = source.peers.find(
      ({ config: c }) =>
        c.dynamicPsk === 'off' && config.dynamicPsk === 'off' && sameIp(c.local, config.local),
    )
    if (twin !== undefined)
      throw new ConfigError(
        `peers ${twin.config.name} and ${config.name} have the same addresses: with dynamic_psk: off they cannot be told apart`,
      )
    source.peers.push(peer)
    this.sources.set(address, source)
  }

  /**
   * Handles an IKE or pre-phase message. Never throws.
   * @param local where it arrived @param remote where it came from
   * @param message without the non-ESP marker; not kept
   */
  receive(now: Millis, local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    this.now = now
    if (this.down) return
    try {
      this.dispatch(now, { local, remote }, message)
    } catch (error) {
      if (error instanceof WireError)
        this.refusals.refuse(now, 'malformed', undefined, undefined, {
          field: error.field,
          why: error.message,
        })
      else this.refusals.refuse(now, 'internal', undefined, `internal fault: ${String(error)}`)
    }
  }

  private dispatch(now: Millis, path: Path, message: Uint8Array): void {
    const header = parseIkeHeader(message)
    if (header.exchange === EXCHANGE.PREPHASE)
      return this.prephase.receive(now, path.local, path.remote, header, message)
    const from = formatIp(path.remote.address)
    const source = this.sources.get(from)
    if (source === undefined) return this.fromElsewhere(now, path, header, message, from)
    const major = header.version >>> 4
    const found = this.sas.with(header.initiatorSpi, path.remote.address)
    const known = found !== undefined || this.prephase.peek(now, header.initiatorSpi) !== undefined
    const bucket = known ? source.messages : hasCookie(header) ? source.returned : source.strangers
    if (!bucket.take(now)) return this.refusals.refuse(now, 'rate-limit', source.peers[0]!.config.name)
    if (found !== undefined) {
      if (found.sa.version !== major) return found.peer.refuse(now, 'version')
      return this.with(found.peer, () => found.sa.receive(now, path, header, message))
    }
    // A hint is about no IKE SA, and may have any SPI.
    if (isSpiHint(header)) return this.hinted(now, path, header, message, source)
    if (isZero(header.initiatorSpi)) throw new WireError('header.initiatorSpi', 0, 'is zero')
    this.first(now, path, header, message, source, major)
  }

  /**
   * A message from an address that is nobody's: a NAT may have given a peer behind it another one. Whether it has, the IKE SA
   * finds out, as with any message. The peer is there for good, at the rate that it has anywhere: it does not share that of
   * strangers.
   */
  private fromElsewhere(now: Millis, path: Path, header: IkeHeader, message: Uint8Array, from: string): void {
    const found = this.sas.moved(header.initiatorSpi, header.version >>> 4)
    if (found === undefined) {
      if (!this.elsewhere.take(now)) return this.refusals.refuse(now, 'rate-limit', undefined)
      return this.refusals.refuse(now, 'unknown-peer', undefined, undefined, { from })
    }
    const { peer, sa } = found
    if (this.sourceOf(peer)?.messages.take(now) === false) return peer.refuse(now, 'rate-limit')
    this.with(peer, () => sa.receive(now, path, header, message))
  }

  /** The newest packet of an inbound SA, an authentic one, came from elsewhere than the ones before. */
  packetFrom(now: Millis, key: SaKey, remote: Endpoint): void {
    this.now = now
    if (this.down) return
    for (const peer of this.peers.values())
      if (peer.children.mayMove(key.protocol, key.spi))
        return this.guard(now, peer, () => peer.packetFrom(now, remote))
  }

  /** A message under SPIs that we do not know: the beginning of an IKE SA, or nothing. */
  private first(
    now: Millis,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    source: Source,
    major: number,
  ): void {
    const here = source.peers.filter((p) => sameIp(p.config.local, path.local.address))
    const any = here[0] ?? source.peers[0]!
    if (major === 1 && header.exchange === EXCHANGE.AGGRESSIVE)
      return any.refuseStranger(
        now,
        'aggressive-mode',
        'the peer begins with Aggressive Mode, which is refused: it gives a hash of the pre-shared key to anybody who asks',
      )
    if (here.length === 0)
      return any.refuseStranger(
        now,
        'local-address',
        `the peer sends to ${formatIp(path.local.address)}, but it is configured for our address ${formatIp(any.config.local)}`,
      )
    const version = VERSIONS[major]
    if (version === undefined || !here.some((p) => p.config.version === major)) {
      const ours = any.config.version
      const answer = here.some((p) => p.config.version === 2) ? higherVersion(header) : undefined
      if (answer !== undefined && source.hints.take(now)) this.say(path, answer)
      return any.refuseStranger(
        now,
        'version',
        `the peer speaks IKEv${major}, but it is configured for IKEv${ours}`,
      )
    }
    if (!version.isFirstMessage(header)) {
      any.refuse(now, 'unknown-cookie')
      return this.tellUnknown(now, path, version.answerUnknown(header, this.env.crashSecret), header, source)
    }
    const finished = this.prephase.peek(now, header.initiatorSpi)
    const gated = here.find((p) => p.config.name === finished?.peer && p.config.version === major)
    if (gated !== undefined) {
      // The pre-phase has proved more than a cookie would.
      const admission = { busy: false, proven: () => true }
      const takeKeys = () => this.takeKeys(now, gated, header.initiatorSpi)
      return this.with(gated, () => gated.receiveFirst(now, path, header, message, takeKeys, admission))
    }
    const open = here.find((p) => p.config.dynamicPsk === 'off' && p.config.version === major)
    if (open === undefined)
      return any.refuseStranger(
        now,
        'no-prephase',
        'an IKE exchange without a finished pre-phase: has the peer dynamic_psk: off, or is this not the peer?',
      )
    const flooded = !source.firsts.take(now)
    if (flooded && major === 1) return open.refuse(now, 'first-rate-limit')
    const admission = {
      busy: flooded || open.halfOpen >= this.limits.cookieAbove || this.isBusy(now),
      proven: () => source.proven.take(now),
    }
    this.with(open, () =>
      open.receiveFirst(now, path, header, message, () => plainKeys(open.config), admission),
    )
  }

  /** Who has authenticated itself may begin again at once: the rates are for those who never do. */
  private proved(peer: Peer): void {
    const source = this.sourceOf(peer)
    for (const bucket of [source?.firsts, source?.proven, this.allFirsts]) bucket?.giveBack()
  }

  /** So many peers begin at once, or somebody in their names, that every one of them has to show a cookie. */
  private isBusy(now: Millis): boolean {
    if (!this.allFirsts.take(now)) return true
    let halfOpen = 0
    for (const peer of this.peers.values()) halfOpen += peer.halfOpen
    return halfOpen >= this.limits.cookieAboveTotal
  }

  /**
   * A message under SPIs that nobody knows: the peer may not know that we have started anew. Nothing is said about an IKE SA that
   * is there, with whomever: a token for it would be the means to end it.
   */
  private tellUnknown(
    now: Millis,
    path: Path,
    answer: Uint8Array | undefined,
    header: IkeHeader,
    source: Source,
  ): void {
    if (answer === undefined || this.sas.has(header.initiatorSpi)) return
    this.answerUnknown(now, path, answer, source)
  }

  private answerUnknown(now: Millis, path: Path, answer: Uint8Array, source: Source): void {
    if (!source.hints.take(now)) return
    this.env.count('ike.unknown-spi-answered')
    this.say(path, answer)
  }

  /** Somebody says, without proof, that the peer does not know an SA that we send on. */
  private hinted(now: Millis, path: Path, header: IkeHeader, message: Uint8Array, source: Source): void {
    const spi = hintedSpi(header, message)
    const meant = source.peers.find(
      (p) => sameIp(p.config.local, path.local.address) && spi !== undefined && p.children.hasOutbound(spi),
    )
    if (meant === undefined) return source.peers[0]!.refuse(now, 'hint-ignored')
    this.with(meant, () => meant.doubted(now))
  }

  /**
   * A packet came in on an SPI that the data path does not know. A peer with which there is no IKE SA is told, once in a while,
   * so that it asks whether we are alive; with IKEv1 one that is up is told as well, and believes it.
   * @param local where it came, port 4500 when it was in UDP, else IKE's own @param remote where it came from, likewise
   */
  unknownSpi(now: Millis, local: Endpoint, remote: Endpoint, protocol: SaProtocol, spi: number): void {
    this.now = now
    const source = this.sources.get(formatIp(remote.address))
    if (source === undefined || this.down) return
    const here = source.peers.filter((p) => sameIp(p.config.local, local.address))
    const [peer] = here
    if (peer === undefined || here.some((p) => p.children.hasInbound(spi))) return
    if (this.options.spiInUse?.(spi) === true) return
    const up = here.filter((p) => p.isUp)
    for (const p of up) this.guard(now, p, () => p.unknownSpi(now, protocol, spi))
    if (up.length > 0 || !source.hints.take(now)) return
    this.env.count('ike.spi-hint-sent')
    this.say({ local, remote }, spiHint(peer.config.version, this.env.random(8), protocol, spi))
  }

  /** A message of no exchange, which nobody repeats. */
  private say({ local, remote }: Path, message: Uint8Array): void {
    try {
      this.env.send(local, remote, message)
    } catch (error) {
      this.env.count('ike.send-failed')
      this.env.log('debug', 'ike: a message could not be sent', { error: String(error) })
    }
  }

  private takeKeys(now: Millis, peer: Peer, cookie: Uint8Array): FirstKeys | undefined {
    const result = this.prephase.take(now, cookie)
    if (result === undefined) return undefined
    peer.prephaseTaken()
    return keysOf(peer.config, result)
  }

  /** Does what is due. Call it at nextDeadline() or soon after. */
  tick(now: Millis): void {
    this.now = now
    if (this.down) return
    this.prephase.tick(now)
    for (const peer of this.deadlines.due(now)) this.guard(now, peer, () => peer.tick(now))
  }

  /** When tick wants to be called next, undefined for never; in the past before the first tick. */
  nextDeadline(): Millis | undefined {
    if (this.down) return undefined
    const [prephase, ike] = [this.prephase.nextDeadline(), this.deadlines.next()]
    return prephase !== undefined && ike !== undefined ? Math.min(prephase, ike) : (prephase ?? ike)
  }

  /** The data path has a packet for a policy without SA. Nothing happens when a negotiation is under way. */
  acquire(now: Millis, policy: number): void {
    this.now = now
    const found = this.byPolicy.get(policy)
    if (found === undefined || this.down) return
    this.guard(now, found.peer, () => found.peer.want(now, found.child, false))
  }

  /** ICMP says that a peer cannot be reached: a word for the operator, as anybody can send that. */
  unreachable(now: Millis, what: Unreachable): void {
    this.now = now
    const source = this.down ? undefined : this.sources.get(formatIp(what.remote))
    for (const peer of source?.peers ?? []) this.guard(now, peer, () => peer.unreachable(now, what))
  }

  /** The data path reports that an SA has reached a limit. */
  expire(now: Millis, e: SaExpiry): void {
    this.now = now
    const found = this.byPolicy.get(e.policy)
    if (found === undefined || this.down) return
    this.guard(now, found.peer, () => found.peer.expire(now, e))
  }

  /**
   * Negotiates one child of a peer, or all, at once.
   * @throws ConfigError for names that are not configured
   */
  initiate(now: Millis, peerName: string, childName?: string): void {
    this.now = now
    const peer = this.peerNamed(peerName)
    const children = peer.config.children.filter((c) => childName === undefined || c.name === childName)
    if (children.length === 0)
      throw new ConfigError(`peer ${peerName} has no child ${childName ?? 'to negotiate'}`)
    for (const child of children) this.guard(now, peer, () => peer.want(now, child, true))
  }

  /**
   * Makes an IKE SA with a peer, and nothing under it that is not wanted anyway (RFC 6023): IKEv1 as it always does, IKEv2 where the
   * peer understands it, else with the peer's first child. Nothing happens when there is one.
   * @throws ConfigError for a name that is not configured
   */
  initiateIkeSa(now: Millis, peerName: string): void {
    this.now = now
    const peer = this.peerNamed(peerName)
    this.guard(now, peer, () => peer.wantIkeSa(now))
  }

  /**
   * Renews the IKE SA with a peer before its time; for a child's SA there is `expire`.
   * @returns whether there is one
   * @throws ConfigError for a name that is not configured
   */
  rekey(now: Millis, peerName: string): boolean {
    this.now = now
    const peer = this.peerNamed(peerName)
    let found = false
    this.guard(now, peer, () => {
      found = peer.rekey(now)
    })
    return found
  }

  /**
   * Deletes all SAs with a peer and ends what is under way; with a child's name the SAs of that child alone.
   * @throws ConfigError for a name that is not configured
   */
  terminate(now: Millis, peerName: string, childName?: string): void {
    this.now = now
    const peer = this.peerNamed(peerName)
    if (childName === undefined) return this.guard(now, peer, () => peer.terminate(now))
    const children = peer.config.children.filter((c) => c.name === childName)
    if (children.length === 0) throw new ConfigError(`peer ${peerName} has no child ${childName}`)
    for (const child of children) this.guard(now, peer, () => peer.terminateChild(now, child))
  }

  /** Deletes everything, tells all peers, and wipes the secrets. The object is of no use afterwards. */
  shutdown(now: Millis): void {
    if (this.down) return
    this.now = now
    for (const peer of this.peers.values())
      this.guard(now, peer, () => {
        peer.terminate(now)
        peer.abandon(now)
      })
    this.prephase.shutdown()
    this.down = true
  }

  /** @param now for ages; the time of the last entry point unless told */
  status(now: Millis = this.now): IkePeerStatus[] {
    const prephases = new Map(this.prephase.status().map((p) => [p.peer, p]))
    return [...this.peers.values()].map((p) => p.status(now, prephases.get(p.config.name)))
  }

  // Helpers

  private peerNamed(name: string): Peer {
    const peer = this.peers.get(name)
    if (peer === undefined) throw new ConfigError(`no peer is called ${name}`)
    return peer
  }

  private sourceOf(peer: Peer): Source | undefined {
    return this.sources.get(formatIp(peer.config.remote))
  }

  /** Random, not zero, not in use. */
  private newIkeSpi(): Uint8Array {
    for (let i = 0; i < 16; i++) {
      const spi = this.env.random(8)
      if (!isZero(spi) && !this.sas.has(spi)) return spi
    }
    throw new InternalError('the random source gives no usable cookie')
  }

  /** @param child whose lane, if it has one, is the SPI's remainder by the number of lanes */
  private newSpi({ lane }: ChildConfig): number {
    for (let i = 0; i < 64; i++) {
      const octets = this.env.random(4)
      const random = spiNumber(octets)
      const spi = lane === undefined ? random : random - (random % lane.count) + lane.index
      wipe(octets)
      const taken = [...this.peers.values()].some((p) => p.children.hasInbound(spi))
      if (spi >= SPI_MIN && spi <= 0xffff_ffff && !taken && this.options.spiInUse?.(spi) !== true) return spi
    }
    throw new InternalError('the random source gives no usable SPI')
  }

  private guard(now: Millis, peer: Peer, run: () => void): void {
    try {
      this.with(peer, run)
    } catch (error) {
      peer.refuse(now, 'internal', `internal fault: ${String(error)}`)
    }
  }

  /** Whatever a peer does may change when it wants to be woken. */
  private with(peer: Peer, run: () => void): void {
    try {
      run()
    } finally {
      this.deadlines.set(peer, peer.nextDeadline())
    }
  }
}

/** RFC 7296 section 2.6: a cookie is in front of everything else. */
const hasCookie = (h: IkeHeader): boolean =>
  h.exchange === EXCHANGE.IKE_SA_INIT && h.nextPayload === PAYLOAD.NOTIFY
