import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { wipe } from '../../bytes/octets.js'
import { ConfigError } from '../../errors.js'
import { saFault } from '../../ipsec/sa-check.js'
import { type LineResult, parseEspSa } from './esp-sa.js'
import { KEYED_SAS_MAX, type KeyedSa, specOf } from './keyed-sa.js'
import { parseSallyportSa } from './sallyport-sa.js'

/** Names of the files of a key log. */
export const SALLYPORT_SA = 'sallyport_sa'
export const ESP_SA = 'esp_sa'

const KEY_SOURCE_MAX = 4 * 1024 * 1024

export interface KeySource {
  /** The file that was read. */
  readonly file: string
  readonly sas: readonly KeyedSa[]
  /** Lines that cannot be used, each with its file, line and why. Their packets are of an unknown SPI. */
  readonly skipped: readonly string[]
}

/**
 * Reads SAs and their keys: a file in Wireshark's format "esp_sa" or our own "sallyport_sa" (lines of both may be mixed), or a
 * directory that holds them, of which our own is preferred as it tells more. The caller wipes the keys: `wipeKeys`.
 * @throws ConfigError with file, line and what was expected
 */
export function readKeySource(path: string): KeySource {
  const file = fileOf(path)
  const text = readText(file)
  const sas: KeyedSa[] = []
  const skipped: string[] = []
  for (const [i, line] of text.split('\n').entries()) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const place = `${file}, line ${i + 1}`
    const result = parseLine(trimmed)
    if (typeof result === 'string') throw new ConfigError(`${place}: ${result}`)
    if ('skipped' in result) skipped.push(`${place}: ${result.skipped}; passed over`)
    else sas.push(result.sa)
    if (sas.length > KEYED_SAS_MAX)
      throw new ConfigError(`${place}: more than ${KEYED_SAS_MAX} SAs; split the file`)
  }
  if (sas.length === 0)
    throw new ConfigError(
      `${file}: holds no SA that can be used${skipped.length > 0 ? `; ${skipped[0]}` : '; expected lines as the key log of a gateway has'}`,
    )
  return { file, sas, skipped }
}

export function wipeKeys(sas: readonly KeyedSa[]): void {
  for (const sa of sas) wipe(sa.encryption?.key, sa.integrity?.key)
}

function parseLine(line: string): LineResult | string {
  const result = line.startsWith('"') ? parseEspSa(line) : parseSallyportSa(line)
  if (typeof result === 'string' || 'skipped' in result) return result
  const fault = saFault(
    specOf(result.sa, 'inbound', {
      source: result.sa.source ?? new Uint8Array(result.sa.destination?.length ?? 4),
      destination: result.sa.destination ?? new Uint8Array(result.sa.source?.length ?? 4),
      mode: 'tunnel',
      replayWindow: 4096,
      policy: 1,
    }),
  )
  return fault === undefined ? result : { skipped: fault }
}

function fileOf(path: string): string {
  const isDirectory = (): boolean => statSync(path).isDirectory()
  if (!attempt(path, isDirectory)) return path
  const files = [SALLYPORT_SA, ESP_SA].map((name) => join(path, name))
  const found = files.find((file) => statSync(file, { throwIfNoEntry: false })?.isFile())
  if (found === undefined)
    throw new ConfigError(
      `${path}: a directory without ${SALLYPORT_SA} and ${ESP_SA}; give the directory of a key log`,
    )
  return found
}

function readText(file: string): string {
  const size = attempt(file, () => statSync(file).size)
  if (size > KEY_SOURCE_MAX)
    throw new ConfigError(`${file}: ${size} octets, more than ${KEY_SOURCE_MAX}: not a key file`)
  const octets = attempt(file, () => readFileSync(file))
  const text = octets.toString('utf8')
  octets.fill(0)
  return text
}

function attempt<T>(file: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new ConfigError(`${file}: no such file; give keys with --keys FILE`)
    throw new ConfigError(`${file}: cannot be read: ${code ?? String(error)}`)
  }
}
