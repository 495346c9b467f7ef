import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { parseArgs } from 'node:util'
import { colors as pc } from '../../src/cli/colors.js'
import { type Check, checksOf, resultTable } from './demo-report.js'
import { play, SCENES, type SceneResult } from './demo-scenes.js'
import { Lab } from './lab.js'
import { namespacesOf } from './namespaces.js'
import { missingForLab } from './requirements.js'

const HELP = `Two dom0s in network namespaces, a wire between them, and a virtual machine's memory that crosses it:
unprotected, then through two sallyport daemons as ESP, then as AH.

  npm run demo -- [--size MIB] [--json FILE] [--capture DIR]

  --size MIB      size of the memory image, 256 by default
  --json FILE     write the table as JSON
  --capture DIR   keep the captures of the wire (pcapng, the first 16 MiB of each)

Needs Linux, root, iproute2 and /dev/net/tun. Leaves no namespace, device, route or process behind.
`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: '256' },
      json: { type: 'string' },
      capture: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help === true) {
    process.stdout.write(HELP)
    return 0
  }
  const size = Number(values.size)
  if (!Number.isInteger(size) || size < 1 || size > 2047) {
    console.error(`--size ${values.size}: expected a whole number of MiB from 1 to 2047`)
    return 2
  }
  const missing = missingForLab({ tun: true })
  if (missing.length > 0) {
    console.error(`The demo cannot run here. Missing:\n${missing.map((m) => `  - ${m}`).join('\n')}`)
    return 1
  }
  if (values.capture !== undefined) mkdirSync(values.capture, { recursive: true })

  if (values.json !== undefined) {
    try {
      // Before the work, not behind it; what is there stays until there is something better.
      closeSync(openSync(values.json, 'a'))
    } catch (error) {
      console.error(`--json ${values.json}: cannot be written: ${(error as Error).message}`)
      return 2
    }
  }

  const lab = await Lab.create({ wire: 'forwarder' })
  const results: SceneResult[] = []
  try {
    for (const [i, scene] of SCENES.entries()) {
      console.log(
        `${i + 1}/${SCENES.length} ${scene.name}: ${size} MiB from dom0-a to dom0-b, then again under attack`,
      )
      results.push(await play(lab, scene, size * 2 ** 20, values.capture))
    }
  } finally {
    lab.close()
  }
  const left = namespacesOf(lab.prefix)
  const checks: Check[] = [
    ...results.flatMap(checksOf),
    { passed: left.length === 0, what: `nothing is left behind${left.map((name) => ` ${name}`).join('')}` },
  ]
  console.log(`\n${resultTable(results)}\n`)
  for (const { passed, what } of checks) console.log(`${passed ? pc.green('PASS') : pc.red('FAIL')}  ${what}`)
  const passed = checks.every((check) => check.passed)
  if (values.json !== undefined) {
    const machine = { node: process.version, kernel: release(), cpu: cpus()[0]?.model, cpus: cpus().length }
    const document = { sizeMiB: size, machine, scenes: results, checks, passed }
    writeFileSync(values.json, `${JSON.stringify(document, null, 2)}\n`)
  }
  console.log(
    `\nThe wire is a process that inspects every packet, which bounds the throughput; npm run bench measures.`,
  )
  console.log(`verdict: ${passed ? pc.green('PASS') : pc.red('FAIL')}`)
  return passed ? 0 : 1
}

main().then(
  (status) => {
    process.exitCode = status
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    process.exitCode = code.startsWith('ERR_PARSE_ARGS_') ? 2 : 1
  },
)
