import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { addAddresses, HUB, sallyportConfig, spoke } from '../../bench/ike/setup.js'
import { IKE_SUBJECTS } from '../../bench/ike/subjects.js'
import { Gateway } from '../lab/gateway.js'
import { Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'

const why = whyNoLab({ tun: true, programs: ['nft', 'ping'] })
const PEERS = 1000
const [FIRST, LAST] = [spoke(1), spoke(PEERS)]

describe.skipIf(why !== undefined)('a thousand peers', () => {
  let lab: Lab

  beforeEach(async () => {
    lab = await Lab.create({ wire: 'cable' })
    // Those of the hub and of one peer; the others are never there.
    addAddresses(lab, 1)
  })
  afterEach(() => lab.close())

  /** Exit status of one ping from the hub: 0 when it is answered. */
  const answered = (address: string): boolean => {
    try {
      lab.exec('b', 'ping', '-c', '1', '-W', '1', '-I', '10.99.0.1', address)
      return true
    } catch {
      return false
    }
  }
  const tables = (): string => lab.exec('b', 'nft', 'list', 'ruleset')
  const ours = (): string[] =>
    lab
      .exec('b', 'ip', 'route', 'show', 'table', 'all')
      .split('\n')
      .filter((line) => line.includes('proto 90'))

  test('start, are refused in plaintext, and go without a trace', async () => {
    lab.exec('a', 'ip', 'address', 'add', `${LAST.inner}/32`, 'dev', 'lo')
    lab.exec('a', 'ip', 'route', 'add', '10.99.0.1/32', 'via', HUB)
    for (const { inner } of [FIRST, LAST]) {
      lab.exec('b', 'ip', 'route', 'add', `${inner}/32`, 'via', FIRST.address, 'metric', '77')
      // So it is without a gateway.
      expect(answered(inner)).toBe(true)
    }
    const hub = await Gateway.start(lab, 'b', sallyportConfig(lab, 'b', IKE_SUBJECTS[0]!, PEERS))
    expect((await hub.status()).peers).toHaveLength(PEERS)
    const listed = lab.exec('b', 'nft', 'list', 'table', 'inet', 'sallyport-sally0')
    for (const i of [1, PEERS]) expect(listed).toContain(`comment "host-${i}.child-${i}: `)
    expect(ours()).toHaveLength(2 * PEERS)
    for (const { inner } of [FIRST, LAST]) {
      // Somebody takes our route away, and there is another one.
      lab.exec('b', 'ip', 'route', 'delete', `${inner}/32`, 'dev', 'sally0')
      expect(answered(inner)).toBe(false)
    }
    const dropped = lab.exec('b', 'nft', 'list', 'chain', 'inet', 'sallyport-sally0', 'own-out')
    expect(dropped.match(/counter packets 1 .*comment "host-(1|1000)\.child-/g)).toHaveLength(2)

    expect(hub.cli('down')).toMatchObject({ status: 0 })
    await hub.stop()
    expect([tables(), ours()]).toEqual(['', []])
    for (const { inner } of [FIRST, LAST]) expect(answered(inner)).toBe(true)
  }, 120_000)
})
