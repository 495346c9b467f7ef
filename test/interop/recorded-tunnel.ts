import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import { encryptionInfo, integrityInfo } from '../../src/crypto/algorithms.js'
import { readKeySource } from '../../src/replay/keys/key-source.js'
import type { KeyedSa } from '../../src/replay/keys/keyed-sa.js'
import { formatIp } from '../../src/wire/ip-address.js'
import { formatSelector } from '../../src/wire/traffic-selector.js'
import { keyLogOf } from '../lab/gateway.js'
import type { Lab } from '../lab/lab.js'
import { type RecordedSa, recordedSas } from './peers/recorded-sas.js'
import { outerOf, type Tunnel } from './tunnel.js'

// A tunnel between sallyport and a daemon whose SAs are recorded: whether both have the same.

/** File of a lab that the daemon's SAs are recorded in. */
export const recordOf = (lab: Lab): string => lab.path('sadb')

/**
 * Expects that all SAs of sallyport's are the peer's as well: SPI, protocol, mode, encapsulation, addresses and so the direction,
 * algorithms, keys, length of the ICV, extended sequence numbers and selectors, the last three as far as the daemon tells its
 * kernel. Gives their number.
 * @param natted the peer sees us, or we see it, at another address
 */
export async function agree(lab: Lab, t: Tunnel, natted = false): Promise<number> {
  // The last message of an exchange may be on its way.
  await sleep(300)
  const theirs = recordedSas(recordOf(lab))
  const { sas } = readKeySource(keyLogOf(lab, 'keys', 'a'))
  expect(sas.length).toBeGreaterThanOrEqual(2)
  for (const sa of sas) expectSame(sa, theirs.filter((s) => s.spi === sa.spi).at(-1), t, natted)
  return sas.length
}

function expectSame(sa: KeyedSa, his: RecordedSa | undefined, t: Tunnel, natted: boolean): void {
  const { protocol = 'esp', mode = 'tunnel', encapsulation = 'raw' } = t
  expect(sa).toMatchObject({ protocol, mode })
  const ends = { source: formatIp(sa.source!), destination: formatIp(sa.destination!) }
  const udp = encapsulation === 'udp' || natted
  expect(his).toMatchObject({
    ...{ protocol, mode },
    ...(natted ? {} : ends),
    encryption: sa.encryption?.id ?? 0,
    integrity: sa.integrity?.id ?? 0,
    encryptionKey: hex(sa.encryption?.key ?? new Uint8Array(0)),
    integrityKey: hex(sa.integrity?.key ?? new Uint8Array(0)),
  })
  expect(his?.udp !== undefined).toBe(udp)
  if (udp && !natted) expect(his?.udp).toEqual(sa.udp)
  const icv = sa.integrity
    ? integrityInfo(sa.integrity.id)?.icvLength
    : encryptionInfo(sa.encryption!.id)?.icvLength
  if (his?.icv !== undefined) expect(his.icv).toBe(icv)
  if (his?.esn !== undefined) expect(his.esn).toBe(sa.esn)
  // Those that it receives by. The length is each end's own affair.
  if (ends.destination === outerOf(t)[1] && !natted) expect(his?.replayWindow).toBeGreaterThanOrEqual(32)
  if (his?.selectors !== undefined)
    expect(his.selectors).toEqual([sa.sourceTs, sa.destinationTs].map((ts) => ts?.map(formatSelector).join()))
}
