// `npm run soak [-- --minutes 10 --seed 1 --per-second 8 --json FILE]`: a mixed load on a whole platform while faults come and go from a seed.
// Ends with 1 when a failed request has no explanation, a fault cost too much, a lease is left, or memory grows.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { seededRandom } from '../../shared/random.ts'
import { Scene } from '../support/fault-scene.ts'
import { roughMix } from '../support/requests.ts'
import { failed, tally } from '../support/samples.ts'
import { soakFaults } from './faults.ts'
import { tables } from './report.ts'
import { runSoak } from './run.ts'
import { schedule } from './schedule.ts'
import { faultsFound, rowOf } from './verdict.ts'

const usage = 'npm run soak -- [--minutes 1..60] [--seed <whole number>] [--per-second 1..30] [--json FILE]'
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    'per-second': { type: 'string', default: '8' },
    json: { type: 'string' },
  },
})
const [minutes, seed, perS] = [Number(values.minutes), Number(values.seed), Number(values['per-second'])]
if (!(minutes >= 1 && minutes <= 60) || !Number.isInteger(seed) || !(perS >= 1 && perS <= 30)) {
  console.error(usage)
  process.exit(2)
}

/** What hangs is given up in time for the next fault to be told from this one. */
const timeoutMs = 6_000
const lengthMs = minutes * 60_000
const plan = schedule(soakFaults, lengthMs, seededRandom(seed))

const scene = await Scene.open({
  mix: roughMix,
  perS,
  seed,
  timeoutMs,
  hasSibling: true,
  env: { ISOCHRONE_LEDGERS: 'apart', ISOCHRONE_INSPECT: '1' },
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void scene.close().finally(() => process.exit(130)))
try {
  // As by an operator who knows that this model takes a fraction of it: what hangs is noticed by the streams that wait.
  await scene.changeModel({ firstTokenMsMax: 1_000 })
  console.log(`seed ${seed}: ${minutes} min, ${perS} requests a second, ${plan.length} faults; metrics gone everywhere for half of it\n`)
  const soaked = await runSoak(scene, { plan, lengthMs, timeoutMs, say: console.log })
  const { samples, spells, memory, left, startMs } = soaked
  const found = faultsFound(soaked)
  console.log(`\n${tables(soaked)}\n\n${samples.length} requests, ${failed(samples).length} failed`)
  console.log(found.length === 0 ? 'every failure explained, no lease left, memory flat' : found.join('\n'))
  if (found.length > 0) console.log(`\n${await scene.story(startMs)}`)
  if (values.json) {
    const failures = tally(failed(samples).map(({ failure }) => failure ?? ''))
    const faults = spells.map((spell) => rowOf(spell, samples))
    writeFileSync(
      values.json,
      `${JSON.stringify({ seed, minutes, perS, requests: samples.length, failures, faults, memory, left, found }, null, 1)}\n`,
    )
  }
  process.exitCode = found.length === 0 ? 0 : 1
} finally {
  await scene.close()
}
