// `npm run bench -- <name>`: starts a platform of its own, measures, prints. Figures are of this machine; ratios within one run are what counts.

import { cpus } from 'node:os'
import { forgetHome, startPlatform, type Dev } from '../support/platform.ts'
import { overhead } from './overhead.ts'
import { propagation } from './propagation.ts'

const benches: Readonly<Record<string, (dev: Dev) => Promise<string>>> = { overhead, propagation }

const names = process.argv.slice(2)
const unknown = names.filter((name) => !Object.hasOwn(benches, name))
if (names.length === 0 || unknown.length > 0) {
  console.error(`npm run bench -- <name>...: ${Object.keys(benches).join(', ')}${unknown.length > 0 ? ` (not ${unknown.join(', ')})` : ''}`)
  process.exit(2)
}

const platform = await startPlatform()
try {
  const cpu = cpus()
  console.log(`${cpu.length} x ${cpu[0]?.model ?? 'unknown processor'}, node ${process.version}\n`)
  for (const name of names) console.log(`## ${name}\n\n${await benches[name]?.(platform.dev)}\n`)
} finally {
  await platform.stop()
  forgetHome(platform.home)
}
