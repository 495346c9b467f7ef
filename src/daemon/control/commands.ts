import { arch, release, type } from 'node:os'
import { ControlError } from '../../errors.js'
import type { GatewayStatus } from '../status.js'
import type { Command } from './server.js'
import { textOf, type ViciMessage } from './vici-message.js'
import { isEstablished, listConns, listSas, UniqueIds } from './vici-status.js'

/** What the control socket may ask of the daemon. Each throws ControlError while the daemon is starting or stopping. */
export interface Controlled {
  readonly version: string
  status(): GatewayStatus
  /**
   * Resolves when the child is up; without a name all of the peer's, with an empty one the IKE SA alone.
   * @throws ControlError when it is not within `timeoutMs`
   */
  initiate(peer: string | undefined, child: string | undefined, timeoutMs: number): Promise<void>
  /** Begins to replace the child's SAs, or without a child the peer's IKE SA; returns how many there are. @throws ControlError */
  rekey(peer: string | undefined, child: string | undefined): number
  /** Resolves when the peer's SAs are gone. @throws ControlError when there are none */
  terminate(peer: string | undefined, child: string | undefined, timeoutMs: number): Promise<void>
  /** Begins a clean stop; the answer is sent before the socket closes. */
  shutdown(): void
}

/** Events that a client may register for. */
export const EVENTS = ['list-sa', 'list-conn', 'control-log', 'sallyport-status']

/** Longest wait of initiate and terminate, where strongSwan would wait for ever. */
const WAIT_MAX_MS = 120_000
/** Characters of JSON in one event. */
const PIECE = 32_768

/** The commands: those of strongSwan's that have a meaning here, and sallyport's own. */
export function controlCommands(daemon: Controlled): Readonly<Record<string, Command>> {
  const ids = new UniqueIds()
  return {
    version: () => ({
      daemon: 'sallyport',
      version: daemon.version,
      sysname: type(),
      release: release(),
      machine: arch(),
    }),
    stats: () => stats(daemon.status()),
    'list-sas': async (request, emit) => {
      for (const sa of listSas(daemon.status(), ids, textOf(request, 'ike'))) await emit('list-sa', sa)
      return {}
    },
    'list-conns': async (request, emit) => {
      for (const conn of listConns(filtered(daemon.status(), request))) await emit('list-conn', conn)
      return {}
    },
    'get-conns': () => ({ conns: daemon.status().peers.map((peer) => peer.name) }),
    initiate: async (request) => {
      await daemon.initiate(textOf(request, 'ike'), textOf(request, 'child'), waitOf(request))
      return { success: 'yes' }
    },
    rekey: (request) => {
      refuseNumbers(request)
      const matches = daemon.rekey(textOf(request, 'ike'), textOf(request, 'child'))
      if (matches === 0) throw new ControlError('there is no SA to replace')
      return { success: 'yes', matches: String(matches) }
    },
    terminate: async (request) => {
      refuseNumbers(request)
      await daemon.terminate(textOf(request, 'ike'), textOf(request, 'child'), waitOf(request))
      return { success: 'yes' }
    },
    'sallyport-status': async (_, emit) => {
      for (const piece of piecesOf(daemon.status())) await emit('sallyport-status', { piece })
      return {}
    },
    'sallyport-shutdown': () => {
      daemon.shutdown()
      return { success: 'yes' }
    },
  }
}

function refuseNumbers(request: ViciMessage): void {
  if (request['child-id'] !== undefined || request['ike-id'] !== undefined)
    throw new ControlError('SAs go by name here; expected ike or child')
}

/** JSON in ASCII, in pieces that fit a vici value; joined they are the document. */
export function piecesOf(status: unknown): string[] {
  const json = JSON.stringify(status).replace(
    /[\u007f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  const pieces: string[] = []
  for (let at = 0; at < json.length; at += PIECE) pieces.push(json.slice(at, at + PIECE))
  return pieces
}

function filtered(status: GatewayStatus, request: ViciMessage): GatewayStatus {
  const name = textOf(request, 'ike')
  return name === undefined ? status : { ...status, peers: status.peers.filter((peer) => peer.name === name) }
}

/** vici: 0 or none waits for a result, -1 does not wait at all. */
function waitOf(request: ViciMessage): number {
  const text = textOf(request, 'timeout') ?? '0'
  if (!/^-?\d{1,9}$/.test(text)) throw new ControlError('timeout: expected milliseconds')
  const ms = Number(text)
  return ms < 0 ? 0 : ms === 0 ? WAIT_MAX_MS : Math.min(ms, WAIT_MAX_MS)
}

function stats(status: GatewayStatus): ViciMessage {
  const sas = status.peers.flatMap((peer) => peer.ike?.sas ?? [])
  const memory = process.memoryUsage()
  return {
    uptime: {
      running: `${Math.round(status.uptimeSeconds)} seconds`,
      since: new Date(Date.now() - status.uptimeSeconds * 1000).toISOString(),
    },
    workers: { total: '1', idle: '0', active: { critical: '1', high: '0', medium: '0', low: '0' } },
    queues: { critical: '0', high: '0', medium: '0', low: '0' },
    scheduled: '0',
    ikesas: {
      total: String(sas.length),
      'half-open': String(sas.filter((sa) => !isEstablished(sa)).length),
    },
    plugins: status.engines.filter((e) => e.refused === undefined).map((e) => e.name),
    mem: { total: String(memory.heapUsed), allocs: '0' },
  }
}
