import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { libreswanLab, ROWS } from './libreswan-tunnel.js'
import { libreswanVersion, missingLibreswan } from './peers/libreswan.js'
import { agree } from './recorded-tunnel.js'
import { ikeSas, ikeSpiOf, knock, of, one, type Row, spiOf, whole } from './tunnel.js'

// libreswan, with an SA of each version: renewals, Deletes, crashes, fragments, a post-quantum preshared key.

const missing = whyNoLab({ tun: true }) ?? missingLibreswan()
if (missing) console.log(`skipped, needs libreswan and network namespaces: ${missing}`)

describe.skipIf(missing !== undefined)(`libreswan ${missing ? '' : libreswanVersion()}, its life`, () => {
  const lab = libreswanLab()

  describe.each([ROWS.find((row) => row.version === 2)!, ROWS.find((row) => row.version === 1)!])(
    'IKEv$version',
    (row) => {
      const t = of(row)

      test('we renew both', { timeout: 60_000 }, async () => {
        const [mine] = await lab.start(row)
        knock(lab.lab, t)
        const { peers } = await mine.until('up', whole)
        await mine.rekey('interop')
        await mine.until('with another pair', (s) => spiOf(s) !== spiOf({ peers }))
        await mine.rekeyIke('other')
        await mine.until('renewed', (s) => one(s) && ikeSpiOf(s) !== ikeSpiOf({ peers }))
        const second = spiOf(await mine.status())
        await mine.rekey('interop')
        await mine.until('with another pair', (s) => spiOf(s) !== second)
        expect(await agree(lab.lab, t)).toBeGreaterThanOrEqual(6)
      })

      test('it renews both', { timeout: 60_000 }, async () => {
        // With IKEv1 it does so at the end of their lives alone.
        const lives = '  ikelifetime=16s\n  salifetime=12s\n  rekeymargin=6s\n  rekeyfuzz=0%\n'
        const [mine, other] = await lab.start(row, row.version === 1 ? { connection: lives } : {})
        other.whack('--initiate', '--name', 'interop')
        const { peers } = await mine.until('up', whole)
        if (row.version === 2) other.whack('--rekey-ipsec', '--name', 'interop')
        await mine.until('with another pair', (s) => spiOf(s) !== spiOf({ peers }))
        if (row.version === 2) other.whack('--rekey-ike', '--name', 'interop')
        await mine.until('renewed', (s) => one(s) && ikeSpiOf(s) !== ikeSpiOf({ peers }))
        expect(await agree(lab.lab, t)).toBeGreaterThanOrEqual(4)
      })

      const children = (): string[] =>
        [
          ...lab
            .pluto!.whack('--showstates')
            .matchAll(/#(\d+): .*(?:ESTABLISHED_CHILD_SA|IPsec SA established)/g),
        ].map((m) => m[1]!)

      test('Deletes of the CHILD_SA and of everything, by either end', { timeout: 60_000 }, async () => {
        const [mine, other] = await lab.start(row)
        knock(lab.lab, t)
        const first = await mine.until('up', whole)
        expect(children()).toHaveLength(1)
        other.whack('--deletestate', children()[0]!)
        await mine.until('without it', (s) => spiOf(s) === undefined)
        expect(ikeSpiOf(await mine.status())).toBe(ikeSpiOf(first))
        knock(lab.lab, t)
        await mine.until('up', whole)
        await mine.terminate('interop')
        for (let i = 0; i < 50 && children().length > 0; i++) await sleep(100)
        expect(children()).toEqual([])
        // With IKEv1 it gives up the IKE SA as well.
        if (row.version === 2) expect(other.whack('--showstates')).toContain('stablished')
        await mine.stop()
        for (let i = 0; i < 50 && /established/i.test(other.whack('--showstates')); i++) await sleep(100)
        expect(other.whack('--showstates')).not.toMatch(/established/i)
      })

      test('either is killed and comes back', { timeout: 90_000 }, async () => {
        const [mine, other] = await lab.start(row)
        knock(lab.lab, t)
        await mine.until('up', whole)
        other.kill9()
        await mine.until('aware of it', (s) => ikeSas(s) === 0, 40_000)
        const again = await lab.libreswan(row, {
          connection: '  dpddelay=2\n  dpdtimeout=6\n  dpdaction=clear\n  retransmit-timeout=5s\n',
        })
        knock(lab.lab, t)
        await mine.until('up', whole)
        mine.kill9()
        for (let i = 0; i < 150 && again.whack('--showstates').includes('established'); i++) await sleep(200)
        expect(again.whack('--showstates')).not.toContain('established')
        const back = await lab.sallyport(t)
        knock(lab.lab, t)
        await back.until('up', whole)
      })

      test('another key', { timeout: 60_000 }, async () => {
        const [mine, other] = await lab.start(row, {}, { secret: 'something-else-entirely' })
        knock(lab.lab, t)
        await mine.until('told', (s) => s.peers[0]!.ike?.lastError !== undefined, 40_000)
        expect(other.whack('--showstates')).not.toContain('established')
        expect(spiOf(await mine.status())).toBeUndefined()
      })

      test.each(['we', 'libreswan'])('fragments, %s initiate', { timeout: 60_000 }, async (who) => {
        // It cuts what is longer than 1200 octets or so: an offer with all that it has, as initiator.
        const ciphers = ['aes', 'camellia'].flatMap((name) => [256, 192, 128].map((bits) => `${name}${bits}`))
        const checks = ['sha2_512', 'sha2_384', 'sha2_256', 'sha1', 'aes_xcbc', 'aes_cmac']
        const offer = ciphers.flatMap((cipher) => checks.map((check) => `${cipher}-${check}-dh16`))
        const long: Row = {
          ...row,
          ike: ['aes128-sha256-modp4096', 'aes128-sha2_256-dh16'],
          child: ['aes128-sha256-modp4096', offer.join()],
        }
        const [mine, other] = await lab.start(
          long,
          { connection: '  fragmentation=force\n', setup: '  plutodebug=base\n' },
          { ike: { fragment_size: 300 } },
        )
        if (who === 'libreswan') other.whack('--initiate', '--name', 'interop')
        else knock(lab.lab, t)
        const { peers } = await mine.until('up', whole)
        await mine.rekey('interop')
        await mine.until('with another pair', (s) => spiOf(s) !== spiOf({ peers }))
        expect(await agree(lab.lab, of(long))).toBe(4)
        const log = other.log()
        if (row.version === 2) expect(log).toMatch(/received IKE encrypted fragment number '2', total number/)
        // Main Mode's message with the public value, and the Quick Modes'.
        else expect(log.match(/received IKE fragment id '\d+', number '2'/g)?.length).toBeGreaterThan(1)
        if (who === 'we') return
        if (row.version === 2) expect(log).toContain('emitting length of IKEv2 Encrypted Fragment')
        else expect(log.match(/sending \d+ bytes for reply packet from quick_outI1/g)).toHaveLength(2)
      })
    },
  )

  const V2 = ROWS.find((row) => row.version === 2)!

  test.each(['we', 'libreswan'])('PPK, %s initiate', { timeout: 60_000 }, async (who) => {
    const text = 'a-post-quantum-preshared-key-of-forty-octets'
    const key_file = lab.lab.file('pair.ppk', `0x${Buffer.from(text).toString('hex')}\n`)
    const [mine, other] = await lab.start(
      V2,
      { connection: '  ppk=insist\n', secrets: [`%any : PPKS "pair" "${text}"`] },
      { peer: { ppk: { id: 'pair', key_file, required: true } } },
    )
    if (who === 'libreswan') other.whack('--initiate', '--name', 'interop')
    else knock(lab.lab, of(V2))
    const first = await mine.until('up', whole)
    await mine.rekeyIke('other')
    await mine.until('with another IKE SA', (s) => ikeSpiOf(s) !== ikeSpiOf(first))
    await mine.rekey('interop')
    await mine.until('with another pair', (s) => spiOf(s) !== spiOf(first))
    expect(await agree(lab.lab, of(V2))).toBe(4)
    expect(other.log()).toContain(`PPK AUTH calculated as ${who === 'we' ? 'responder' : 'initiator'}`)
  })
})
