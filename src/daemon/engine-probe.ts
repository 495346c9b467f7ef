import { plainSlab } from '../bytes/slab.js'
import { type EngineReport, selectEngines } from '../crypto/select.js'
import type { EngineName } from '../crypto/types.js'
import { CryptoError } from '../errors.js'
import { nativeCalls } from '../ffi/koffi.js'
import { nativeSlab } from '../ffi/slab.js'

/** Room for the self-tests. */
const PROBE_SLAB = 256 * 1024

/** Which engines a daemon would find on this host. A wanted one that cannot be used is told of as refused. */
export function probeEngines(wanted: EngineName | 'auto'): readonly EngineReport[] {
  const slab = nativeCalls().available ? nativeSlab(PROBE_SLAB) : plainSlab(PROBE_SLAB)
  try {
    return selectEngines(wanted, slab).report
  } catch (error) {
    if (!(error instanceof CryptoError)) throw error
    return [{ name: wanted === 'auto' ? 'noble' : wanted, detail: '', refused: error.message }]
  }
}
