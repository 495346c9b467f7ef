import type { Logger } from 'pino'
import { ControlError, SallyportError } from '../errors.js'
import type { GatewayConfig } from './config/config.js'
import { wipeConfig } from './config/load.js'
import { type Controlled, controlCommands, EVENTS } from './control/commands.js'
import { ControlServer } from './control/server.js'
import { Gateway } from './gateway.js'
import { createLogger } from './logger.js'
import { checkPrivileges } from './privileges.js'
import { ServiceManager } from './service-manager.js'

export interface DaemonOptions {
  readonly version: string
}

/** Why the daemon comes to its end. */
type End = { readonly kind: 'asked'; readonly by: string } | { readonly kind: 'fault'; readonly error: Error }

/**
 * Runs the gateway until a signal, the control socket or a fault ends it. Returns the exit status.
 * @throws SallyportError when it cannot start; everything is undone then
 */
export async function runDaemon(config: GatewayConfig, options: DaemonOptions): Promise<number> {
  const log = createLogger(config.log.level, config.log.format)
  const service = new ServiceManager()
  try {
    checkPrivileges()
    return await new Daemon(config, options, log, service).run()
  } catch (error) {
    if (error instanceof Error) log.debug({ stack: error.stack }, 'start failed')
    throw error
  } finally {
    wipeConfig(config)
  }
}

class Daemon implements Controlled {
  readonly version: string
  private readonly config: GatewayConfig
  private readonly log: Logger
  private readonly service: ServiceManager
  private control: ControlServer | undefined
  private gateway: Gateway | undefined
  private end: (end: End) => void = () => undefined
  private readonly ended = new Promise<End>((resolve) => {
    this.end = resolve
  })

  constructor(config: GatewayConfig, options: DaemonOptions, log: Logger, service: ServiceManager) {
    this.config = config
    this.version = options.version
    this.log = log
    this.service = service
  }

  async run(): Promise<number> {
    const release = this.catchSignals()
    try {
      // First of all, as it is what tells a second daemon from the first.
      this.control = await ControlServer.open({
        path: this.config.host.control,
        commands: controlCommands(this),
        events: EVENTS,
        log: (level, message, fields) => this.log[level](fields ?? {}, message),
      })
      this.gateway = new Gateway({
        config: this.config,
        version: this.version,
        log: this.log,
        fault: (error) => this.end({ kind: 'fault', error }),
        told: (msg) => this.control?.broadcast('control-log', { group: 'IKE', level: '1', msg }),
      })
      await this.gateway.start()
      this.service.ready(`${this.config.peers.length} peers, TUN ${this.config.tun.name}`)
      this.log.info({ config: this.config.file, version: this.version }, 'ready')
      return await this.finish(await this.ended)
    } finally {
      await this.control?.close()
      release()
    }
  }

  private async finish(end: End): Promise<number> {
    this.service.stopping()
    if (end.kind === 'asked') {
      this.log.info({ by: end.by }, 'stopping')
      await this.gateway?.stop()
      this.log.info('stopped')
      return 0
    }
    const { error } = end
    this.log.fatal(
      { error: error.message, ...(error instanceof SallyportError ? {} : { stack: error.stack }) },
      'fault: stopping; the fail-closed rules stay in place',
    )
    return 1
  }

  /** Until the returned function is called, signals and faults that nobody caught end the daemon. */
  private catchSignals(): () => void {
    let asked = 0
    const stop = (signal: NodeJS.Signals): void => {
      asked++
      if (asked === 1) return this.end({ kind: 'asked', by: signal })
      this.log.warn({ signal }, 'stopping at once')
      this.hurry()
    }
    const hangup = (): void =>
      this.log.warn('SIGHUP: the configuration is read at start only; restart to reload it')
    const fault = (error: unknown): void =>
      this.end({ kind: 'fault', error: error instanceof Error ? error : new Error(String(error)) })
    process.on('SIGTERM', stop).on('SIGINT', stop).on('SIGHUP', hangup)
    process.on('uncaughtException', fault).on('unhandledRejection', fault)
    return () => {
      process.off('SIGTERM', stop).off('SIGINT', stop).off('SIGHUP', hangup)
      process.off('uncaughtException', fault).off('unhandledRejection', fault)
    }
  }

  /** Takes the network settings back, which must be, and waits for nothing else. */
  private hurry(): never {
    this.gateway?.revertNetwork()
    process.exit(1)
  }

  private running(): Gateway {
    if (!this.gateway) throw new ControlError('the daemon is still starting; ask again in a moment')
    return this.gateway
  }

  status() {
    return this.running().status()
  }

  initiate(peer: string | undefined, child: string | undefined, timeoutMs: number): Promise<void> {
    return this.running().initiate(peer, child, timeoutMs)
  }

  rekey(peer: string | undefined, child: string | undefined): number {
    return this.running().rekey(peer, child)
  }

  terminate(peer: string | undefined, child: string | undefined, timeoutMs: number): Promise<void> {
    return this.running().terminate(peer, child, timeoutMs)
  }

  shutdown(): void {
    this.end({ kind: 'asked', by: 'control socket' })
  }
}
