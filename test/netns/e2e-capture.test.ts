import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { TRANSFER_PORT, transferImage } from '../lab/transfer.js'

const why = whyNoLab({ tun: true, programs: ['tshark'] })
if (why) console.log(`captures read by tshark: ${why}`)

describe.skipIf(why !== undefined)('captures of the wire, read by tshark', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterAll(() => lab.close())

  /** Lines of tshark's fields, one a frame that the filter takes. */
  function tshark(file: string, filter: string, ...fields: string[]): string[] {
    const args = ['-n', '-r', file, '-Y', filter, '-T', 'fields', ...fields.flatMap((f) => ['-e', f])]
    // Checksums are whole as offloads are off. What AH leaves readable is a random image: no protocol is to be guessed in it.
    const image = ['-d', `tcp.port==${TRANSFER_PORT},data`]
    const r = spawnSync(
      'tshark',
      ['-o', 'tcp.check_checksum:TRUE', '-o', 'udp.check_checksum:TRUE', ...image, ...args],
      {
        encoding: 'utf8',
        maxBuffer: 1 << 27,
      },
    )
    if (r.status !== 0) throw new Error(r.stderr)
    return r.stdout.split('\n').filter((line) => line !== '')
  }

  const shapes: [string, GatewaySettings, string][] = [
    ['ESP', { peer: { encapsulation: 'raw' } }, 'esp'],
    ['ESP, IKEv1', { peer: { encapsulation: 'raw' }, ike: { version: 1 } }, 'esp'],
    ['ESP over IPv6', { outer: 6, inner: 6, peer: { encapsulation: 'raw' } }, 'esp'],
    ['ESP in UDP', { peer: { encapsulation: 'udp' } }, 'udpencap && esp'],
    [
      'AH',
      { transparent: true, child: { protocol: 'ah', mode: 'transport', proposals: ['sha256'] } },
      'ah && tcp',
    ],
    [
      'AH over IPv6',
      { outer: 6, inner: 4, child: { protocol: 'ah', mode: 'tunnel', proposals: ['sha256'] } },
      'ah && tcp',
    ],
  ]

  test.each(shapes)(
    '%s',
    async (name, settings, filter) => {
      const file = lab.path(`${name.replaceAll(' ', '-')}.pcapng`)
      await lab.wire.watch({ capture: file })
      const gateways = await Gateway.pair(lab, settings)
      const outer = settings.outer === 6 ? 'v6' : 'v4'
      const which = settings.transparent ? outer : settings.inner === 6 ? 'inner6' : 'inner4'
      const [from, to] = [ADDRESSES.a[which], ADDRESSES.b[which]]
      await transferImage(lab, { from, to, octets: 1 << 20 })
      await Promise.all(gateways.map((gateway) => gateway.stop()))
      const report = await lab.wire.report()
      await lab.wire.watch()

      const all = tshark(file, 'frame', 'frame.number', 'frame.time_epoch')
      expect(all).toHaveLength(report.captured)
      expect(report.notCaptured).toBe(0)
      expect(tshark(file, '_ws.malformed || _ws.short', 'frame.number')).toEqual([])
      expect(tshark(file, '_ws.expert.severity == "Error"', 'frame.number', '_ws.expert.message')).toEqual([])
      expect(tshark(file, filter, 'frame.number').length).toBeGreaterThan(500)
      // The pre-phase is ISAKMP of an exchange type that is nobody's; IKE is what it looks like.
      expect(tshark(file, 'isakmp.exchangetype == 241', 'frame.number')).toHaveLength(4)
      const exchanges =
        settings.ike?.version === 1
          ? [[2, 6] as const, [32, 3] as const]
          : [[34, 2] as const, [35, 2] as const]
      for (const [type, messages] of exchanges)
        expect(tshark(file, `isakmp.exchangetype == ${type}`, 'frame.number')).toHaveLength(messages)
      const now = Date.now() / 1000
      const times = all.map((line) => Number(line.split('\t')[1]))
      expect(Math.min(...times)).toBeGreaterThan(now - 60)
      expect(Math.max(...times)).toBeLessThan(now + 1)
    },
    30_000,
  )
})
