import { spawnSync } from 'node:child_process'

// iproute2 may live in a system folder, which root's PATH lacks after su, in cron and in some containers.
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']
process.env.PATH = [...new Set([...(process.env.PATH ?? '').split(':'), ...SYSTEM_FOLDERS])].join(':')

/** Runs a program to its end and gives what it printed. @throws Error with what it said when it fails */
export function run(command: string, args: readonly string[], input?: string): string {
  const { status, error, stdout, stderr, signal } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 64 << 20,
    ...(input === undefined ? {} : { input }),
  })
  if (error) throw new Error(`${command}: ${error.message}`)
  if (status !== 0)
    throw new Error(
      `${command} ${args.join(' ')}: ${(stderr || stdout || `ended by ${signal ?? status}`).trim()}`,
    )
  return stdout
}

/** Runs several `ip` commands in a namespace, in one process; stops at the first that fails. */
export function ipBatch(namespace: string, commands: readonly string[]): void {
  run('ip', ['-n', namespace, '-batch', '-'], `${commands.join('\n')}\n`)
}
