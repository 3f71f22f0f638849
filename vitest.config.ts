import { defineConfig } from 'vitest/config'

/** Where CI wants the runner's own report; unset on a person's machine. */
const report = process.env['ISOCHRONE_TEST_REPORT']

// One project per kind of test (see docs/design/testing.md): plain Node, inside workerd, against the running platform.
export default defineConfig({
  test: {
    // Two cores: more workers only wait for each other.
    maxWorkers: 2,
    // The Workers log a line per request; they are of interest where a test failed.
    silent: 'passed-only',
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts', 'test/contract/edge/**/*.test.ts'] } },
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'engine', include: ['test/engine/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      'test/worker/edge/vitest.config.ts',
      'test/worker/core/vitest.config.ts',
      'test/conformance/vitest.config.ts',
      'test/faults/vitest.config.ts',
      {
        test: { name: 'system', include: ['test/system/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 120_000, fileParallelism: false },
      },
    ],
  },
})
