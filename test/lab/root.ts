import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

function findRoot(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    // dist has no package.json of its own, so this is the same folder for the sources and for what is compiled.
    if (existsSync(join(at, 'package.json'))) return at
    if (dirname(at) === at) throw new Error('package.json not found above the lab')
  }
}

/** Folder of package.json. */
export const ROOT = findRoot()

/** A compiled program, named by its source without ending: "test/lab/programs/send-image". */
export const compiled = (source: string): string => join(ROOT, 'dist', `${source}.js`)

/** The command line program of the product. */
export const SALLYPORT = compiled('src/cli/main')
