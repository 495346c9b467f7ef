// Makes a fresh clone ready: installs the npm packages when the lock file is newer than what is installed,
// and compiles when any source is newer than the last build. Plain JavaScript, as nothing is compiled yet.
import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`sallyport needs Node 20.19 or newer; this is ${process.version}. Install a newer Node.js.`)
  process.exit(1)
}

/** Newest modification time (ms) of a file or of the files below a folder; 0 where there is none. */
function newest(path) {
  if (!existsSync(path)) return 0
  const info = statSync(path)
  if (!info.isDirectory()) return info.mtimeMs
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))))
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error || status !== 0) {
    console.error(
      `${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ` with status ${status}`}`,
    )
    process.exit(1)
  }
}

const installed = newest(join(root, 'node_modules', '.package-lock.json'))
// npm ci empties node_modules first. Through a symbolic link that would be somebody else's.
const shared = lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink() ?? false
const stale =
  installed < newest(join(root, 'package-lock.json')) || installed < newest(join(root, 'package.json'))
if (shared && stale)
  console.error('node_modules is a symbolic link and older than package.json; it is left as it is')
else if (stale) {
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'])
}
const sources = ['src', 'test/lab', 'test/fuzz', 'bench', 'tsconfig.json', 'tsconfig.build.json'].map((p) =>
  newest(join(root, p)),
)
if (newest(join(root, 'dist', '.tsbuildinfo')) < Math.max(...sources)) {
  run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'])
}
