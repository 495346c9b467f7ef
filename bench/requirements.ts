import { spawnSync } from 'node:child_process'

/** Whether a program can be started by this name, or path. */
export const hasCommand = (command: string): boolean =>
  spawnSync('sh', ['-c', 'command -v "$1"', 'sh', command]).status === 0

/** Why whole gateways cannot be measured here; undefined when they can. */
export function rigMissing(
  programs: readonly (readonly [command: string, pkg: string])[],
): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root, for network namespaces'
  const missing = programs.find(([command]) => !hasCommand(command))
  return missing && `${missing[0]} is not installed (package ${missing[1]})`
}
