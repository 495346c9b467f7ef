import type { Target } from '../target.js'
import { configuration } from './configuration.js'
import { control } from './control.js'
import { exchanges } from './exchanges.js'
import { files } from './files.js'
import { IKE_V1_FRAGMENT_FLOOD, IKE_V1_FRAGMENTS } from './ike-v1-fragments.js'
import { IKE_V1_PROTECTED } from './ike-v1-protected.js'
import { ikeV1Wire } from './ike-v1-wire.js'
import { IKE_V2_FRAGMENT_FLOOD, IKE_V2_FRAGMENTS } from './ike-v2-fragments.js'
import { IKE_V2_PROTECTED } from './ike-v2-protected.js'
import { IKE_V2_MESSAGE } from './ike-v2-wire.js'
import { insiders } from './insiders.js'
import { ipHeaders } from './ip-headers.js'
import { ipsec } from './ipsec.js'
import { NETLINK } from './netlink.js'
import { offload } from './offload.js'
import { PREPHASE_WIRE } from './prephase-wire.js'
import { REPLAYED } from './replay.js'

export const TARGETS: readonly Target[] = [
  ...ikeV1Wire,
  IKE_V1_PROTECTED,
  IKE_V1_FRAGMENTS,
  IKE_V1_FRAGMENT_FLOOD,
  IKE_V2_MESSAGE,
  IKE_V2_PROTECTED,
  IKE_V2_FRAGMENTS,
  IKE_V2_FRAGMENT_FLOOD,
  PREPHASE_WIRE,
  ...ipHeaders,
  ...ipsec,
  ...offload,
  ...control,
  NETLINK,
  ...configuration,
  ...files,
  REPLAYED,
  ...exchanges,
  ...insiders,
]
