import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../lab/root.js'

/** Where `install` unpacks Debian packages that cannot be installed beside each other; the same folders as below /. */
const UNPACKED = join(ROOT, 'node_modules', '.cache', 'peers')

/** The folder that `path` is below, / when it is installed. undefined when it is nowhere. */
export const folderOf = (path: string): string | undefined =>
  ['/', UNPACKED].find((folder) => existsSync(join(folder, path)))
