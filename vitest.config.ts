import { defineConfig } from 'vitest/config'

const common = { pool: 'forks', testTimeout: 20_000, hookTimeout: 60_000 } as const

/** Whole gateways in network namespaces of their own, and no rate or time of theirs measured: some may run beside each other. */
const UNHURRIED = [
  'test/netns/e2e-{capture,errors,manual,path-mtu,protection,router}.test.ts',
  'test/replay/*.test.ts',
]

export default defineConfig({
  test: {
    projects: [
      {
        // Nothing of these is shared: they run beside each other.
        test: {
          ...common,
          name: 'pure',
          include: ['test/{unit,exchange,property}/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Towards other daemons it is waiting that takes the time.
        test: {
          ...common,
          name: 'interop',
          include: ['test/interop/**/*.test.ts'],
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...common,
          name: 'lab',
          include: UNHURRIED,
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // Network namespaces, TUN devices and CPU are shared by the whole machine.
        test: {
          ...common,
          name: 'machine',
          include: ['test/{compiled,netns}/**/*.test.ts'],
          exclude: UNHURRIED,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
})
