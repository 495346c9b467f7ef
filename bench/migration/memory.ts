import { randomFillSync } from 'node:crypto'
import { PAGE } from './guest.js'

const BLOCK = 1 << 20

/** Memory that no transport can compress and in which no page is like another. */
export function fillMemory(pages: number): ArrayBuffer {
  const memory = new ArrayBuffer(pages * PAGE)
  const bytes = new Uint8Array(memory)
  const block = randomFillSync(new Uint8Array(Math.min(BLOCK, bytes.length)))
  for (let at = 0; at < bytes.length; at += BLOCK)
    bytes.set(block.subarray(0, Math.min(BLOCK, bytes.length - at)), at)
  const words = new Uint32Array(memory)
  for (let page = 0; page < pages; page++) words[page * (PAGE / 4)] = page
  return memory
}
