import { defineConfig } from 'vitest/config'

// Every file asks the one platform that the global setup starts; they run one after the other, because faults of one are load for the other.
export default defineConfig({
  test: {
    name: 'conformance',
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../support/scripted-platform.ts'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
