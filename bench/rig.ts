import { setTimeout as sleep } from 'node:timers/promises'
import { TwoHosts } from '../test/lab/two-hosts.js'
import { type Contender, PROTECTED } from './contenders.js'

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
      const hosts = new TwoHosts({ mtu: o.mtu })
      try {
        await contender.connect(hosts)
        const gbits = await oneStream(hosts, o.seconds)
        results.set(contender.name, [...(results.get(contender.name) ?? []), gbits])
        o.told(`round ${round + 1}: ${contender.name} ${gbits.toFixed(2)} Gbit/s`)
      } catch (error) {
        absent.set(contender.name, (error as Error).message)
      } finally {
        await hosts.close()
      }
    }
  return contenders.map(({ name }) => {
    const gbits = results.get(name) ?? []
    const why = absent.get(name)
    return { name, gbits, median: median(gbits), ...(why !== undefined && { absent: why }) }
  })
}

async function oneStream(hosts: TwoHosts, seconds: number): Promise<number> {
  hosts.start('b', 'iperf3.log', 'iperf3', '-s', '-1')
  await sleep(400)
  const args = ['-B', PROTECTED.a, '-c', PROTECTED.b, '-t', String(seconds), '-J']
  const report = JSON.parse(hosts.run('a', 'iperf3', ...args)) as {
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
