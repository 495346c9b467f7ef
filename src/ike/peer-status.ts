import { hex } from '../bytes/octets.js'
import type { ChildTable } from './children.js'
import type { IkePeerConfig } from './config.js'
import type { Millis } from './environment.js'
import { formatIdentity } from './identity.js'
import type { IkeSa } from './ike-sa.js'
import type { IkeSaSet } from './ike-sa-set.js'
import { formatEndpoint } from './path.js'
import type { PrephaseStatus } from './prephase/types.js'
import { childSaStatus, type IkePeerStatus, ikeSaStatus } from './status.js'
import { newestTrouble, type Trouble } from './trouble.js'

// What the operator sees of a peer.

/** What is known of a peer at one moment. */
export interface PeerView {
  readonly config: IkePeerConfig
  readonly sas: IkeSaSet
  readonly children: ChildTable
  /** Names of children that are to be negotiated. */
  readonly wanted: readonly string[]
  /** An own way to a new IKE SA is under way. */
  readonly attempting: boolean
  readonly lastError: Trouble | undefined
  /** Trouble from before is over. */
  readonly workedAt: Millis
  /** The pre-phase's own, which knows the peers by itself; undefined for a peer without. */
  readonly prephase: PrephaseStatus | undefined
  /** The newest pre-phase message in the peer's name that was refused. */
  readonly refusal: Trouble | undefined
}

export function peerStatus(view: PeerView, now: Millis): IkePeerStatus {
  const { config, sas, children } = view
  const lastError = troubleOf(view)
  return {
    peer: config.name,
    localId: formatIdentity(config.localId),
    remoteId: formatIdentity(config.remoteId),
    version: config.version,
    dynamicPsk: config.dynamicPsk,
    phase: phaseOf(view),
    ikeSas: sas.all().map((h) => ikeSaStatus(h, now)),
    children: children.all().map((r) => childSaStatus(r, now)),
    wanted: [...new Set(view.wanted)],
    lastError: lastError && { ...lastError, ageMs: now - lastError.at },
  }
}

/** The fields of an IKE SA in the log. */
export function describeIkeSa(sa: IkeSa): Record<string, unknown> {
  const { proposal, nat } = sa.describe()
  return {
    version: sa.version,
    role: sa.role,
    cookies: `${hex(sa.initiatorSpi)}:${sa.responderSpi === undefined ? '' : hex(sa.responderSpi)}`,
    proposal,
    local: formatEndpoint(sa.path.local),
    remote: formatEndpoint(sa.path.remote),
    ...(nat !== undefined && { nat }),
  }
}

/**
 * Why the last attempt failed, or why the one under way makes no headway: the other end's messages are refused here, or it
 * does not answer. Once the peer has proved itself, who else tries in its name is a matter of the counters.
 */
function troubleOf({ sas, lastError, workedAt, prephase, refusal }: PeerView): Trouble | undefined {
  const silences = sas.all().map(({ sa }) => sa.describe().silence)
  if (sas.anyEstablished()) return newestTrouble([lastError, ...silences])
  const silence = prephase?.silence
  const begun = [
    refusal && {
      ...refusal,
      message: `a pre-phase message in the peer's name was refused: ${refusal.message}`,
    },
    silence && { ...silence, message: `pre-phase: ${silence.message}` },
  ]
  return newestTrouble([lastError, ...[...begun, ...silences].filter((t) => t && t.at > workedAt)])
}

function phaseOf({ sas, attempting }: PeerView): IkePeerStatus['phase'] {
  if (sas.anyEstablished()) return 'established'
  if (sas.all().some((h) => h.sa.stage === 'CONNECTING')) return 'connecting'
  return attempting ? 'pre-phase' : 'idle'
}
