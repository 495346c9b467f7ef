import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { ROOT } from '../test/lab/root.js'
import { SECTIONS, type Section } from './figures.js'
import { DIRTY_RATES } from './migration/migration.js'

type DirtyName = keyof typeof DIRTY_RATES

export interface BenchOptions {
  readonly only: readonly Section[]
  readonly rounds: number
  readonly seconds: number
  readonly mtu: readonly number[]
  readonly contenders?: readonly string[]
  readonly memory: number
  readonly dirty: readonly DirtyName[]
  readonly soakSeconds: number
  readonly handshakes: number
  readonly peers: number
  readonly json: string
  readonly report: string
  readonly load?: string
  /** File of the baseline. */
  readonly check?: string
  readonly saveBaseline?: string
}

const RESULTS = join(ROOT, 'bench/results')
const BASELINE = join(ROOT, 'bench/baseline.json')
/** The long ones run when they are named. */
const USUAL = SECTIONS.filter((s) => s !== 'rekey' && s !== 'ike' && s !== 'soak')

const above =
  (least: number, whole: boolean) =>
  (text: string): number => {
    const n = Number(text)
    if (text.trim() === '' || !(n >= least) || (whole && !Number.isInteger(n)))
      throw new InvalidArgumentError(`expected ${whole ? 'a whole number' : 'a number'} from ${least}`)
    return n
  }

const listOf =
  <T>(one: (text: string) => T) =>
  (text: string): T[] =>
    text.split(',').map((part) => one(part.trim()))

const oneOf =
  <T extends string>(known: readonly T[]) =>
  (text: string): T => {
    const found = known.find((name) => name === text)
    if (found === undefined) throw new InvalidArgumentError(`expected some of ${known.join(', ')}`)
    return found
  }

/** Reads the command line. Ends the program with a message when it is wrong. */
export function readOptions(argv: readonly string[]): BenchOptions {
  const options = new Command('bench')
    .description(
      'Measures the crypto engines, the data path and whole gateways, next to others that are installed, and prints tables',
    )
    .option('--only <sections>', `some of ${SECTIONS.join(', ')}`, listOf(oneOf(SECTIONS)), USUAL)
    .option('--rounds <n>', 'interleaved rounds, of which medians are taken', above(1, true), 5)
    .option('--seconds <n>', 'length of one measurement', above(0.05, false), 4)
    .option(
      '--mtu <list>',
      'MTUs of the underlay; the section rig is measured with each, the others with the first',
      listOf(above(1280, true)),
      [1500, 9000],
    )
    .option('--contenders <texts>', 'those whose names have one of the texts in them', listOf(String))
    .option('--memory <MiB>', 'memory of the guest that is migrated', above(1, true), 512)
    .option(
      '--dirty <list>',
      `how busy it is: some of ${Object.keys(DIRTY_RATES).join(', ')}`,
      listOf(oneOf(Object.keys(DIRTY_RATES) as DirtyName[])),
      Object.keys(DIRTY_RATES) as DirtyName[],
    )
    .option('--soak-seconds <n>', 'length of the section soak', above(2, true), 600)
    .option('--handshakes <n>', 'in the section ike, one after another', above(10, true), 2000)
    .option('--peers <n>', 'in the section ike, at once', above(1, true), 200)
    .option('--json <file>', 'where all figures go', join(RESULTS, 'latest.json'))
    .option('--report <file>', 'where the report with plots goes', join(RESULTS, 'latest.html'))
    .option('--load <file>', 'measure nothing: take the figures that --json wrote')
    .option('--check [baseline]', 'fail when a stored ratio has dropped by more than 15 %')
    .option('--save-baseline [file]', 'store the ratios of this run beside those of others')
    .parse(argv)
    .opts<Omit<BenchOptions, 'check' | 'saveBaseline'> & Record<'check' | 'saveBaseline', string | true>>()
  const file = (value: string | true | undefined): string | undefined => (value === true ? BASELINE : value)
  const [check, saveBaseline] = [file(options.check), file(options.saveBaseline)]
  const { check: _check, saveBaseline: _save, ...rest } = options
  return {
    ...rest,
    ...(check !== undefined && { check }),
    ...(saveBaseline !== undefined && { saveBaseline }),
  }
}
