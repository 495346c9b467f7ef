import { randomBytes } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { Gateway, type GatewaySettings } from './gateway.js'
import { ADDRESSES, type Lab } from './lab.js'
import { type Transfer, transferImage } from './transfer.js'
import { type Kind, PROTECTED_KINDS } from './wire/frame.js'
import type { WireReport } from './wire/messages.js'

export const SECRETS = 1000
const TAMPERED = 100
const ATTACKED_OCTETS = 32 << 20
const MSS = 1400
const CAPTURE_LIMIT = 16 << 20

export interface Scene {
  readonly name: string
  /** What protects the traffic; absent for the unprotected scene. */
  readonly gateway?: GatewaySettings
  readonly transparent: boolean
  readonly hides: boolean
}

/** What a configuration without `proposals` comes to between two sallyports. */
const DEFAULT_IKE = { proposals: ['aes256gcm16-prfsha384-x25519-ke1_mlkem768'] }

/** The three acts of the demonstration. */
export const SCENES: readonly Scene[] = [
  { name: 'unprotected', transparent: false, hides: false },
  { name: 'ESP tunnel', transparent: false, hides: true, gateway: { ike: DEFAULT_IKE } },
  {
    name: 'AH transport',
    transparent: true,
    hides: false,
    gateway: {
      transparent: true,
      ike: DEFAULT_IKE,
      child: { protocol: 'ah', mode: 'transport', proposals: ['sha256'] },
    },
  },
]

export interface SceneResult {
  readonly name: string
  readonly protected: boolean
  readonly hides: boolean
  readonly from: string
  readonly to: string
  readonly algorithms: string
  readonly octets: number
  readonly sha256Sent: string
  readonly sha256Received: string
  readonly sha256Equal: boolean
  readonly seconds: number
  readonly gbitPerSecond: number
  /** From the program's first packet to the first ESP or AH packet on the wire. */
  readonly firstProtectedMs: number | undefined
  /** What the program saw: how long its TCP connection took, negotiation included. */
  readonly connectMs: number
  readonly secretsPlanted: number
  readonly secretsSeen: number
  readonly framesByProtocol: Readonly<Partial<Record<Kind, number>>>
  readonly tampered: number
  /** Tampered packets whose change reached the receiver's memory. */
  readonly tamperedAccepted: number
  /** What the gateways dropped during the attack because its ICV was wrong. */
  readonly icvFailures: number
  readonly sha256EqualAfterAttack: boolean
  /** Frames that the wire could not watch. */
  readonly overrun: number
}

/** Plays one scene: a transfer that is watched, then one under attack. */
export async function play(lab: Lab, scene: Scene, octets: number, captureTo?: string): Promise<SceneResult> {
  const [a, b] = [ADDRESSES.a, ADDRESSES.b]
  const [from, to] = scene.transparent ? [a.v4, b.v4] : [a.inner4, b.inner4]
  const secretTag = randomBytes(8).toString('hex')
  const capture = lab.path(`${scene.name.replaceAll(' ', '-')}.pcapng`)
  await lab.wire.watch({ secretTag, capture, captureLimit: CAPTURE_LIMIT })
  const gateways = scene.gateway ? await Gateway.pair(lab, scene.gateway) : []
  if (!scene.gateway) lab.routeUnprotected()
  try {
    const moved = await transferImage(lab, {
      from,
      to,
      octets,
      secretTag,
      secrets: SECRETS,
      deadlineMs: 600_000,
    })
    const seen = await lab.wire.report()
    const algorithms = await algorithmsOf(gateways)
    if (captureTo !== undefined) copyFileSync(capture, join(captureTo, capture.split('/').at(-1)!))
    const attack = await underAttack(lab, gateways, from, to, Math.min(octets, ATTACKED_OCTETS))
    return {
      name: scene.name,
      protected: scene.gateway !== undefined,
      hides: scene.hides,
      from,
      to,
      algorithms,
      ...transferResult(moved),
      firstProtectedMs: firstProtected(moved, seen),
      secretsPlanted: SECRETS,
      secretsSeen: seen.secrets,
      framesByProtocol: seen.frames,
      ...attack,
      overrun: seen.overrun,
    }
  } finally {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    if (!scene.gateway) lab.unrouteUnprotected()
  }
}

function transferResult(t: Transfer) {
  return {
    octets: t.octets,
    sha256Sent: t.sha256Sent,
    sha256Received: t.sha256Received,
    sha256Equal: t.sha256Sent === t.sha256Received,
    seconds: t.seconds,
    gbitPerSecond: (t.octets * 8) / t.seconds / 1e9,
    connectMs: t.connectMs,
  }
}

function firstProtected(moved: Transfer, seen: WireReport): number | undefined {
  const times = PROTECTED_KINDS.flatMap((kind) => seen.first[kind] ?? [])
  if (times.length === 0) return undefined
  return Math.min(...times.map((ns) => Number(ns) / 1e6)) - moved.startedMs
}

async function algorithmsOf(gateways: readonly Gateway[]): Promise<string> {
  const sa = (await gateways[0]?.child())?.sas.find((s) => s.direction === 'outbound')
  if (!sa) return 'none'
  const names = [
    sa.encryption,
    sa.integrity,
    sa.esn ? 'ESN' : undefined,
    sa.encapsulation === 'udp' ? 'in UDP' : undefined,
  ]
  return names.filter((name) => name !== undefined).join(' ')
}

/** The second transfer: somebody on the wire flips bits of packets that carry the image. */
async function underAttack(lab: Lab, gateways: readonly Gateway[], from: string, to: string, octets: number) {
  const failures = async (): Promise<number> => {
    const all = await Promise.all(gateways.map(async (g) => (await g.status()).drops['bad-icv'] ?? 0))
    return all.reduce((sum, n) => sum + n, 0)
  }
  const before = await failures()
  const every = Math.max(2, Math.floor(octets / MSS / TAMPERED / 2))
  const tamper = { every, limit: TAMPERED }
  await lab.wire.watch()
  await lab.wire.impair([
    { direction: 'a-to-b', kinds: ['tcp', ...PROTECTED_KINDS], minimumLength: 1000, tamper },
  ])
  try {
    const moved = await transferImage(lab, { from, to, octets, deadlineMs: 300_000 })
    const { tampered } = await lab.wire.report()
    return {
      tampered,
      tamperedAccepted: moved.changedPages,
      icvFailures: (await failures()) - before,
      sha256EqualAfterAttack: moved.sha256Sent === moved.sha256Received,
    }
  } finally {
    await lab.wire.impair()
  }
}
