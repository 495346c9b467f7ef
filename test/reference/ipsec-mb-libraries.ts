import { ipsecMbEngine } from '../../src/crypto/engines/ipsec-mb.js'
import type { CryptoEngine } from '../../src/crypto/types.js'
import { IPSEC_MB_LIBRARIES } from '../../src/ffi/ipsec-mb.js'

/**
 * An engine of each libIPSec_MB that there is: those installed, and those whose files SALLYPORT_IPSEC_MB names, with colons
 * between them. A named one must be usable.
 */
export function ipsecMbEngines(): { readonly file: string; readonly engine: CryptoEngine }[] {
  const named = (process.env.SALLYPORT_IPSEC_MB ?? '').split(':').filter((file) => file !== '')
  const found: { file: string; engine: CryptoEngine }[] = []
  for (const file of [...IPSEC_MB_LIBRARIES, ...named]) {
    const engine = ipsecMbEngine(file)
    if (typeof engine !== 'string') found.push({ file, engine })
    else if (named.includes(file)) throw new Error(`SALLYPORT_IPSEC_MB: ${engine}`)
  }
  return found
}
