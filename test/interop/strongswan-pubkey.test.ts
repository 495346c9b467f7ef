import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { formatIdentityFile, identityOf, pemOf, signingKey } from '../../src/ike/host-identity.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, strongswanVersion } from './peers/strongswan.js'
import { type StrongswanSettings, strongswanLab } from './strongswan-tunnel.js'
import { ikeSas, type SallyportSettings, type Tunnel } from './tunnel.js'

// Raw public keys (RFC 7427, RFC 8420) with strongSwan: Ed25519 keys that each end has of the other.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const TUNNEL: Tunnel = {
  ...{ version: 2, encapsulation: 'udp' },
  ...{ ike: 'aes128gcm16-prfsha256-x25519', child: 'aes128gcm16-x25519' },
}
const THEIRS: StrongswanSettings = {
  auth: [
    'auth = pubkey\n id = dom0-b.example\n pubkeys = own.pem',
    'auth = pubkey\n id = dom0-a.example\n pubkeys = peer.pem',
  ],
}

describe.skipIf(missing !== undefined)(
  `strongSwan ${missing ? '' : strongswanVersion()}, public keys`,
  () => {
    const lab = strongswanLab()
    /** The line of strongSwan's public key in PEM. */
    let line: string

    beforeEach(() => {
      const seed = new Uint8Array(32).fill(5)
      lab.lab.file('a.identity', formatIdentityFile(seed))
      const { publicKey, privateKey } = generateKeyPairSync('ed25519')
      const own = publicKey.export({ format: 'pem', type: 'spki' }) as string
      line = own.split('\n')[1]!
      for (const [folder, name, content] of [
        ['private', 'own.pem', privateKey.export({ format: 'pem', type: 'pkcs8' })],
        ['pubkey', 'own.pem', own],
        ['pubkey', 'peer.pem', pemOf(signingKey(identityOf(seed).publicKey))],
      ] as const) {
        mkdirSync(join(lab.lab.path('charon'), folder), { recursive: true })
        writeFileSync(join(lab.lab.path('charon'), folder, name), content)
      }
    })

    const ours = (public_key: string): SallyportSettings => ({
      host: { id: 'dom0-a.example', identity: lab.lab.path('a.identity') },
      peer: { id: 'dom0-b.example', auth: 'pubkey', public_key, key_file: undefined },
    })

    test('either end initiates', { timeout: 60_000 }, async () => {
      const [mine, swan] = await lab.start(TUNNEL, THEIRS, ours(line))
      swan.swanctl('--initiate', '--child', 'interop')
      await lab.flows(TUNNEL)
      expect(swan.log()).toMatch(/authentication of 'dom0-a\.example' with ED25519 successful/)
      swan.swanctl('--terminate', '--ike', 'interop')
      await mine.until('ended', (s) => ikeSas(s) === 0)
      await lab.flows(TUNNEL)
      const [peer] = (await mine.status()).peers
      expect(peer).toMatchObject({ auth: 'pubkey', ike: { sas: [{ initiator: true }] } })
      expect(swan.log().match(/authentication of 'dom0-a\.example' with ED25519 successful/g)).toHaveLength(2)
    })

    test('another key of strongSwan’s: refused', { timeout: 60_000 }, async () => {
      const other = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' })
      const [mine, swan] = await lab.start(TUNNEL, THEIRS, ours(other.toString('base64')))
      expect(() => swan.swanctl('--initiate', '--child', 'interop', '--timeout', '5')).toThrow()
      const [peer] = (await mine.status()).peers
      expect(peer!.ike!.lastError).toMatch(/AUTH does not verify: its signature is not made with the key/)
      expect(peer!.ike!.sas).toEqual([])
    })
  },
)
