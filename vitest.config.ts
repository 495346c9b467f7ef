import { defineConfig } from 'vitest/config'

const common = { pool: 'forks', testTimeout: 20_000, hookTimeout: 60_000 } as const

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
        // Network namespaces, TUN devices and CPU are shared by the whole machine.
        test: {
          ...common,
          name: 'machine',
          include: ['test/{compiled,netns,replay}/**/*.test.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
