import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'

const why = whyNoLab({ tun: true })
const { a, b } = ADDRESSES

describe.skipIf(why !== undefined)('start and end', () => {
  let lab: Lab

  beforeEach(async () => {
    lab = await Lab.create()
  })
  afterEach(() => lab.close())

  /** Of `count` pings, how many were answered. */
  function answered(side: Side, from: string, to: string, count = 3): number {
    const argv = [
      'netns',
      'exec',
      lab.namespace(side),
      'ping',
      '-c',
      String(count),
      '-i',
      '0.2',
      '-W',
      '1',
      '-I',
      from,
      to,
    ]
    const { stdout } = spawnSync('ip', argv, { encoding: 'utf8' })
    return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0)
  }

  test('the first packet waits for the SAs, and none is lost', async () => {
    const gateways = await Gateway.pair(lab)
    expect(answered('a', a.inner4, b.inner4)).toBe(3)
    for (const gateway of gateways) expect(await gateway.stop()).toBe(0)
  })

  test('plaintext from the wire for a protected address is refused', { timeout: 60_000 }, async () => {
    const [mine, theirs] = await Gateway.pair(lab)
    expect(answered('a', a.inner4, b.inner4)).toBe(3)
    // The attacker speaks for dom0-a, past any gateway.
    await mine.stop()
    lab.exec('a', 'ip', 'address', 'add', `${a.inner4}/32`, 'dev', 'lo')
    lab.exec('a', 'ip', 'route', 'add', b.inner4, 'via', b.v4, 'src', a.inner4)
    const before = (await theirs.status()).counters.tunReadPackets
    expect(answered('a', a.inner4, b.inner4)).toBe(0)
    // Not even an answer was tried.
    expect((await theirs.status()).counters.tunReadPackets).toBe(before)
  })

  test('down ends a running gateway and leaves nothing', { timeout: 60_000 }, async () => {
    const [mine] = await Gateway.pair(lab, { child: { start: 'start' } })
    expect(mine.cli('down').status).toBe(0)
    await mine.stop()
    expect(lab.exec('a', 'ip', 'route')).not.toContain('10.88')
    expect(lab.exec('a', 'ip', '-o', 'link')).not.toContain('sally0')
    expect(lab.exec('a', 'ip', 'rule')).not.toContain('fwmark')
  })
})
