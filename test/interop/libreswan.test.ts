import { describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { libreswanLab, ROWS } from './libreswan-tunnel.js'
import { libreswanVersion, missingLibreswan } from './peers/libreswan.js'
import { agree } from './recorded-tunnel.js'
import { ikeSas, knock, nameOf, of, whole } from './tunnel.js'

// libreswan: both versions with a pre-shared key. Its SAs are recorded, as the kernel here has no IPsec for it, and held against
// ours.

const missing = whyNoLab({ tun: true }) ?? missingLibreswan()
if (missing) console.log(`skipped, needs libreswan and network namespaces: ${missing}`)

describe.skipIf(missing !== undefined)(`libreswan ${missing ? '' : libreswanVersion()}`, () => {
  const lab = libreswanLab()

  test.each(ROWS.map((row) => [nameOf(of(row)), row] as const))(
    '%s: either end initiates',
    { timeout: 60_000 },
    async (_, row) => {
      const [mine, other] = await lab.start(row)
      const t = of(row)
      knock(lab.lab, t)
      await mine.until('up', whole)
      expect(await agree(lab.lab, t)).toBe(2)
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([
        { version: row.version, initiator: true },
      ])
      other.whack('--terminate', '--name', 'interop')
      await mine.until('ended', (s) => ikeSas(s) === 0)
      other.whack('--initiate', '--name', 'interop')
      await mine.until('up', whole)
      expect(await agree(lab.lab, t)).toBe(4)
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([
        { version: row.version, initiator: false },
      ])
    },
  )
})
