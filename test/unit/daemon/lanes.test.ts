import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lanePolicies, manualInLane, peersInLanes, wantedLanes } from '../../../src/daemon/lanes.js'
import { basePolicy, LANES_MAX, laneOfPolicy } from '../../../src/sadb/lane-policy.js'
import type { SaSpec } from '../../../src/sadb/sa-spec.js'
import { BASE, lineOf, Scenario } from '../config/scenario.js'

let s: Scenario
beforeAll(() => {
  s = new Scenario()
  s.key('b.key')
})
afterAll(() => s.remove())

const withLanes = (value: string): string => BASE.replace('engine: auto', `engine: auto\n  lanes: ${value}`)

describe('how many lanes', () => {
  test.each([
    ['auto', 1, 1],
    ['auto', 2, 1],
    ['auto', 3, 1],
    ['auto', 4, 2],
    ['auto', 9, 4],
    ['auto', 256, LANES_MAX],
    ['1', 64, 1],
    ['16', 2, 16],
  ])('%s on %i processors: %i', (value, processors, lanes) => {
    expect(wantedLanes(s.load(withLanes(value)), processors)).toBe(lanes)
  })

  test.each(['0', '17', '1.5', 'many', '-1', '[2]'])('%s is refused where it stands', (value) => {
    const text = withLanes(value)
    const [problem] = s.problems(text)
    expect(problem?.key).toBe('dataplane.lanes')
    expect(problem?.line).toBe(lineOf(text, 'lanes:'))
    expect(problem?.message).toContain('1 to 16')
  })
})

test('one lane leaves policies and peers as they are', () => {
  const { policies, ike } = s.load(BASE)
  expect(lanePolicies(policies[0]!, 1).map((p) => p.id)).toEqual([policies[0]!.id])
  expect(peersInLanes(ike, 1)).toBe(ike)
})

test('each lane has a policy and a child with ids of their own, which tell the lane', () => {
  const { policies, ike } = s.load(BASE)
  const ids = lanePolicies(policies[0]!, 16).map((p) => p.id)
  expect(new Set(ids).size).toBe(16)
  expect(ids.map(laneOfPolicy)).toEqual(Array.from({ length: 16 }, (_, i) => i))
  expect(new Set(ids.map(basePolicy))).toEqual(new Set([policies[0]!.id]))
  const children = peersInLanes(ike, 16)[0]!.children
  expect(children.map((c) => c.policy)).toEqual(ids)
  expect(children.map((c) => c.lane)).toEqual(ids.map((_, index) => ({ index, count: 16 })))
  expect(new Set(children.map((c) => c.name))).toEqual(new Set(['migration']))
})

test('a manual SA is in lane 0, or where the kernel brings its SPI', () => {
  const sa = { policy: 3, spi: 0x1003, direction: 'outbound' } as SaSpec
  for (const lanes of [1, 2, 3, 4]) {
    expect(manualInLane(sa, lanes).policy).toBe(3)
    const inbound = manualInLane({ ...sa, direction: 'inbound' }, lanes)
    expect(laneOfPolicy(inbound.policy)).toBe(0x1003 % lanes)
    expect(basePolicy(inbound.policy)).toBe(3)
  }
})
