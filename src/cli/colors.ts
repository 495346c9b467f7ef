import picocolors from 'picocolors'

/**
 * Colours for a terminal and nothing else. The package's own guess also says yes wherever CI is set, and then a pipe or a
 * file would get escape sequences.
 */
export const colors = picocolors.createColors(
  process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
)
