import { hex } from '../../bytes/octets.js'
import { ConfigError } from '../../errors.js'
import { formatIp, type IpAddress } from '../../wire/ip-address.js'
import type { IkePeerConfig } from '../config.js'
import { formatIdentity, sameIdentity } from '../identity.js'
import type { Trouble } from '../trouble.js'
import { ClassicCode } from './classic.js'
import { HardenedCode } from './hardened.js'
import type { InitiatorState } from './initiator.js'
import { KEY_LEN, keyFingerprint } from './key.js'
import type { PrephaseLimits } from './limits.js'
import type { Path } from './machine.js'
import { idBody } from './messages.js'
import type { PairCode } from './pair-code.js'
import type { ResponderState } from './responder.js'
import { TokenBucket } from './token-bucket.js'

/** The port that step 1 goes from and to; answers go to where a message came from. */
export const IKE_PORT = 500

/** All that the engine keeps about a peer. */
export interface PeerRecord {
  readonly config: IkePeerConfig
  readonly code: PairCode
  readonly fingerprint: string
  /** Names the pair's timestamps: peer and key, so that a new key starts without the old one's history. */
  readonly storeKey: string
  /** ID payload bodies. */
  readonly localId: Uint8Array
  readonly remoteId: Uint8Array
  readonly home: Path
  readonly classicRate: TokenBucket
  initiator: InitiatorState
  /** Exchanges that the peer began, oldest first; bounded by halfOpenPerPeer + finishedPerPeer. */
  readonly sessions: Session[]
  /** The last one that tells an operator something. */
  lastRefusal: Trouble | undefined
  /** Of an exchange that is over. */
  lastSilence: Trouble | undefined
}

/** One exchange that a peer began. */
export interface Session {
  readonly peer: PeerRecord
  /** Initiator cookie in hex. */
  readonly cookie: string
  cr: Uint8Array
  state: ResponderState
}

/** The peers at one address; at least one. */
export interface Source {
  /** Name of the first of them, for log lines about messages that name no peer. */
  readonly name: string
  readonly peers: readonly PeerRecord[]
  readonly messages: TokenBucket
  readonly strangers: TokenBucket
}

/** The configured peers, by name and by address. As large as the configuration, whatever arrives. */
export class SourceTable {
  /** Peers that have a pre-phase. */
  readonly peers: readonly PeerRecord[]
  private readonly byAddress = new Map<string, Source>()
  private readonly byName: ReadonlyMap<string, PeerRecord>

  /** @throws ConfigError for a configuration that no exchange could be safe with */
  constructor(configs: readonly IkePeerConfig[], limits: PrephaseLimits) {
    const records = configs.map((c) => recordOf(c, limits))
    checkKeys(records)
    checkNames(records)
    this.byName = new Map(records.map((p) => [p.config.name, p]))
    this.peers = records.filter((p) => p.config.dynamicPsk !== 'off')
    for (const p of records) {
      const address = formatIp(p.config.remote)
      const source = this.byAddress.get(address)
      this.byAddress.set(address, {
        name: source?.name ?? p.config.name,
        peers: [...(source?.peers ?? []), p],
        messages: source?.messages ?? new TokenBucket(limits.messagesPerSecond, limits.messagesBurst),
        strangers: source?.strangers ?? new TokenBucket(limits.strangersPerSecond, limits.strangersBurst),
      })
    }
  }

  named(name: string): PeerRecord | undefined {
    return this.byName.get(name)
  }

  at(address: IpAddress): Source | undefined {
    return this.byAddress.get(formatIp(address))
  }
}

function recordOf(config: IkePeerConfig, limits: PrephaseLimits): PeerRecord {
  const { name, key, dynamicPsk } = config
  if (dynamicPsk !== 'off') {
    if (key.length !== KEY_LEN)
      throw new ConfigError(
        `peer ${name}: the key has ${key.length} octets; dynamic_psk: ${dynamicPsk} needs ${KEY_LEN}`,
      )
    if (sameIdentity(config.localId, config.remoteId))
      throw new ConfigError(
        `peer ${name}: both ends have the identity ${formatIdentity(config.localId)}; dynamic_psk: ${dynamicPsk} needs two`,
      )
  }
  const fingerprint = keyFingerprint(key)
  return {
    config,
    code: dynamicPsk === 'hardened' ? new HardenedCode(key) : new ClassicCode(key),
    fingerprint,
    storeKey: `${name}.${fingerprint}`,
    localId: idBody(config.localId),
    remoteId: idBody(config.remoteId),
    home: {
      local: { address: config.local, port: IKE_PORT },
      remote: { address: config.remote, port: IKE_PORT },
    },
    classicRate: new TokenBucket(limits.classicPerSecond, limits.classicBurst),
    initiator: { kind: 'IDLE' },
    sessions: [],
    lastRefusal: undefined,
    lastSilence: undefined,
  }
}

/** One key serves one pair: with the same key under two peers, each of them could stand in for the other. */
function checkKeys(records: readonly PeerRecord[]): void {
  const seen = new Map<string, PeerRecord>()
  for (const p of records) {
    const other = seen.get(p.fingerprint)
    if (other !== undefined && (p.config.dynamicPsk !== 'off' || other.config.dynamicPsk !== 'off'))
      throw new ConfigError(
        `peers ${other.config.name} and ${p.config.name} have the same key (fingerprint ${p.fingerprint}); one key serves one pair of hosts`,
      )
    seen.set(p.fingerprint, p)
  }
}

/** Step 1 names its sender by address and identity alone. */
function checkNames(records: readonly PeerRecord[]): void {
  const seen = new Map<string, PeerRecord>()
  for (const p of records) {
    if (p.config.dynamicPsk === 'off') continue
    const name = `${formatIp(p.config.remote)} ${hex(p.remoteId)}`
    const other = seen.get(name)
    if (other !== undefined)
      throw new ConfigError(
        `peers ${other.config.name} and ${p.config.name} have the same address and identity: they cannot be told apart`,
      )
    seen.set(name, p)
  }
}
