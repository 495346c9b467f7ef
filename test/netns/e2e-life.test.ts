import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { udpProbe } from '../lab/udp-probe.js'

const why = whyNoLab({ tun: true })
const { a, b } = ADDRESSES

describe.skipIf(why !== undefined)('start and end', () => {
  let lab: Lab

  beforeEach(async () => {
    lab = await Lab.create()
  })
  afterEach(() => lab.close())

  /** Sends a few datagrams from dom0-a to dom0-b's protected address. */
  const probe = () => udpProbe(lab, { from: a.inner4, to: b.inner4, rate: 40, seconds: 0.5 })

  test('the first packet waits for the SAs, and none is lost', async () => {
    const gateways = await Gateway.pair(lab)
    // Eight packets of a policy wait: slow enough that a busy machine has its SAs by then.
    const slow = await udpProbe(lab, { from: a.inner4, to: b.inner4, rate: 8, seconds: 1.25 })
    expect(slow).toMatchObject({ sent: 10, received: 10, duplicates: 0, reordered: 0 })
    for (const gateway of gateways) expect(await gateway.stop()).toBe(0)
  })

  test('plaintext from the wire for a protected address is refused', async () => {
    const [mine, theirs] = await Gateway.pair(lab)
    expect(await probe()).toMatchObject({ received: 20 })
    // The attacker speaks for dom0-a, past any gateway.
    await mine.stop()
    lab.exec('a', 'ip', 'address', 'add', `${a.inner4}/32`, 'dev', 'lo')
    lab.exec('a', 'ip', 'route', 'add', b.inner4, 'via', b.v4, 'src', a.inner4)
    const before = (await theirs.status()).counters.tunReadPackets
    await lab.wire.watch()
    expect(await probe()).toMatchObject({ sent: 20, received: 0 })
    const { frames } = await lab.wire.report()
    expect(frames.udp).toBeGreaterThanOrEqual(20)
    // Not even an answer was tried.
    expect((await theirs.status()).counters.tunReadPackets).toBe(before)
    expect(frames.icmp ?? 0).toBe(0)
  }, 30_000)

  test('down ends a running gateway and leaves nothing', { timeout: 60_000 }, async () => {
    const [mine] = await Gateway.pair(lab, { child: { start: 'start' } })
    expect(mine.cli('down').status).toBe(0)
    await mine.stop()
    expect(lab.exec('a', 'ip', 'route')).not.toContain('10.88')
    expect(lab.exec('a', 'ip', '-o', 'link')).not.toContain('sally0')
    expect(lab.exec('a', 'ip', 'rule')).not.toContain('fwmark')
  })
})
