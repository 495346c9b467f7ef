import { setTimeout as sleep } from 'node:timers/promises'
import { ADDRESSES, Lab } from '../test/lab/lab.js'
import type { Contender } from './contenders.js'

export interface RigRow {
  readonly name: string
  /** Gbit/s of each round, in order. */
  readonly gbits: readonly number[]
  readonly median: number
  /** Why it did not take part. */
  readonly absent?: string
}

export interface RigOptions {
  readonly rounds: number
  readonly seconds: number
  readonly mtu: number
  told(line: string): void
}

/**
 * One TCP stream (iperf3) through each contender, in turn and `rounds` times, so that a machine whose speed drifts is the
 * same to all of them.
 */
export async function throughput(contenders: readonly Contender[], o: RigOptions): Promise<RigRow[]> {
  const results = new Map<string, number[]>()
  const absent = new Map<string, string>()
  for (let round = 0; round < o.rounds; round++)
    for (const contender of contenders) {
      const missing = absent.get(contender.name) ?? contender.missing()
      if (missing) {
        absent.set(contender.name, missing)
        continue
      }
      const lab = await Lab.create({ wire: 'cable', mtu: o.mtu })
      try {
        await contender.connect(lab)
        const gbits = await oneStream(lab, o.seconds)
        results.set(contender.name, [...(results.get(contender.name) ?? []), gbits])
        o.told(`round ${round + 1}: ${contender.name} ${gbits.toFixed(2)} Gbit/s`)
      } catch (error) {
        absent.set(contender.name, (error as Error).message)
      } finally {
        lab.close()
      }
    }
  return contenders.map(({ name }) => {
    const gbits = results.get(name) ?? []
    const why = absent.get(name)
    return { name, gbits, median: median(gbits), ...(why !== undefined && { absent: why }) }
  })
}

async function oneStream(lab: Lab, seconds: number): Promise<number> {
  lab.spawn('b', 'iperf3', ['-s', '-1'], { stdio: 'ignore' })
  await sleep(400)
  const args = ['-B', ADDRESSES.a.inner4, '-c', ADDRESSES.b.inner4, '-t', String(seconds), '-J']
  const report = JSON.parse(lab.exec('a', 'iperf3', ...args)) as {
    end: { sum_received: { bits_per_second: number } }
  }
  return report.end.sum_received.bits_per_second / 1e9
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
