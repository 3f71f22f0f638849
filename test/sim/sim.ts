// `npm run sim [-- --quick] [--json FILE] [scenario...]`: plays the scenarios of routing and prints who waited how long. Virtual time and
// seeded chance: the same figures on every machine.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { aligned } from '../bench/figures.ts'
import { meansOf, play, type Extent, type Row, type Scenario } from './harness/play.ts'
import { asking } from './scenarios/asking.ts'
import { cell } from './scenarios/cell.ts'
import { regions } from './scenarios/regions.ts'

const scenarios: Readonly<Record<string, Scenario>> = { cell, regions, asking }
const full: Extent = { seeds: [1, 2, 3], requests: 40_000 }
const quick: Extent = { seeds: [1], requests: 20_000 }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, quick: { type: 'boolean', default: false } },
})
const names = positionals.length > 0 ? positionals : Object.keys(scenarios)
const unknown = names.filter((name) => !(name in scenarios))
if (unknown.length > 0) {
  console.error(`npm run sim -- [--quick] [--json FILE] [${Object.keys(scenarios).join(' | ')}]... (not ${unknown.join(', ')})`)
  process.exit(2)
}

const extent = values.quick ? quick : full
console.log(`seeds ${extent.seeds.join(', ')}; ${extent.requests} requests each, the first tenth not measured; means over the seeds\n`)
const rows: Row[] = []
for (const name of names) {
  const scenario = scenarios[name]
  if (!scenario) continue
  const played = [...play(scenario, extent)]
  console.log(`## ${name}\n\n${tableOf(played)}\n`)
  rows.push(...played)
}
if (values.json) writeFileSync(values.json, `${JSON.stringify({ rows }, null, 1)}\n`)

function tableOf(played: readonly Row[]): string {
  const heads = ['service', 'load', 'policy', 'mean wait', 'mean TTFT', '(seeds)', 'p99 TTFT', 'slow', 'refused', 'shares']
  const groups = Map.groupBy(played, ({ serviceTimeS, load, policy }) => [serviceTimeS, load, policy].join(' '))
  const lines = [...groups.values()].map((group) => {
    const means = meansOf(group)
    const ttfts = group.map((row) => row.meanTtftS)
    return [
      `${means.serviceTimeS} s`,
      means.load.toFixed(2),
      means.policy,
      seconds(means.meanWaitS),
      seconds(means.meanTtftS),
      `${seconds(Math.min(...ttfts))} to ${seconds(Math.max(...ttfts))}`,
      seconds(means.p99TtftS),
      percent(means.slowShare),
      percent(means.refusedShare),
      Object.entries(means.shares)
        .map(([name, share]) => `${name} ${percent(share)}`)
        .join(', '),
    ]
  })
  return aligned([heads, ...lines])
}

/** Four digits: waits at low load are tenths of a millisecond. */
function seconds(value: number): string {
  return value >= 10 ? value.toFixed(1) : value.toFixed(4)
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`
}
