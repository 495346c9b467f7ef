import type { Target } from '../target.js'
import { IKE_V1_PROTECTED } from './ike-v1-protected.js'
import { ikeV1Wire } from './ike-v1-wire.js'
import { PREPHASE_WIRE } from './prephase-wire.js'

export const TARGETS: readonly Target[] = [...ikeV1Wire, IKE_V1_PROTECTED, PREPHASE_WIRE]
