import type { Controlled } from '../../../src/daemon/control/commands.js'
import type { GatewayStatus, SaView } from '../../../src/daemon/status.js'
import { ControlError } from '../../../src/errors.js'

const sa = (direction: SaView['direction'], spi: number): SaView => ({
  lane: 0,
  direction,
  spi,
  encryption: 'AES_GCM_16-128',
  integrity: undefined,
  esn: true,
  encapsulation: 'udp',
  packets: direction === 'inbound' ? 10 : 20,
  octets: direction === 'inbound' ? 1000 : 2000,
  sequence: 20,
  ageSeconds: 61.4,
  idleSeconds: direction === 'inbound' ? 3 : undefined,
  expiresInSeconds: 3538.6,
})

/** A status with a peer by IKE, one by manual SAs, and one that is not up. */
export const STATUS: GatewayStatus = {
  version: '1.2.3',
  pid: 42,
  config: '/etc/sallyport/sallyport.yaml',
  uptimeSeconds: 3723,
  hostId: 'dom0-a.example',
  keyLog: undefined,
  tun: 'sally0',
  engine: 'openssl',
  engines: [
    { name: 'ipsec-mb', detail: '', refused: 'not installed' },
    { name: 'openssl', detail: 'OpenSSL 3.0' },
  ],
  features: { vnetHeader: true, udpGso: false },
  counters: {
    tunReadPackets: 20,
    tunReadOctets: 2000,
    tunWritePackets: 10,
    tunWriteOctets: 1000,
    tunWrites: 10,
    rxDatagrams: 10,
    txDatagrams: 20,
    rxCalls: 1,
    txCalls: 1,
    ikeForwarded: 0,
    keepalives: 0,
    loops: 1,
    polls: 1,
  } as GatewayStatus['counters'],
  lanes: 1,
  paths: [{ remote: '192.0.2.2', mtu: 1400 }],
  drops: { replayed: 3, icv: 12 },
  events: { 'prephase.bad-mac': 2 },
  peers: [
    {
      name: 'dom0-b',
      local: '192.0.2.1',
      remote: '192.0.2.2',
      localId: 'dom0-a.example',
      id: 'dom0-b.example',
      fingerprint: '0123456789abcdef',
      dynamicPsk: 'hardened',
      auth: 'psk',
      ikeLifetimeSeconds: 28_800,
      ike: {
        version: 1,
        phase: 'established',
        wanted: [],
        lastError: undefined,
        lastErrorAgeSeconds: undefined,
        sas: [
          {
            version: 1,
            state: 'ESTABLISHED',
            replaced: false,
            initiator: true,
            initiatorSpi: '0011223344556677',
            responderSpi: '8899aabbccddeeff',
            local: '192.0.2.1:4500',
            remote: '192.0.2.2:4500',
            proposal: 'aes256-sha256-ecp256',
            nat: 'both ends prefer UDP',
            ageSeconds: 62,
            rekeySeconds: 28_000,
            expiresSeconds: 28_700,
          },
        ],
        children: [
          {
            policy: 1,
            inboundSpi: 0xc0000001,
            outboundSpi: 0x0a000002,
            state: 'CURRENT',
            proposal: 'aes128gcm16',
            rekeySeconds: 3000,
          },
        ],
      },
      children: [
        {
          name: 'migration',
          policy: 1,
          protocol: 'esp',
          mode: 'tunnel',
          local: ['10.88.1.1/32'],
          remote: ['10.88.2.1/32'],
          transparent: false,
          manual: false,
          lifetime: { hardSeconds: 3600 },
          sas: [sa('inbound', 0xc0000001), sa('outbound', 0x0a000002)],
        },
      ],
    },
    {
      name: 'dom0-c',
      local: '192.0.2.1',
      remote: '192.0.2.3',
      localId: undefined,
      id: undefined,
      fingerprint: undefined,
      dynamicPsk: undefined,
      auth: undefined,
      ikeLifetimeSeconds: undefined,
      ike: undefined,
      children: [
        {
          name: 'm',
          policy: 2,
          protocol: 'ah',
          mode: 'transport',
          local: ['192.0.2.1/32'],
          remote: ['192.0.2.3/32'],
          transparent: true,
          manual: true,
          lifetime: undefined,
          sas: [
            {
              ...sa('outbound', 0x1001),
              encryption: undefined,
              integrity: 'HMAC_SHA2_256_128',
              esn: false,
              encapsulation: 'raw',
              expiresInSeconds: undefined,
            },
          ],
        },
      ],
    },
    {
      name: 'dom0-d',
      local: '192.0.2.1',
      remote: '192.0.2.4',
      localId: 'dom0-a.example',
      id: 'dom0-d.example',
      fingerprint: 'fedcba9876543210',
      dynamicPsk: 'classic',
      auth: 'psk',
      ikeLifetimeSeconds: 28_800,
      ike: {
        version: 1,
        phase: 'idle',
        wanted: ['m'],
        lastError: 'pre-phase: no answer',
        lastErrorAgeSeconds: 30,
        sas: [],
        children: [],
      },
      children: [],
    },
  ],
}

/** What the commands talk to, with everything that was asked of it. */
export class FakeGateway implements Controlled {
  readonly version = '1.2.3'
  readonly asked: unknown[][] = []

  status(): GatewayStatus {
    return STATUS
  }

  async initiate(...args: unknown[]): Promise<void> {
    this.asked.push(['initiate', ...args])
    if (args[1] === 'none') throw new ControlError('no child is called none')
  }

  rekey(...args: unknown[]): number {
    this.asked.push(['rekey', ...args])
    return args[1] === 'down' ? 0 : 1
  }

  async terminate(...args: unknown[]): Promise<void> {
    this.asked.push(['terminate', ...args])
  }

  shutdown(): void {
    this.asked.push(['shutdown'])
  }
}
