import type { ChildProcess } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { missingStrongswan, Strongswan } from '../interop/peers/strongswan.js'
import { swanctlConf } from '../interop/strongswan-tunnel.js'
import { addInnerAddresses, sallyport, type Tunnel } from '../interop/tunnel.js'
import { Gateway, type GatewaySettings, keyLogOf } from '../lab/gateway.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
import { SALLYPORT } from '../lab/root.js'
import { transferImage } from '../lab/transfer.js'
import { type ArrivedPacket, packetsOf } from './captured.js'

// Live traffic with the key log on. What is captured on the wire, and what arrives on the TUN devices, is what a replay has to
// make of it. Written to test/replay/captures these are the files of the recorded tests.

export interface Scene {
  readonly name: string
  /** Addresses that the traffic goes between. */
  readonly inner: 4 | 6
  readonly settings: GatewaySettings
  /** The peer is a strongSwan with these proposals for IKE and ESP; else sallyport, with `settings`. */
  readonly strongswan?: readonly [string, string]
  /** Manual SAs with these algorithms. */
  readonly manual?: string
  /** AH has no keys in Wireshark. */
  readonly tshark: boolean
  /** Nonces are counted from one, so that what is protected again is what was captured: CBC and strongSwan do otherwise. */
  readonly counted?: boolean
}

/** Each packet is one on the TUN device, so that what arrives can be compared one by one. */
const single = { offload: { tun: 'off' } }
const small = { proposals: ['aes128-sha256-ecp256'] }

export const SCENES: readonly Scene[] = [
  {
    name: 'esp-gcm-udp',
    inner: 4,
    settings: {
      dataplane: single,
      peer: { encapsulation: 'udp' },
      child: { proposals: ['aes128gcm16-noesn'] },
    },
    tshark: true,
    counted: true,
  },
  {
    name: 'esp-gcm-esn-raw',
    inner: 6,
    settings: {
      dataplane: single,
      peer: { encapsulation: 'raw' },
      child: { proposals: ['aes256gcm16-esn'] },
    },
    tshark: true,
    counted: true,
  },
  {
    name: 'esp-cbc-raw-ipv6',
    inner: 6,
    settings: {
      outer: 6,
      inner: 6,
      dataplane: single,
      peer: { encapsulation: 'raw' },
      child: { proposals: ['aes128-sha256'] },
    },
    tshark: true,
  },
  {
    name: 'esp-transport',
    inner: 4,
    settings: {
      transparent: true,
      dataplane: single,
      peer: { encapsulation: 'raw' },
      child: { mode: 'transport', proposals: ['aes128-sha256'] },
    },
    tshark: true,
  },
  {
    name: 'ah-transport',
    inner: 4,
    settings: {
      transparent: true,
      dataplane: single,
      child: { protocol: 'ah', mode: 'transport', proposals: ['sha256'] },
    },
    tshark: false,
  },
  {
    name: 'ah-tunnel-ipv6',
    inner: 4,
    settings: {
      outer: 6,
      dataplane: single,
      child: { protocol: 'ah', mode: 'tunnel', proposals: ['sha512'] },
    },
    tshark: false,
  },
  {
    name: 'manual',
    inner: 4,
    settings: { dataplane: single, peer: { encapsulation: 'raw' } },
    manual: 'aes256-sha384',
    tshark: true,
  },
  {
    name: 'strongswan-gcm',
    inner: 4,
    settings: { dataplane: single },
    strongswan: ['aes128-sha256-ecp256', 'aes128gcm16'],
    tshark: true,
  },
  {
    name: 'strongswan-cbc',
    inner: 4,
    settings: { dataplane: single },
    strongswan: ['aes256-sha384-ecp384', 'aes256-sha512-ecp256'],
    tshark: true,
  },
]

export const whyNoScene = (scene: Scene): string | undefined =>
  scene.strongswan ? missingStrongswan() : undefined

/** What a scene leaves in a folder: wire.pcapng, keys/, and what arrived, which is returned as well. */
export interface Recorded {
  readonly wire: string
  readonly keys: string
  /** Plain packets as dom0-a put them into its TUN device, capture file. */
  readonly sent: string
  readonly arrived: readonly ArrivedPacket[]
}

/** Octets of TCP payload, whole pages: several packets. */
const IMAGE = 8_192

/** @param folder where the files go; emptied first */
export async function record(scene: Scene, folder: string): Promise<Recorded> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const lab = await Lab.create()
  const ends: { stop(): Promise<unknown> }[] = []
  try {
    const wire = join(folder, 'wire.pcapng')
    await lab.wire.watch({ capture: wire })
    const b = scene.strongswan ? await peerOf(lab, scene.strongswan) : await gatewayOf(lab, scene, 'b')
    ends.push(b)
    const a = await gatewayOf(lab, scene, 'a')
    ends.push(a)
    const dumps = [
      Dump.start(lab, 'a', 'sally0'),
      Dump.start(lab, 'b', scene.strongswan ? 'ipsec0' : 'sally0'),
    ]
    await Promise.all(dumps.map((d) => d.ready))
    await traffic(lab, scene, a)
    await Promise.all(dumps.map((d) => d.stop()))
    for (const end of ends.splice(0).reverse()) await end.stop()
    await lab.wire.watch()
    const keys = join(folder, 'keys')
    cpSync(keyLogOf(lab, 'keys', 'a'), keys, { recursive: true })
    const sent = join(folder, 'sent.pcap')
    cpSync(dumps[0]!.path, sent)
    const [from, to] = addressesOf(scene)
    const arrived = [
      ...packetsOf(readFileSync(dumps[1]!.path), { source: from, destination: to, side: 'b' }),
      ...packetsOf(readFileSync(dumps[0]!.path), { source: to, destination: from, side: 'a' }),
    ]
    return { wire, keys, sent, arrived }
  } finally {
    for (const end of ends) await end.stop()
    lab.close()
  }
}

