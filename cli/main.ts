#!/usr/bin/env node
// The `isochrone` command: the real outside for cli/commands/program.ts, and its exit code.

import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './commands/program.ts'

const timer = {
  sleep: async (forMs: number, signal?: AbortSignal) => {
    await sleep(forMs, undefined, signal ? { signal } : {}).catch(() => undefined)
  },
}

// Whoever reads may stop reading (`| head`): that is no error of ours.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EPIPE') throw cause
  })
}

// Not process.exit: what was written to a pipe may still be on its way.
process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  workingFolder: process.cwd(),
  out: process.stdout,
  err: process.stderr,
  clock: { nowMs: () => Date.now() },
  timer,
  steadyMs: () => performance.now(),
})
