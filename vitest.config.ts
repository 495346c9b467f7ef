import { defineConfig } from 'vitest/config'

const common = { pool: 'forks', testTimeout: 20_000, hookTimeout: 60_000 } as const

export default defineConfig({
  test: {
    projects: [
      {
        // Nothing of these is shared: they run beside each other. Towards other daemons it is waiting that takes the time.
        test: {
          ...common,
          name: 'pure',
          include: ['test/{unit,exchange,property,interop}/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Network namespaces, TUN devices and CPU are shared by the whole machine.
        test: {
          ...common,
          name: 'machine',
          include: ['test/{compiled,netns,replay}/**/*.test.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