/** Addresses of dom0-a's and dom0-b's end of the traffic. */
export function addressesOf(scene: Scene): readonly [string, string] {
  const outer = scene.settings.outer === 6 ? 'v6' : 'v4'
  const which = scene.settings.transparent ? outer : scene.inner === 6 ? 'inner6' : 'inner4'
  return [ADDRESSES.a[which], ADDRESSES.b[which]]
}

function gatewayOf(lab: Lab, scene: Scene, side: Side): Promise<Gateway> {
  if (scene.strongswan)
    return Gateway.start(lab, side, sallyport(lab, towards(scene.strongswan), { dataplane: single }))
  const { inner, settings } = scene
  if (scene.manual !== undefined)
    return Gateway.start(lab, side, {
      inner,
      ...settings,
      child: manualChild(lab, side, scene.manual),
      keyLog: 'keys',
    })
  return Gateway.start(lab, side, {
    inner,
    ...settings,
    ike: { version: 1, ...small, ...settings.ike },
    keyLog: 'keys',
  })
}

function manualChild(lab: Lab, side: Side, algorithms: string): Readonly<Record<string, unknown>> {
  const keys_file = lab.path('manual.keys')
  const spis = [0x1001, 0x1002]
  if (!existsSync(keys_file))
    lab.exec(
      'a',
      process.execPath,
      SALLYPORT,
      'genkey',
      '-o',
      keys_file,
      ...spis.flatMap((spi) => ['--sa', `${spi}:${algorithms}`]),
    )
  const [spi, theirs] = side === 'a' ? spis : spis.toReversed()
  return {
    manual: [
      { direction: 'outbound', spi, algorithms, keys_file },
      { direction: 'inbound', spi: theirs, algorithms, keys_file },
    ],
  }
}

async function traffic(lab: Lab, scene: Scene, a: Gateway): Promise<void> {
  const [from, to] = addressesOf(scene)
  const ping = (side: Side, target: string, source: string, ...args: string[]): void => {
    lab.exec(side, 'ping', '-I', source, '-i', '0.05', '-W', '2', ...args, target)
  }
  // The first packet may be lost while the other side still installs its SAs.
  for (let tries = 0; ; tries++)
    try {
      ping('a', to, from, '-c', '1')
      break
    } catch (error) {
      if (tries > 20) throw new Error(`no traffic: ${(error as Error).message}\n${a.log()}`)
    }
  ping('a', to, from, '-c', '2', '-s', '1200')
  ping('b', from, to, '-c', '2', '-s', '3', '-Q', '0x28')
  await transferImage(lab, { from, to, octets: IMAGE })
  // The wire writes what it has seen in large pieces; the last packets have passed by now.
  await sleep(200)
}

/** Between sallyport, with its offloads off, and a strongSwan. */
const towards = ([ike, child]: readonly [string, string]): Tunnel => ({
  ...{ version: 1, encapsulation: 'udp' },
  ...{ ike, child },
})

async function peerOf(lab: Lab, proposals: readonly [string, string]): Promise<Strongswan> {
  const t = towards(proposals)
  addInnerAddresses(lab, t)
  return Strongswan.start(lab.namespace('b'), lab.path('charon'), swanctlConf(t))
}

/** What passes on a device, by tcpdump. */
class Dump {
  readonly path: string
  readonly ready: Promise<void>
  private readonly process: ChildProcess

  private constructor(process: ChildProcess, path: string) {
    this.process = process
    this.path = path
    this.ready = new Promise((resolve, reject) => {
      let said = ''
      process.stderr?.setEncoding('utf8').on('data', (text: string) => {
        said += text
        if (said.includes('listening on')) resolve()
      })
      process.once('exit', () => reject(new Error(`tcpdump ended: ${said}`)))
    })
  }

  static start(lab: Lab, side: Side, device: string): Dump {
    const path = lab.path(`${side}-${device}.pcap`)
    // -Z: the lab's folder is its owner's alone.
    const args = [
      '-i',
      device,
      '-n',
      '-U',
      '--immediate-mode',
      '-s',
      '2048',
      '-B',
      '8192',
      '-Z',
      'root',
      '-w',
      path,
    ]
    return new Dump(lab.spawn(side, 'tcpdump', args, { stdio: ['ignore', 'ignore', 'pipe'] }), path)
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGINT')
    await ended
  }
}
