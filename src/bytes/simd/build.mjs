// Compiles checksum.as.ts (AssemblyScript) and writes its WebAssembly as checksum.wasm.ts, so that neither the build nor
// a test has a binary file to find. `--check` compares only and fails when the committed file is out of date.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

const here = dirname(fileURLToPath(import.meta.url))
const target = join(here, 'checksum.wasm.ts')
const options = [
  '-O3',
  '--enable',
  'simd',
  '--importMemory',
  '--initialMemory',
  '1',
  '--maximumMemory',
  '65536',
]
let binary
const { error, stderr } = await asc.main(
  ['checksum.as.ts', ...options, '--runtime', 'stub', '--noAssert', '-o', 'checksum.wasm'],
  {
    readFile: (name) => {
      try {
        return readFileSync(join(here, name), 'utf8')
      } catch {
        return null
      }
    },
    writeFile: (_name, contents) => {
      binary = contents
    },
    listFiles: () => [],
    baseDir: '.',
  },
)
if (error || !binary) {
  console.error(`checksum.as.ts: ${error?.message ?? 'no output'}\n${stderr.toString()}`)
  process.exit(1)
}
const base64 = Buffer.from(binary).toString('base64')
const lines = base64.match(/.{1,100}/g).map((line) => `  '${line}',`)
const text = `// Made by \`npm run build:wasm\` from checksum.as.ts; do not edit.\nexport const CHECKSUM_WASM = [\n${lines.join('\n')}\n].join('')\n`
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error('checksum.wasm.ts is out of date: run npm run build:wasm')
    process.exit(1)
  }
} else writeFileSync(target, text)
