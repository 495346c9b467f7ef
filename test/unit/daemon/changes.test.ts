import { expect, test } from 'vitest'
import { Changes } from '../../../src/daemon/changes.js'

test('whoever waits is woken by a change, once, and by the clock', async () => {
  const changes = new Changes()
  changes.emit() // nobody waits
  const started = performance.now()
  const both = Promise.all([changes.next(10_000), changes.next(10_000)])
  changes.emit()
  changes.emit()
  await both
  expect(performance.now() - started).toBeLessThan(1_000)
  await changes.next(20)
  expect(performance.now() - started).toBeGreaterThan(15)
})

test('not before the one who changes it has finished', async () => {
  const changes = new Changes()
  const order: string[] = []
  const waits = changes.next(10_000).then(() => order.push('woken'))
  changes.emit()
  order.push('finished')
  await waits
  expect(order).toEqual(['finished', 'woken'])
})
