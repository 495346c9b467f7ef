import { NativeMemory } from '../../ffi/native-memory.js'

/** Hands a key to a native call and wipes the copy that was made for it. */
export function withKey<T>(key: Uint8Array, use: (address: number) => T): T {
  const memory = new NativeMemory(Math.max(8, key.length))
  memory.bytes.set(key)
  try {
    return use(memory.address)
  } finally {
    memory.giveBack()
  }
}
