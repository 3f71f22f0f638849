// Prints `N passed, N failed, N skipped` from vitest's JSON report. Fails when there is no report or no test in it.
// A file that could not even be loaded has no tests of its own: it counts as one failure.

import { readFileSync } from 'node:fs'

let report
try {
  report = JSON.parse(readFileSync(process.argv[2], 'utf8'))
} catch {
  console.error('no report was written: the checks before the tests failed, or the runner ended early')
  console.log('0 passed, 1 failed, 0 skipped')
  process.exit(1)
}

const tests = report.testResults.flatMap((file) => file.assertionResults)
const count = (...statuses) => tests.filter((test) => statuses.includes(test.status)).length
const brokenFiles = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length
const passed = count('passed')
const failed = count('failed') + brokenFiles
const skipped = tests.length - count('passed', 'failed')

for (const test of tests) {
  if (test.status !== 'passed' && test.status !== 'failed') console.log(`skipped: ${test.fullName}`)
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exit(passed > 0 && failed === 0 ? 0 : 1)
