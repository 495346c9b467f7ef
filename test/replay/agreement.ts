import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Scene } from './scenes.js'
import { tsharkIke, tsharkInner } from './tshark.js'

/**
 * tshark with the key log finds in a capture what replay finds, octet for octet, and reads the IKE messages.
 * @param packets what replay made of the capture
 */
export function expectTsharkAgrees(
  scene: Scene,
  wire: string,
  keys: string,
  packets: readonly Buffer[],
): void {
  const esn = readFileSync(join(keys, 'sallyport_sa'), 'utf8').includes('esn=yes')
  if (scene.tshark) {
    // In transport mode what is inside of ESP is the packet without its IPv4 header.
    const hidden = scene.settings.child?.mode === 'transport' ? 20 : 0
    expect(tsharkInner(wire, keys, !esn)).toEqual(packets.map((p) => p.subarray(hidden).toString('hex')))
  }
  if (scene.manual !== undefined) return
  const ike = tsharkIke(wire, keys)
  // Main Mode: identity and hash. Quick Mode: hash, SA, proposal, transform, nonce, identities.
  expect(ike.slice(0, 2)).toEqual([expect.stringMatching(/^2 5,8/), expect.stringMatching(/^2 5,8/)])
  expect(ike.find((line) => line.startsWith('32'))).toMatch(/^32 8,1,2,3.*,10.*,5,5$/)
}
