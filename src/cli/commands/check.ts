import { Command } from 'commander'
import type { GatewayConfig, PeerSettings, PolicySettings } from '../../daemon/config/config.js'
import { loadConfig, wipeConfig } from '../../daemon/config/load.js'
import { probeEngines } from '../../daemon/engine-probe.js'
import { wantedLanes } from '../../daemon/lanes.js'
import { authOf } from '../../ike/config.js'
import { identityFingerprint } from '../../ike/host-identity.js'
import { formatIdentity } from '../../ike/identity.js'
import { formatChildProposal, formatIkeProposal } from '../../ike/proposals.js'
import { formatIp } from '../../wire/ip-address.js'
import { formatSelector } from '../../wire/traffic-selector.js'
import { facts, formatSeconds, formatSpi, table } from '../output.js'
import { keyLogWarning } from '../status-text.js'

export function checkCommand(): Command {
  return new Command('check')
    .summary('validate a configuration and show what it says')
    .description(
      'Validates a configuration with all key files that it names, and shows what a daemon would do with it. Every problem is shown with its file, line, key and what was expected.',
    )
    .requiredOption('-c, --config <file>', 'configuration file')
    .option('--json', 'print the summary as JSON')
    .addHelpText('after', '\nExample:\n  sallyport check -c /etc/sallyport/sallyport.yaml\n')
    .action((options: { config: string; json?: boolean }) => {
      const config = loadConfig(options.config)
      const summary = summarize(config)
      wipeConfig(config)
      process.stdout.write(options.json ? `${JSON.stringify(summary, null, 2)}\n` : print(summary))
    })
}

type Summary = ReturnType<typeof summarize>

/** What may be shown of a configuration: everything but keys. */
export function summarize(config: GatewayConfig) {
  return {
    file: config.file,
    host: {
      id: config.host.id ? formatIdentity(config.host.id) : undefined,
      identity: config.host.publicKey && identityFingerprint(config.host.publicKey),
      state: config.host.state,
      control: config.host.control,
    },
    tun: {
      name: config.tun.name,
      addresses: config.tun.addresses.map((a) => `${formatIp(a.address)}/${a.prefixLength}`),
      mtu: config.tun.mtu,
    },
    dataplane: config.dataplane,
    lanes: wantedLanes(config),
    keyLog: config.keyLog,
    engines: probeEngines(config.dataplane.engine),
    peers: config.peers.map((peer) => summarizePeer(config, peer)),
    policies: config.policies.map((policy) => summarizePolicy(config, policy)),
  }
}

function summarizePeer(config: GatewayConfig, peer: PeerSettings) {
  const ike = config.ike.find((p) => p.name === peer.name)
  return {
    name: peer.name,
    local: formatIp(peer.local),
    remote: formatIp(peer.remote),
    fingerprint: peer.fingerprint,
    ike: ike && {
      localId: formatIdentity(ike.localId),
      id: formatIdentity(ike.remoteId),
      dynamicPsk: ike.dynamicPsk,
      auth: authOf(ike),
      version: ike.version,
      proposals: ike.proposals.map(formatIkeProposal),
      lifetimeSeconds: ike.ikeLifetimeSeconds,
      dpdSeconds: ike.dpdDelaySeconds,
    },
  }
}

function summarizePolicy(config: GatewayConfig, policy: PolicySettings) {
  const child = config.ike.find((p) => p.name === policy.peer)?.children.find((c) => c.policy === policy.id)
  return {
    id: policy.id,
    peer: policy.peer,
    child: policy.child,
    protocol: policy.protocol,
    mode: policy.mode,
    local: policy.localTs.map(formatSelector),
    remote: policy.remoteTs.map(formatSelector),
    transparent: policy.transparent,
    encapsulation: policy.encapsulation,
    proposals: child?.proposals.map(formatChildProposal),
    lifetimeSeconds: child?.lifetime.hardSeconds,
    start: child?.start,
    manual: config.manual
      .filter((sa) => sa.policy === policy.id)
      .map((sa) => ({ direction: sa.direction, spi: sa.spi })),
  }
}

const provenBy = ({ dynamicPsk, auth }: { dynamicPsk: string; auth: string }): string => {
  if (auth === 'pubkey') return dynamicPsk === 'off' ? 'public keys' : `${dynamicPsk}, public keys`
  return dynamicPsk === 'off' ? 'plain PSK' : dynamicPsk
}

function engineText(s: Summary): string {
  const usable = s.engines.find((e) => e.refused === undefined)
  const what = usable
    ? `${usable.name} (${usable.detail})`
    : s.engines.map((e) => `${e.name} cannot be used here: ${e.refused}`).join(', ')
  return s.dataplane.engine === 'auto' ? `auto: ${what}` : what
}

function print(s: Summary): string {
  const peers = s.peers.map((p) => [
    p.name,
    `${p.local} - ${p.remote}`,
    p.ike?.id ?? '-',
    p.ike ? provenBy(p.ike) : 'manual SAs',
    p.fingerprint ?? '-',
    p.ike ? `IKEv${p.ike.version} ${p.ike.proposals.join(', ')}` : '-',
  ])
  const policies = s.policies.map((p) => [
    String(p.id),
    `${p.peer}.${p.child}`,
    `${p.protocol.toUpperCase()} ${p.mode}`,
    `${p.local.join(' ')} - ${p.remote.join(' ')}`,
    p.transparent ? 'transparent' : 'behind the TUN',
    p.manual.length > 0
      ? `manual, SPIs ${p.manual.map((sa) => `${sa.direction} ${formatSpi(sa.spi)}`).join(', ')}`
      : `${p.proposals?.join(', ')}; ${formatSeconds(p.lifetimeSeconds ?? 0)}, ${p.start}`,
  ])
  return `${[
    `${s.file}: valid`,
    '',
    ...(s.keyLog === undefined ? [] : [keyLogWarning(s.keyLog), '']),
    facts([
      ['host', s.host.id ?? '-'],
      ...(s.host.identity === undefined ? [] : [['identity', s.host.identity] as const]),
      ['control', s.host.control],
      ['state', s.host.state],
      ['tun', `${s.tun.name} ${s.tun.addresses.join(', ') || 'without address'}, MTU ${s.tun.mtu}`],
      ['engine', engineText(s)],
      ['lanes', s.dataplane.lanes === 'auto' ? `auto: ${s.lanes}` : String(s.lanes)],
      ['marks', `fwmark 0x${s.dataplane.fwmark.toString(16)}, table ${s.dataplane.table}`],
    ]),
    '',
    table(['PEER', 'UNDERLAY', 'IDENTITY', 'KEYED BY', 'FINGERPRINT', 'IKE'], peers),
    '',
    table(['#', 'CHILD', 'PROTECTION', 'TRAFFIC', 'DEPLOYMENT', 'SAS'], policies),
  ].join('\n')}\n`
}
