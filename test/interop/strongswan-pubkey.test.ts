import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { formatIdentityFile, identityOf, pemOf, signingKey } from '../../src/ike/host-identity.js'
import { controlSocket, Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, Strongswan, strongswanVersion } from './peers/strongswan.js'

// Raw public keys (RFC 7427, RFC 8420) with strongSwan: Ed25519 keys that each end has of the other.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const [A, B] = [ADDRESSES.a.v4, ADDRESSES.b.v4]
const OURS = ADDRESSES.a.inner4
const THEIRS = ADDRESSES.b.inner4
const IKE = 'aes128gcm16-prfsha256-x25519'
const ESP = 'aes128gcm16-x25519'

/** @param key the line of strongSwan's public key in PEM */
const ours = (lab: Lab, key: string): string => `
host: { id: dom0-a.example, identity: ${lab.path('a.identity')}, state: ${lab.path('a.state')}, control: ${controlSocket(lab, 'a')} }
log: { level: debug, format: json }
tun: { name: sally0, addresses: [${OURS}/32] }
peers:
  strongswan:
    id: dom0-b.example
    local: ${A}
    remote: ${B}
    auth: pubkey
    public_key: ${key}
    dynamic_psk: off
    encapsulation: udp
    ike: { version: 2, proposals: [${IKE}] }
    children:
      interop: { local: [${OURS}/32], remote: [${THEIRS}/32], proposals: [${ESP}] }
`

const THEIRS_CONF = `
connections { interop {
  version = 2
  local_addrs = ${B}
  remote_addrs = ${A}
  encap = yes
  proposals = ${IKE}
  local { auth = pubkey\n id = dom0-b.example\n pubkeys = own.pem }
  remote { auth = pubkey\n id = dom0-a.example\n pubkeys = peer.pem }
  children { interop { local_ts = ${THEIRS}/32\n remote_ts = ${OURS}/32\n esp_proposals = ${ESP} } }
} }
`

describe.skipIf(missing !== undefined)(
  `strongSwan ${missing ? '' : strongswanVersion()}, public keys`,
  () => {
    let lab: Lab
    let gateway: Gateway | undefined
    let charon: Strongswan | undefined
    /** The line of strongSwan's public key. */
    let line: string

    beforeEach(async () => {
      lab = await Lab.create({ wire: 'cable' })
      lab.exec('b', 'ip', 'address', 'add', `${THEIRS}/32`, 'dev', 'lo')
      const seed = new Uint8Array(32).fill(5)
      lab.file('a.identity', formatIdentityFile(seed))
      const { publicKey, privateKey } = generateKeyPairSync('ed25519')
      const own = publicKey.export({ format: 'pem', type: 'spki' }) as string
      line = own.split('\n')[1]!
      for (const [folder, name, content] of [
        ['private', 'own.pem', privateKey.export({ format: 'pem', type: 'pkcs8' })],
        ['pubkey', 'own.pem', own],
        ['pubkey', 'peer.pem', pemOf(signingKey(identityOf(seed).publicKey))],
      ] as const) {
        mkdirSync(join(lab.path('charon'), folder), { recursive: true })
        writeFileSync(join(lab.path('charon'), folder, name), content)
      }
    })

    afterEach(async () => {
      await gateway?.stop()
      await charon?.stop()
      gateway = undefined
      charon = undefined
      lab.close()
    })

    const ping = (side: Side, from: string, to: string): string =>
      lab.exec(side, 'ping', '-c', '2', '-i', '0.2', '-W', '3', '-I', from, to)

    test('either end initiates', { timeout: 60_000 }, async () => {
      charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), THEIRS_CONF)
      gateway = await Gateway.start(lab, 'a', ours(lab, line))
      charon.swanctl('--initiate', '--child', 'interop')
      expect(ping('a', OURS, THEIRS)).toContain(' 0% packet loss')
      expect(charon.log()).toMatch(/authentication of 'dom0-a\.example' with ED25519 successful/)
      charon.swanctl('--terminate', '--ike', 'interop')
      await gateway.until('ended', (status) => status.peers[0]!.ike!.sas.length === 0)
      expect(ping('a', OURS, THEIRS)).toContain(' 0% packet loss')
      expect(ping('b', THEIRS, OURS)).toContain(' 0% packet loss')
      const [peer] = (await gateway.status()).peers
      expect(peer).toMatchObject({ auth: 'pubkey', ike: { sas: [{ initiator: true }] } })
      expect(charon.log().match(/authentication of 'dom0-a\.example' with ED25519 successful/g)).toHaveLength(
        2,
      )
    })

    test('another key of strongSwan’s: refused', { timeout: 60_000 }, async () => {
      const other = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' })
      charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), THEIRS_CONF)
      gateway = await Gateway.start(lab, 'a', ours(lab, other.toString('base64')))
      expect(() => charon!.swanctl('--initiate', '--child', 'interop', '--timeout', '5')).toThrow()
      const [peer] = (await gateway.status()).peers
      expect(peer!.ike!.lastError).toMatch(/AUTH does not verify: its signature is not made with the key/)
      expect(peer!.ike!.sas).toEqual([])
    })
  },
)
