import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import { Dataplane } from '../dataplane/dataplane.js'
import { ControlError } from '../errors.js'
import type { Endpoint, IkeEnvironment } from '../ike/environment.js'
import { Ike } from '../ike/ike.js'
import type { SaExpiry } from '../sadb/sa-spec.js'
import { formatIp, type IpAddress } from '../wire/ip-address.js'
import type { GatewayConfig, PolicySettings } from './config/config.js'
import { wipeManual } from './config/load.js'
import { DeadlineTimer } from './deadline-timer.js'
import { EventCounts } from './event-counts.js'
import { IKE_PORT, IkeSockets } from './ike-sockets.js'
import { type IkeView, ikeViews } from './ike-view.js'
import { type GatewayStatus, gatewayStatus } from './status.js'
import { FileTimestampStore } from './timestamp-store.js'
import { Undo } from './undo.js'

/** How long the last IKE messages may take to leave. */
const DRAIN_MS = 1_000
/** How often a command that waits looks whether it has what it waits for. */
const LOOK_MS = 50

export interface GatewayOptions {
  readonly config: GatewayConfig
  readonly version: string
  readonly log: Logger
  /** The gateway cannot go on. */
  fault(error: Error): void
  /** A line of the story of key management, for whoever watches the control socket. */
  told(message: string): void
}

/** Data path, IKE, network settings and the timers between them: everything that is up while the gateway is. */
export class Gateway {
  private readonly options: GatewayOptions
  private readonly startedMs = performance.now()
  private readonly events = new EventCounts()
  private readonly undo = new Undo()
  private readonly policies: ReadonlyMap<number, PolicySettings>
  private dataplane: Dataplane | undefined
  private sockets: IkeSockets | undefined
  private ike: Ike | undefined
  private timer: DeadlineTimer | undefined
  private stopping: Promise<void> | undefined
