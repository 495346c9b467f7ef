import { describe, expect, test } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import { parseIkeProposal } from '../../src/ike/proposals.js'
import { convergence, twoIkes } from './ike-ends.js'

describe('keys for a key log', () => {
  test('both ends tell the same key of an IKE SA, once, and no log line has it', () => {
    const ends = twoIkes({ config: { dynamicPsk: 'hardened' } })
    const { network, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(convergence(ends)).toEqual([])
    const [keys, ...more] = a.env.keys
    expect(more).toEqual([])
    expect(b.env.keys).toEqual([keys])
    expect(keys).toMatchObject({ version: 1 })
    const { initiatorSpi, encryptionKey } = keys as { initiatorSpi: Uint8Array; encryptionKey: Uint8Array }
    // The cookie is what the messages begin with, the key that of aes128.
    expect(hex(network.sent.at(-1)!.message.subarray(0, 8))).toBe(hex(initiatorSpi))
    expect(encryptionKey).toHaveLength(16)
    for (const { env } of [a, b]) expect(env.logged(hex(encryptionKey))).toBe(false)
  })

  test('each of an exchange that fails, too: that is when one wants to look', () => {
    const { network, a, b } = twoIkes({
      config: { dynamicPsk: 'off' },
      b: { key: new Uint8Array(32).fill(9) },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(5_000)
    expect(a.env.keys).toHaveLength(1)
    expect(b.env.keys).toHaveLength(1)
    expect(a.env.keys).not.toEqual(b.env.keys)
  })

  test('IKEv2: both directions, and again for an IKE SA that takes the place of another', () => {
    const { network, a, b } = twoIkes({ config: { version: 2, dynamicPsk: 'off' } })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    a.ike.rekey(network.now, 'b')
    network.runFor(500)
    expect(a.env.keys).toHaveLength(2)
    expect(b.env.keys).toEqual(a.env.keys)
    expect(a.env.keys[0]).toMatchObject({ version: 2, encryption: 12, integrity: 12 })
    const { responderSpi, ei } = a.env.keys[1] as { responderSpi: Uint8Array; ei: Uint8Array }
    expect(a.peer.ikeSas[0]!.responderSpi).toBe(hex(responderSpi))
    expect(ei).toHaveLength(16)
    for (const { env } of [a, b]) expect(env.logged(hex(ei))).toBe(false)
  })

  test('a second key exchange: the keys before it, and those behind it', () => {
    const proposals = [parseIkeProposal('aes128gcm16-prfsha256-x25519-ke1_mlkem768')]
    const { network, a, b } = twoIkes({ config: { version: 2, dynamicPsk: 'off', proposals } })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(a.env.keys).toMatchObject([
      { version: 2, interim: true },
      { version: 2, interim: false },
    ])
    expect(b.env.keys).toEqual(a.env.keys)
    const [before, behind] = a.env.keys as { initiatorSpi: Uint8Array; ei: Uint8Array }[]
    expect(hex(before!.initiatorSpi)).toBe(hex(behind!.initiatorSpi))
    expect(hex(before!.ei)).not.toBe(hex(behind!.ei))
  })
})
