import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { INITIATOR } from '../../../src/ike/prephase/initiator.js'
import { RESPONDER } from '../../../src/ike/prephase/responder.js'
import { MAIN_MODE } from '../../../src/ike/v1/main-mode.js'
import { QUICK_MODE } from '../../../src/ike/v1/quick-mode.js'
import { FIRST_EXCHANGES } from '../../../src/ike/v2/first-exchanges.js'
import { OWN_EXCHANGES, WHILE } from '../../../src/ike/v2/own-exchanges.js'
import { ROOT } from '../../lab/root.js'

type AnyTable = Readonly<Record<string, Readonly<Record<string, { readonly story: string } | undefined>>>>

const MACHINES: readonly (readonly [string, string, AnyTable])[] = [
  ['Pre-phase, our attempt', 'src/ike/prephase/initiator.ts', INITIATOR],
  ['Pre-phase, one that the peer began', 'src/ike/prephase/responder.ts', RESPONDER],
  ['IKEv1 Main Mode', 'src/ike/v1/main-mode.ts', MAIN_MODE],
  ['IKEv1 Quick Mode', 'src/ike/v1/quick-mode.ts', QUICK_MODE],
  ['IKEv2 IKE_SA_INIT and IKE_AUTH', 'src/ike/v2/first-exchanges.ts', FIRST_EXCHANGES],
  ['IKEv2, our requests under an IKE SA', 'src/ike/v2/own-exchanges.ts', OWN_EXCHANGES],
]

const rows = (table: AnyTable) =>
  Object.entries(table).flatMap(([state, row]) =>
    Object.entries(row).map(([event, t]) => ({ state, event, story: t?.story ?? '' })),
  )

describe.each(MACHINES)('%s', (_name, _file, table) => {
  test('every transition has a story of its own, which the log tells', () => {
    const stories = rows(table).map((r) => `${r.state}: ${r.story}`)
    for (const { story } of rows(table)) expect(story.length).toBeGreaterThan(8)
    expect(new Set(stories).size).toBe(stories.length)
  })

  test('nothing leaves the states that are the end', () => {
    for (const state of ['FAILED', 'CLOSED', 'GONE']) expect(Object.keys(table[state] ?? {})).toEqual([])
  })
})

/** What each end does meanwhile with what the peer asks for. */
const meanwhile = (): string[] => [
  '## IKEv2, the peer’s requests while one of ours is under way (RFC 7296 section 2.25)',
  '',
  '`src/ike/v2/own-exchanges.ts`; `later` is TEMPORARY_FAILURE, and Deletes are always answered.',
  '',
  '| ours | a CHILD_SA | a new IKE SA |',
  '|---|---|---|',
  ...Object.entries(WHILE).map(([state, w]) => `| ${state} | ${w.CHILD} | ${w.REKEY_IKE} |`),
  '',
]

test('native-notes/state-machines.md tells them all (npx vitest run test/unit/ike -u writes it)', async () => {
  const text = [
    '# State machines',
    '',
    'Every machine of key management is a table: for a state and an event a transition, with the story that the log tells. A state carries',
    'only what is true in it. Where the table has no transition the event is counted and of no concern. This page is made from the tables,',
    'and a test compares it with them.',
    '',
    ...MACHINES.flatMap(([name, file, table]) => [
      `## ${name}`,
      '',
      `\`${file}\``,
      '',
      '| state | event | story |',
      '|---|---|---|',
      ...rows(table).map((r) => `| ${r.state} | ${r.event} | ${r.story} |`),
      '',
    ]),
    ...meanwhile(),
  ].join('\n')
  await expect(text).toMatchFileSnapshot(join(ROOT, 'native-notes/state-machines.md'))
})
