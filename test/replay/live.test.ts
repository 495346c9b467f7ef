import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { expectTsharkAgrees } from './agreement.js'
import { bySource, CAPTURES, replayed, writeArrived } from './captured.js'
import { record, SCENES, whyNoScene } from './scenes.js'
import { whyNoTshark } from './tshark.js'

// Live gateways with the key log on: a replay of the wire is what arrived. SALLYPORT_RECORD=1 writes the captures of
// recorded.test.ts anew.

const why = whyNoLab({ tun: true, programs: ['tcpdump'] })
if (why) console.log(`live traffic replayed: ${why}`)
const noTshark = whyNoTshark()
const recording = process.env.SALLYPORT_RECORD === '1'

describe.skipIf(why !== undefined)('live traffic, replayed', () => {
  let temporary: string
  beforeAll(() => {
    temporary = mkdtempSync(join(tmpdir(), 'sallyport-replay-'))
  })
  afterAll(() => rmSync(temporary, { recursive: true }))

  for (const scene of SCENES) {
    const missing = whyNoScene(scene)
    if (missing) console.log(`${scene.name}: skipped, ${missing}`)
    test.skipIf(missing !== undefined)(scene.name, { timeout: 60_000 }, async () => {
      const folder = join(recording ? CAPTURES : temporary, scene.name)
      const { wire, keys, sent, arrived } = await record(scene, folder)
      if (recording) {
        writeArrived(join(folder, 'arrived.pcapng'), arrived)
        if (!scene.counted) rmSync(sent)
      }
      const expected = bySource(arrived.map((p) => p.octets))
      expect(Object.values(expected).map((list) => list.length >= 5)).toEqual([true, true])
      const { packets } = replayed(wire, keys, join(temporary, 'out.pcapng'))
      expect(bySource(packets)).toEqual(expected)
      if (noTshark === undefined) expectTsharkAgrees(scene, wire, keys, packets)
      expect(readFileSync(wire).length).toBeLessThan(100_000)
    })
  }
})
