import { defineConfig } from 'vitest/config'

// Every file asks the one platform that the global setup starts; they run one after the other, because faults of one are load for the other.
export default defineConfig({
  test: {
    name: 'faults',
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../support/scripted-platform.ts'],
    fileParallelism: false,
    // Tests that only wait do it side by side.
    maxConcurrency: 20,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
