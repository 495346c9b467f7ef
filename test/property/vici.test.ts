import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emitMessage, parseMessage, type ViciMessage } from '../../src/daemon/control/vici-message.js'
import { PACKET_MAX, PacketSplitter, parsePacket } from '../../src/daemon/control/vici-packet.js'
import { WireError } from '../../src/errors.js'

const text = fc.string({ unit: 'binary', maxLength: 40 }).filter((s) => s.isWellFormed())
const message = fc.letrec<{ message: ViciMessage }>((tie) => ({
  message: fc.dictionary(
    text.filter((k) => k !== '__proto__'),
    fc.oneof({ depthSize: 'small', maxDepth: 5 }, text, fc.array(text, { maxLength: 5 }), tie('message')),
    { maxKeys: 6, noNullPrototype: true },
  ),
})).message

const runs = { numRuns: 2000 }

test('parse(emit(x)) = x', () => {
  fc.assert(
    fc.property(message, (m) => {
      expect(parseMessage(emitMessage(m))).toEqual(m)
    }),
    { numRuns: 500 },
  )
})

const onlyWireError = (run: () => unknown): void => {
  try {
    run()
  } catch (error) {
    if (!(error instanceof WireError)) throw error
  }
}

test('random octets give WireError at worst', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      onlyWireError(() => parseMessage(octets))
      onlyWireError(() => parsePacket(octets))
    }),
    runs,
  )
})

test('a message with octets changed, cut or repeated gives WireError at worst', () => {
  fc.assert(
    fc.property(
      message,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      fc.nat(),
      (m, changes, cut) => {
        const octets = emitMessage(m)
        for (const [at, v] of changes) if (octets.length > 0) octets[at % octets.length] = v
        onlyWireError(() => parseMessage(octets.subarray(0, cut % (octets.length + 1))))
      },
    ),
    runs,
  )
})

test('a stream of random octets ends in WireError or waits for at most one packet', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 64 }), { maxLength: 20 }), (chunks) => {
      const splitter = new PacketSplitter()
      onlyWireError(() => {
        for (const chunk of chunks)
          for (const packet of splitter.push(chunk)) expect(packet.length).toBeLessThanOrEqual(PACKET_MAX)
      })
    }),
    runs,
  )
})
