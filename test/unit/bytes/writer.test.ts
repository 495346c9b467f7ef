import { expect, test } from 'vitest'
import { Writer } from '../../../src/bytes/writer.js'

// Each kind of write at the moment when the memory behind the writer grows.
test.each<[string, (w: Writer) => void, number[]]>([
  ['u8', (w) => w.u8(1), [1]],
  ['u16', (w) => w.u16(0x0102), [1, 2]],
  ['u32', (w) => w.u32(0x01020304), [1, 2, 3, 4]],
  ['bytes', (w) => w.bytes(Uint8Array.of(1, 2, 3)), [1, 2, 3]],
  ['zeros', (w) => w.zeros(2), [0, 0]],
])('%s is not lost when the writer grows', (_, write, octets) => {
  for (const before of [3, 4]) {
    const w = new Writer(4)
    for (let i = 0; i < before; i++) w.u8(0xff)
    write(w)
    expect([...w.finish()]).toEqual([...new Array<number>(before).fill(0xff), ...octets])
  }
})
