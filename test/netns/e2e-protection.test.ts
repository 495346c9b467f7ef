import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings, makeKey } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { transferImage } from '../lab/transfer.js'
import { type Kind, PLAIN_KINDS } from '../lab/wire/frame.js'

const why = whyNoLab({ tun: true })
if (why) console.log(`end-to-end tests ${why}`)

interface Case extends GatewaySettings {
  readonly name: string
  readonly kind: Kind
  /** Nothing is encrypted. */
  readonly readable?: boolean
}

const esp = { protocol: 'esp', proposals: ['aes128gcm16'] }
const ah = { protocol: 'ah', proposals: ['sha256'] }
const tunnels: Case[] = ([4, 6] as const).flatMap((outer) =>
  ([4, 6] as const).flatMap((inner): Case[] => [
    {
      name: `ESP tunnel, IPv${inner} in IPv${outer}`,
      kind: 'esp',
      outer,
      inner,
      child: esp,
      peer: { encapsulation: 'raw' },
    },
    { name: `AH tunnel, IPv${inner} in IPv${outer}`, kind: 'ah', outer, inner, child: ah },
  ]),
)
const transports: Case[] = ([4, 6] as const).flatMap((outer): Case[] => [
  {
    name: `ESP transport, IPv${outer}`,
    kind: 'esp',
    outer,
    transparent: true,
    child: { ...esp, mode: 'transport' },
    peer: { encapsulation: 'raw' },
  },
  {
    name: `AH transport, IPv${outer}`,
    kind: 'ah',
    outer,
    transparent: true,
    child: { ...ah, mode: 'transport' },
  },
  {
    name: `ESP tunnel in UDP over IPv${outer}`,
    kind: 'esp-udp',
    outer,
    child: { ...esp, proposals: ['aes256gcm16'] },
    peer: { encapsulation: 'udp' },
  },
])
const others: Case[] = [
  {
    name: 'ESP transport in UDP',
    kind: 'esp-udp',
    transparent: true,
    child: { ...esp, mode: 'transport' },
    peer: { encapsulation: 'udp' },
  },
  {
    name: 'AES-CBC with HMAC, PFS',
    kind: 'esp',
    child: { proposals: ['aes256-sha256-ecp256'] },
    peer: { encapsulation: 'raw' },
  },
  {
    name: 'the paper: classic pre-phase, modp2048',
    kind: 'esp',
    peer: { dynamic_psk: 'classic', encapsulation: 'raw' },
    ike: { proposals: ['aes128-sha256-modp2048'] },
    child: esp,
  },
  {
    name: 'AES-CCM with an ICV of 8 octets',
    kind: 'esp',
    child: { proposals: ['aes128ccm8'] },
    peer: { encapsulation: 'raw' },
  },
  {
    name: 'AES-GMAC in ESP, which encrypts nothing',
    kind: 'esp',
    readable: true,
    child: { proposals: ['aes128gmac'] },
    peer: { encapsulation: 'raw' },
  },
  {
    name: 'AES-GMAC in AH transport',
    kind: 'ah',
    transparent: true,
    child: { protocol: 'ah', mode: 'transport', proposals: ['aes128gmac'] },
  },
  {
    name: 'key pairs of the hosts’ own',
    kind: 'esp',
    identities: true,
    child: esp,
    peer: { encapsulation: 'raw' },
  },
  { name: 'a plain PSK', kind: 'esp', peer: { dynamic_psk: 'off', encapsulation: 'raw' }, child: esp },
]

describe.skipIf(why !== undefined)('protection end to end', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'forwarder' })
    makeKey(lab)
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  async function carries(settings: GatewaySettings, kind: Kind, readable = kind === 'ah'): Promise<void> {
    const which = settings.transparent
      ? (settings.outer ?? 4) === 4
        ? 'v4'
        : 'v6'
      : (settings.inner ?? 4) === 4
        ? 'inner4'
        : 'inner6'
    await lab.wire.watch({ secretTag: 'e2e-secret' })
    gateways = await Gateway.pair(lab, settings)
    const moved = await transferImage(lab, {
      from: ADDRESSES.a[which],
      to: ADDRESSES.b[which],
      octets: 2 << 20,
      secretTag: 'e2e-secret',
      secrets: 100,
      deadlineMs: 15_000,
    })
    expect(moved.sha256Received).toBe(moved.sha256Sent)
    const seen = await lab.wire.report()
    expect(seen.frames[kind]).toBeGreaterThan(1000)
    for (const plain of PLAIN_KINDS) expect(seen.frames[plain] ?? 0, plain).toBe(0)
    // One that two packets share may have other octets between its halves.
    if (readable) expect(seen.secrets).toBeGreaterThan(90)
    else expect(seen.secrets).toBe(0)
    const child = await gateways[1]!.child()
    const inbound = child.sas.find((sa) => sa.direction === 'inbound')
    expect(inbound?.packets).toBeGreaterThan(1000)
    for (const gateway of gateways) expect((await gateway.status()).drops['bad-icv'] ?? 0).toBe(0)
  }

  test.each([...tunnels, ...transports, ...others])('$name', ({ name: _, kind, readable, ...settings }) =>
    carries(settings, kind, readable),
  )
})
