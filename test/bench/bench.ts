// `npm run bench -- <name>`: starts a platform of its own, measures, prints. Figures are of this machine; ratios within one run are what counts.

import { cpus } from 'node:os'
import { forgetHome, startPlatform, type Dev } from '../support/platform.ts'
import { control } from './control.ts'
import { overhead } from './overhead.ts'
import { propagation } from './propagation.ts'
import { streams } from './streams.ts'

/** Benches of the running platform, and those that need none. */
const onPlatform: Readonly<Record<string, (dev: Dev) => Promise<string>>> = { overhead, propagation }
const alone: Readonly<Record<string, () => Promise<string>>> = { control, streams }
const known = [...Object.keys(onPlatform), ...Object.keys(alone)]

const names = process.argv.slice(2)
const unknown = names.filter((name) => !known.includes(name))
if (names.length === 0 || unknown.length > 0) {
  console.error(`npm run bench -- <name>...: ${known.join(', ')}${unknown.length > 0 ? ` (not ${unknown.join(', ')})` : ''}`)
  process.exit(2)
}

const cpu = cpus()
console.log(`${cpu.length} x ${cpu[0]?.model ?? 'unknown processor'}, node ${process.version}\n`)
for (const name of names) {
  const measured = await (alone[name]?.() ?? withPlatform(onPlatform[name]))
  console.log(`## ${name}\n\n${measured}\n`)
}

async function withPlatform(bench: ((dev: Dev) => Promise<string>) | undefined): Promise<string> {
  const platform = await startPlatform()
  try {
    return (await bench?.(platform.dev)) ?? ''
  } finally {
    await platform.stop()
    forgetHome(platform.home)
  }
}
