import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { ADDRESSES, other } from '../../test/lab/lab.js'
import { type Contender, connected, INNER, protectedAddresses } from './contender.js'

const CHARON = '/usr/lib/ipsec/charon'
const BACKEND = '/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so'
const PLUGINS =
  'kdf drbg random nonce openssl curve25519 hmac sha1 sha2 aes gcm pem pkcs1 x509 kernel-libipsec kernel-netlink ' +
  'socket-default vici updown'

/** strongSwan's userspace backend: ESP in UDP, AES-128-GCM, IKEv2. */
export const strongswan: Contender = {
  name: 'strongSwan kernel-libipsec',
  kind: 'peer',
  missing: () =>
    existsSync(CHARON) && existsSync(BACKEND)
      ? undefined
      : 'strongswan-charon, strongswan-swanctl and libcharon-extra-plugins are not installed',
  async connect(lab) {
    protectedAddresses(lab)
    for (const side of ['b', 'a'] as const) {
      const [mine, theirs] = [ADDRESSES[side], ADDRESSES[other(side)]]
      const conf = lab.file(
        `charon-${side}/strongswan.conf`,
        `charon { load_modular = no\n load = ${PLUGINS}\n plugins { kernel-libipsec { allow_peer_ts = yes } } }\nswanctl { load = pem pkcs1 x509 openssl random }\n`,
      )
      const swanctl = lab.file(
        `charon-${side}/swanctl.conf`,
        `connections { m { version=2
 local_addrs=${mine.v4}
 remote_addrs=${theirs.v4}
 encap=yes
 proposals=aes128-sha256-x25519
 local { auth=psk
 id=${mine.v4} }
 remote { auth=psk
 id=${theirs.v4} }
 children { c { local_ts=${mine.inner4}/32
 remote_ts=${theirs.inner4}/32
 esp_proposals=aes128gcm16 } } } }
secrets { ike-1 { secret="bench-0123456789abcdef-bench" } }
`,
      )
      const initiate = side === 'a' ? 'swanctl --initiate --child c;' : ''
      const script =
        `mount -t tmpfs tmpfs /run; export STRONGSWAN_CONF=${conf}; ${CHARON} & ` +
        `sleep 1.5; swanctl --load-all --file ${swanctl}; ${initiate} wait`
      lab.spawn(side, 'bash', ['-c', script], { stdio: 'ignore' })
      await sleep(2_000)
    }
    return connected(lab, 'strongSwan', INNER)
  },
}
