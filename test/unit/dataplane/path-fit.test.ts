import { describe, expect, test } from 'vitest'
import type { FromLane } from '../../../src/dataplane/messages.js'
import { PathFit } from '../../../src/dataplane/path-fit.js'
import { DROP } from '../../../src/ipsec/drop.js'
import { createInboundSa, createOutboundSa } from '../../../src/ipsec/sa.js'
import { engines, mirrored, pair, put, saSpec, tooBig, udpPacket } from '../ipsec/fixtures.js'

const SRC = 2_000
const DST = 10_000
const AT = 40_000
const ICMP = 1
const TEN_MINUTES = 600_000

/** One lane with both SAs of a policy. */
function scene() {
  const p = pair(saSpec('aes128gcm16'))
  const inbound = createInboundSa(mirrored(saSpec('aes128gcm16')), engines, p.slab, { nowMs: 0 })
  p.sad.addInbound(inbound)
  const told: FromLane[] = []
  const fit = new PathFit(p.slab, p.sad, (m) => told.push(m))
  const inner = udpPacket('10.1.0.1', '10.2.0.1', 500, {})
  put(p.slab, SRC, inner)
  const n = p.outbound.seal(p.out, SRC, inner.length, DST)
  const sent = Buffer.from(p.slab.bytes.slice(DST, DST + n))
  const report = (mtu: number, nowMs = 0): number => {
    const message = tooBig(sent, mtu)
    put(p.slab, AT, message)
    return fit.reported(ICMP, nowMs, AT, message.length)
  }
  return { ...p, in: inbound, remote: p.out.info.remote, told, fit, report }
}

describe('what fits', () => {
  test('whatever an IP packet holds, before anything is known', () => {
    const { fit, out, in: inbound } = scene()
    fit.refit()
    expect([out.fits, inbound.fits]).toEqual([65_535, 65_535])
  })

  test('the MTU of the device, for both directions, and less where the path carries less', () => {
    const { fit, out, in: inbound, remote } = scene()
    fit.mtus(1438, [])
    expect([out.fits, inbound.fits]).toEqual([1438, 1438])
    fit.mtus(1438, [{ remote, mtu: 1400 }])
    expect(out.fits).toBe(out.innerMtu)
    expect(out.fits).toBeLessThan(1400)
    expect(inbound.fits).toBe(out.fits)
    fit.mtus(1300, [{ remote, mtu: 1400 }])
    expect(out.fits).toBe(1300)
  })

  test('an inbound SA whose policy sends nothing has the MTU of the device', () => {
    const { fit, sad, slab, remote } = scene()
    const spec = saSpec('aes128gcm16', { policy: 2, spi: 0x700 })
    const alone = createInboundSa(mirrored(spec), engines, slab, { nowMs: 0 })
    sad.addInbound(alone)
    fit.mtus(1438, [{ remote, mtu: 1400 }])
    expect(alone.fits).toBe(1438)
  })

  test('a new SA is told what is known of its path', () => {
    const { fit, sad, slab, report } = scene()
    report(1400)
    const next = createOutboundSa(saSpec('aes128gcm16', { spi: 0x800 }), engines, slab, { nowMs: 0 })
    fit.apply(next)
    sad.addOutbound(next)
    fit.refit()
    expect(next.pathMtu).toBe(1400)
    expect(next.fits).toBe(next.innerMtu)
  })
})

describe('what a router says', () => {
  test('is heeded, and told to the other lanes once', () => {
    const { out, told, remote, report } = scene()
    expect(report(1400)).toBe(0)
    expect(report(1400)).toBe(0)
    expect(out.fits).toBe(out.innerMtu)
    expect(out.fits).toBeLessThan(1400)
    expect(told).toEqual([{ op: 'pathMtu', paths: [{ remote, mtu: 1400, untilMs: TEN_MINUTES }] }])
  })

  test('is nothing when it is not believed', () => {
    const { out, told, report } = scene()
    expect(report(100)).toBe(DROP.ICMP_IGNORED)
    expect(out.fits).toBe(65_535)
    expect(told).toEqual([])
  })

  test('holds ten minutes, and its end is told as well', () => {
    const { fit, out, told, report } = scene()
    fit.mtus(1438, [])
    report(1400)
    fit.expire(TEN_MINUTES - 1)
    expect(out.fits).toBeLessThan(1400)
    fit.expire(TEN_MINUTES)
    expect(out.fits).toBe(1438)
    expect(told.at(-1)).toEqual({ op: 'pathMtu', paths: [] })
    expect(told).toHaveLength(2)
  })

  test('to another lane is heeded and not told again', () => {
    const { fit, out, told, remote } = scene()
    fit.learnt(0, [{ remote, mtu: 1400, untilMs: 900 }])
    expect(out.fits).toBeLessThan(1400)
    expect(told).toEqual([])
  })
})
