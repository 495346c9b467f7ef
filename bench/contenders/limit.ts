import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ADDRESSES, type Lab, other } from '../../test/lab/lab.js'
import { ROOT } from '../../test/lab/root.js'
import { hasCommand } from '../requirements.js'
import { type Contender, connected, INNER, protectedAddresses } from './contender.js'

/** ESP in UDP over IPv4 adds at most this: IPv4 20, UDP 8, ESP header 8, IV 8, padding and trailer 5, ICV 16; and slack. */
const OVERHEAD = 80
const SOURCE = join(ROOT, 'bench/limit/limit.c')

/**
 * The gateway's inner work as one C program without policy, replay window and key exchange: what a product can come close
 * to on this kernel. Compiled at first use; SALLYPORT_BENCH_LIMIT may name another program that is called in the same way:
 * PROGRAM TUN LOCAL REMOTE.
 */
export const limit: Contender = {
  name: 'C limit',
  kind: 'bound',
  missing() {
    if (process.env.SALLYPORT_BENCH_LIMIT !== undefined) return undefined
    if (!hasCommand('cc')) return 'there is no C compiler (cc)'
    const probe = ['-E', '-x', 'c', '-include', 'intel-ipsec-mb.h', '/dev/null', '-o', '/dev/null']
    return spawnSync('cc', probe).status === 0 ? undefined : 'libipsec-mb-dev is not installed'
  },
  connect(lab) {
    protectedAddresses(lab)
    const program = compile(lab)
    for (const side of ['a', 'b'] as const) {
      const [mine, theirs] = [ADDRESSES[side], ADDRESSES[other(side)]]
      lab.exec(side, 'ip', 'tuntap', 'add', 'dev', 'limit0', 'mode', 'tun', 'vnet_hdr')
      lab.exec(side, 'ip', 'link', 'set', 'limit0', 'mtu', String(lab.mtu - OVERHEAD), 'up')
      lab.exec(side, 'ip', 'route', 'add', `${theirs.inner4}/32`, 'dev', 'limit0', 'src', mine.inner4)
      lab.spawn(side, program, ['limit0', mine.v4, theirs.v4], { stdio: 'ignore' })
    }
    return connected(lab, 'C limit', INNER)
  },
}

function compile(lab: Lab): string {
  if (process.env.SALLYPORT_BENCH_LIMIT !== undefined) return process.env.SALLYPORT_BENCH_LIMIT
  const program = lab.path('limit')
  const { status, stderr } = spawnSync(
    'cc',
    ['-O3', '-march=native', '-Wall', SOURCE, '-o', program, '-lIPSec_MB'],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`cc ${SOURCE}: ${/error: .*/.exec(stderr)?.[0] ?? `status ${status}`}`)
  return program
}
