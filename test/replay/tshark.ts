import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram } from '../lab/requirements.js'
import { TRANSFER_PORT } from '../lab/transfer.js'

export const whyNoTshark = (): string | undefined =>
  hasProgram('tshark') ? undefined : 'skipped, missing: the program tshark'

/**
 * tshark's fields of the frames that a filter takes, with a key log as its folder of settings, as README says.
 * @returns a line a frame, fields with tabs between them
 */
export function tsharkFields(capture: string, keys: string, filter: string, ...fields: string[]): string[] {
  // It is given a copy: it may want to write there.
  const home = mkdtempSync(join(tmpdir(), 'sallyport-tshark-'))
  try {
    const config = join(home, 'wireshark')
    mkdirSync(config)
    cpSync(keys, config, { recursive: true })
    const options = ['esp.enable_encryption_decode:TRUE', 'esp.enable_authentication_check:TRUE']
    const args = [
      ...['-n', '-r', capture, '-d', `tcp.port==${TRANSFER_PORT},data`],
      ...options.flatMap((o) => ['-o', o]),
      ...['-Y', filter, '-T', 'fields', ...fields.flatMap((f) => ['-e', f])],
    ]
    const r = spawnSync('tshark', args, {
      encoding: 'utf8',
      maxBuffer: 1 << 27,
      env: { ...process.env, WIRESHARK_CONFIG_DIR: config, HOME: home },
    })
    if (r.status !== 0) throw new Error(r.stderr)
    return r.stdout.split('\n').filter((line) => line !== '')
  } finally {
    rmSync(home, { recursive: true })
  }
}

/**
 * What tshark finds inside of the ESP packets of a capture, in hexadecimal, in the capture's order.
 * @param checked that it can check every ICV: Wireshark 4.0 has no extended sequence numbers
 */
export function tsharkInner(capture: string, keys: string, checked: boolean): string[] {
  return tsharkFields(capture, keys, 'esp', 'esp.contained_data', 'esp.icv_good').map((line) => {
    const [inner, good] = line.split('\t')
    if (checked && good !== '1') throw new Error(`tshark: an ICV is wrong: ${line}`)
    return inner ?? ''
  })
}

/** Exchange types and payload types of the encrypted IKE messages, e.g. "32 8,10": only with the key can they be told. */
export const tsharkIke = (capture: string, keys: string): string[] =>
  tsharkFields(capture, keys, 'isakmp.flag_e == 1', 'isakmp.exchangetype', 'isakmp.typepayload').map((line) =>
    line.replace('\t', ' '),
  )
