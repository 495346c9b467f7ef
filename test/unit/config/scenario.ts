import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '../../../src/daemon/config/load.js'
import { ConfigFileError, type Problem } from '../../../src/daemon/config/problems.js'
import { formatKeyText } from '../../../src/ike/prephase/key.js'

/** A folder with key files, for configurations that are given as text. */
export class Scenario {
  readonly folder = mkdtempSync(join(tmpdir(), 'sallyport-config-'))
  readonly file = join(this.folder, 'test.yaml')

  /** Writes a fresh key and gives its octets. */
  key(name: string): Uint8Array {
    const key = randomBytes(32)
    this.write(name, formatKeyText(key))
    return key
  }

  write(name: string, text: string, mode = 0o600): string {
    const path = join(this.folder, name)
    writeFileSync(path, text, { mode })
    chmodSync(path, mode)
    return path
  }

  load(text: string) {
    return parseConfig(this.file, text)
  }

  /** The problems of a configuration; empty when it has none. */
  problems(text: string): readonly Problem[] {
    try {
      this.load(text)
      return []
    } catch (error) {
      if (error instanceof ConfigFileError) return error.problems
      throw error
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true })
  }
}

/** Line (from 1) of the first line of `text` that holds `part`. */
export function lineOf(text: string, part: string): number {
  const index = text.split('\n').findIndex((line) => line.includes(part))
  if (index < 0) throw new Error(`no line with ${part}`)
  return index + 1
}

/** A configuration that is good once b.key is there, a line a key so that every one can be replaced. */
export const BASE = `host:
  id: dom0-a.example
  state: /var/lib/sallyport
  control: /run/sallyport.vici
tun:
  name: sally0
  addresses: [10.88.1.1/32]
  mtu: auto
log:
  level: info
  format: auto
dataplane:
  engine: auto
  fwmark: 0x5a11
  table: 23057
peers:
  dom0-b:
    id: dom0-b.example
    local: 192.0.2.1
    remote: 192.0.2.2
    key_file: b.key
    dynamic_psk: hardened
    encapsulation: auto
    ike:
      version: 1
      proposals: [aes128-sha256-modp2048]
      lifetime: 8h
      dpd: 30s
    children:
      migration:
        protocol: esp
        mode: tunnel
        local: [10.88.1.1/32]
        remote: [10.88.2.1/32]
        proposals: [aes128gcm16]
        lifetime: { time: 1h }
        replay_window: 4096
        start: trap
`
