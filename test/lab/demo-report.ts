import Table from 'cli-table3'
import { colors as pc } from '../../src/cli/colors.js'
import type { SceneResult } from './demo-scenes.js'
import { IKE_KINDS, type Kind, PLAIN_KINDS, PROTECTED_KINDS } from './wire/frame.js'

const PROTOCOLS: Readonly<Partial<Record<Kind, string>>> = {
  prephase: 'pre-phase',
  'ike-main': 'IKE Main Mode',
  'ike-quick': 'IKE Quick Mode',
  'ike-init': 'IKE_SA_INIT',
  'ike-intermediate': 'IKE_INTERMEDIATE',
  'ike-auth': 'IKE_AUTH',
  'ike-child': 'CREATE_CHILD_SA',
  'ike-informational': 'IKE informational',
  esp: 'ESP',
  'esp-udp': 'ESP in UDP',
  ah: 'AH',
  tcp: 'TCP',
  udp: 'UDP',
  icmp: 'ICMP',
  arp: 'ARP',
  neighbour: 'IPv6 neighbours',
}

export interface Check {
  readonly passed: boolean
  readonly what: string
}

/** What each scene must show; all of it passes or the demonstration has failed. */
export function checksOf(r: SceneResult): Check[] {
  const count = (kinds: readonly Kind[]): number =>
    kinds.reduce((sum, kind) => sum + (r.framesByProtocol[kind] ?? 0), 0)
  const check = (passed: boolean, what: string): Check => ({ passed, what: `${r.name}: ${what}` })
  const checks = [
    check(r.sha256Equal, 'the image arrived as it was sent'),
    check(r.overrun === 0, 'the wire saw every packet'),
  ]
  if (!r.protected)
    return [
      ...checks,
      check(
        r.secretsSeen > 0.9 * r.secretsPlanted,
        `the planted secrets can be read on the wire (${r.secretsSeen} of ${r.secretsPlanted})`,
      ),
      check(
        r.tampered > 0 && r.tamperedAccepted > 0,
        `changes in flight are accepted (${r.tamperedAccepted} of ${r.tampered})`,
      ),
    ]
  return [
    ...checks,
    check(count(['prephase']) >= 4 && count(IKE_KINDS) >= 4, 'keys came from pre-phase and IKE'),
    check(
      count(PROTECTED_KINDS) > 0 && count(PLAIN_KINDS) === 0,
      'nothing but protected packets was on the wire',
    ),
    r.hides
      ? check(r.secretsSeen === 0, 'no planted secret can be read on the wire')
      : check(r.secretsSeen > 0, `AH hides nothing (${r.secretsSeen} secrets can be read)`),
    check(
      r.tampered > 0 && r.tamperedAccepted === 0 && r.sha256EqualAfterAttack,
      `no change in flight is accepted (0 of ${r.tampered})`,
    ),
    check(r.icvFailures === r.tampered, `the gateway counted each of them (${r.icvFailures})`),
  ]
}

export function resultTable(results: readonly SceneResult[]): string {
  const style = pc.isColorSupported ? { head: ['bold'], border: ['dim'] } : { head: [], border: [] }
  const table = new Table({ head: ['', ...results.map((r) => r.name)], style })
  const row = (name: string, value: (r: SceneResult) => string): void => {
    table.push([name, ...results.map(value)])
  }
  row('addresses', (r) => `${r.from} → ${r.to}`)
  row('algorithms', (r) => r.algorithms)
  row('bytes moved', (r) => `${r.octets} (${Math.round(r.octets / 2 ** 20)} MiB)`)
  row('SHA-256 equal at both ends', (r) => yesNo(r.sha256Equal))
  row('throughput', (r) => `${r.gbitPerSecond.toFixed(2)} Gbit/s`)
  row('first packet → protected traffic', (r) =>
    r.firstProtectedMs === undefined ? '-' : `${r.firstProtectedMs.toFixed(1)} ms`,
  )
  row('TCP connection took', (r) => `${r.connectMs.toFixed(1)} ms`)
  row('planted secrets seen on the wire', (r) => {
    const text = `${r.secretsSeen} of ${r.secretsPlanted}`
    return r.secretsSeen === 0 ? pc.green(text) : r.protected ? `${text}, unforgeable` : pc.red(text)
  })
  row('packets on the wire', packetLines)
  row('packets tampered with', (r) => String(r.tampered))
  row('tampered packets accepted', (r) =>
    r.tamperedAccepted === 0 ? pc.green('0') : pc.red(String(r.tamperedAccepted)),
  )
  row('ICV failures at the gateways', (r) => (r.protected ? String(r.icvFailures) : '-'))
  row('SHA-256 equal under attack', (r) => yesNo(r.sha256EqualAfterAttack))
  return table.toString()
}

const yesNo = (yes: boolean): string => (yes ? pc.green('yes') : pc.red('no'))

function packetLines(r: SceneResult): string {
  return Object.entries(r.framesByProtocol)
    .map(([kind, n]) => `${PROTOCOLS[kind as Kind] ?? kind} ${n}`)
    .join('\n')
}
