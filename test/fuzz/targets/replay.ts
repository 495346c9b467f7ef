import { plainSlab, SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { DROP_NAMES } from '../../../src/ipsec/drop.js'
import { keyedSaOf } from '../../../src/replay/keys/keyed-sa.js'
import { REPLAY_SLAB_LEN, Replay } from '../../../src/replay/replay.js'
import { ipFacts } from '../../reference/ip-packet-twin.js'
import { engines, SUITES, saSpec, udpPacket } from '../../unit/ipsec/fixtures.js'
import { fragments, SealingHost } from '../../unit/replay/ends.js'
import { mutateOctets } from '../mutate/octets.js'
import type { Target } from '../target.js'
import { must } from '../trace.js'

const PACKETS = 3

/** Captures of protected packets, whole and in fragments, with and without a mode in the key file. */
export const REPLAYED: Target = {
  name: 'replay',
  about: 'captured packets changed, cut, doubled and in fragments, played through the offline pipeline',
  weight: 0.5,
  prepare() {
    const slab = plainSlab(REPLAY_SLAB_LEN)
    const hosts = Object.keys(SUITES).flatMap((suite) =>
      (['tunnel', 'transport'] as const).map((mode) => {
        const host = new SealingHost(saSpec(suite, { mode, esn: false }))
        const inner =
          mode === 'tunnel'
            ? udpPacket('10.1.0.1', '10.2.0.1', 200)
            : udpPacket('192.0.2.1', '192.0.2.2', 200)
        return { host, sealed: Array.from({ length: PACKETS }, () => host.seal(inner)) }
      }),
    )
    return {
      run(random, trace) {
        const { host, sealed } = random.pick(hosts)
        const keys = [random.oneIn(2) ? keyedSaOf(host.spec) : host.foreign]
        const outbound = random.oneIn(3)
        const replay = new Replay({ keys, engines, slab, ...(outbound && { outbound }) })
        const wire = sealed.flatMap((p) => (random.oneIn(2) ? fragments(p, 8 * (1 + random.below(16))) : [p]))
        for (let n = 1 + random.below(10); n > 0; n--) {
          const packet = random.oneIn(2) ? mutateOctets(random, random.pick(wire), wire) : random.pick(wire)
          trace.input(packet)
          const result = replay.play(packet, 0, packet.length, random.oneIn(4) ? undefined : BigInt(n))
          trace.outcome(result < 0 ? DROP_NAMES[-result]! : 'accepted')
          if (result < 0) continue
          const { at } = replay
          must(at >= SCRATCH_LEN && at + result <= slab.bytes.length, 'a packet outside of the slab')
          must(ipFacts(slab.bytes.slice(at, at + result))?.length === result, 'no whole packet')
        }
        trace.value(replay.reassembled)
        // Of an honest packet that has not come yet.
        const seen = replay.seen().some((s) => s.packets > 0)
        if (!outbound && !seen) {
          const last = sealed[PACKETS - 1]!
          const verdict = replay.play(last, 0, last.length, undefined)
          must(
            verdict > 0 || DROP_NAMES[-verdict] === 'replayed',
            `an honest packet: ${DROP_NAMES[-verdict]}`,
          )
        }
        replay.close()
      },
    }
  },
}
