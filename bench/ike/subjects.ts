import { existsSync } from 'node:fs'

// Who makes the handshakes: the same two daemons of one kind, set up alike.

export interface IkeSubject {
  readonly name: string
  readonly daemon: 'sallyport' | 'charon'
  readonly version: 1 | 2
  readonly dynamicPsk: 'hardened' | 'classic' | 'off'
  readonly proposals: readonly string[]
}

/** What both projects have, and IKEv1 as well. */
const COMMON = ['aes128-sha256-ecp256']

export const IKE_SUBJECTS: readonly IkeSubject[] = [
  { name: 'sallyport IKEv2', daemon: 'sallyport', version: 2, dynamicPsk: 'off', proposals: COMMON },
  {
    name: 'sallyport IKEv2, pre-phase',
    ...{ daemon: 'sallyport', version: 2, dynamicPsk: 'hardened', proposals: COMMON },
  },
  {
    name: 'sallyport IKEv2, pre-phase, ML-KEM-768',
    ...{ daemon: 'sallyport', version: 2, dynamicPsk: 'hardened' },
    proposals: ['aes256gcm16-prfsha384-x25519-ke1_mlkem768'],
  },
  { name: 'sallyport IKEv1', daemon: 'sallyport', version: 1, dynamicPsk: 'off', proposals: COMMON },
  {
    name: 'sallyport IKEv1, classic pre-phase',
    ...{ daemon: 'sallyport', version: 1, dynamicPsk: 'classic', proposals: COMMON },
  },
  { name: 'strongSwan IKEv2', daemon: 'charon', version: 2, dynamicPsk: 'off', proposals: COMMON },
  { name: 'strongSwan IKEv1', daemon: 'charon', version: 1, dynamicPsk: 'off', proposals: COMMON },
]

export const CHARON = '/usr/lib/ipsec/charon'
const BACKEND = '/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so'

/** Why a subject cannot take part here; undefined when it can. */
export const missing = (s: IkeSubject): string | undefined =>
  s.daemon === 'sallyport' || (existsSync(CHARON) && existsSync(BACKEND))
    ? undefined
    : 'strongswan-charon, strongswan-swanctl and libcharon-extra-plugins are not installed'
