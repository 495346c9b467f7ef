import { type Contender, plain } from './contender.js'
import { limit } from './limit.js'
import { sallyport } from './sallyport.js'
import { strongswan } from './strongswan.js'
import { wireguardGo } from './wireguard-go.js'

const RAW = { engine: 'auto', encapsulation: 'raw' } as const

/** Everyone who takes part unless `--contenders` says otherwise. */
export const CONTENDERS: readonly Contender[] = [
  plain,
  limit,
  sallyport('sallyport ipsec-mb UDP', { engine: 'ipsec-mb', encapsulation: 'udp' }),
  sallyport('sallyport two lanes UDP', { engine: 'auto', encapsulation: 'udp', lanes: 2 }),
  sallyport('sallyport openssl UDP', { engine: 'openssl', encapsulation: 'udp' }),
  sallyport('sallyport ESP raw', RAW),
  sallyport('sallyport AH raw', { ...RAW, protocol: 'ah', proposal: 'sha256' }),
  sallyport('sallyport AH transport GMAC', {
    ...RAW,
    protocol: 'ah',
    mode: 'transport',
    proposal: 'aes128gmac',
  }),
  strongswan,
  wireguardGo,
]

/** Those that must be asked for by name. */
export const ON_REQUEST: readonly Contender[] = [
  sallyport('sallyport noble UDP', { engine: 'noble', encapsulation: 'udp' }),
]

/** The contenders of which the name has one of the texts in it, whatever its case; without texts the usual ones. */
export function contendersNamed<T extends { readonly name: string }>(
  usual: readonly T[],
  others: readonly T[],
  texts: readonly string[] | undefined,
): readonly T[] {
  if (!texts) return usual
  return [...usual, ...others].filter(({ name }) =>
    texts.some((text) => name.toLowerCase().includes(text.toLowerCase())),
  )
}
