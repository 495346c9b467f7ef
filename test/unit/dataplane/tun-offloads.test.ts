import { expect, test } from 'vitest'
import type { FromLane } from '../../../src/dataplane/messages.js'
import { FAULTS_MAX } from '../../../src/dataplane/offload-watch.js'
import { TunOffloads } from '../../../src/dataplane/tun-offloads.js'
import {
  TUN_F_CSUM,
  TUN_F_TSO_ECN,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
} from '../../../src/ffi/layout/ifreq.js'

const TSO = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN
const USO = TSO | TUN_F_USO4 | TUN_F_USO6

/** On a device that grants nothing any more. */
function scene(bits: number) {
  const told: FromLane[] = []
  const offloads = new TunOffloads(-1, bits, (m) => told.push(m))
  const fail = (times: number): void => {
    for (let i = 0; i < times; i++) offloads.failed()
  }
  return { offloads, told, fail }
}

const lost = (feature: string) => expect.objectContaining({ op: 'stepBack', feature, tunOffloads: 0 })

test('after a few packets in a row that make no sense one rung is given up, and told', () => {
  const { offloads, told, fail } = scene(USO)
  fail(FAULTS_MAX - 1)
  offloads.succeeded()
  fail(FAULTS_MAX - 1)
  expect(told).toEqual([])
  fail(1)
  expect(told).toEqual([lost('tunUso')])
})

test('a device that has nothing left loses nothing', () => {
  const { told, fail } = scene(USO)
  fail(10 * FAULTS_MAX)
  expect(told).toEqual([lost('tunUso')])
})

test('what another lane has lowered already is the rung below', () => {
  const { offloads, told, fail } = scene(USO)
  offloads.lowered(TSO)
  offloads.lowered(USO)
  fail(FAULTS_MAX)
  expect(told).toEqual([lost('tunTso')])
})
