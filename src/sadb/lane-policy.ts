// Every lane of the data path has CHILD_SAs of its own (the idea of RFC 9611), so that no two threads share a sequence number.
// For key management a policy is therefore as many policies as there are lanes, with the same selectors: lane 0's has the
// policy's own id, the others' are above all of those.

/** More than any configuration has policies. */
const STRIDE = 1 << 16
/** Lanes at most. */
export const LANES_MAX = 16

/** Id of a policy in one lane. @param policy below 65536 */
export const lanePolicy = (policy: number, lane: number): number => policy + lane * STRIDE
export const laneOfPolicy = (id: number): number => Math.floor(id / STRIDE)
/** The policy as the configuration numbers it. */
export const basePolicy = (id: number): number => id % STRIDE
