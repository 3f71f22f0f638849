// What a turn of the control loop costs by number of endpoints: the real loop in this process, the outside in memory, everything that
// crosses to another object through structuredClone. One percent of the endpoints change their state in each turn. Sizes take turns,
// so that a slow moment of the machine meets all of them.

import { ControlWorld, type Turned } from '../support/control-world.ts'
import { fleet } from '../support/fleet.ts'
import { ms, quantile, table } from './figures.ts'

/** Five endpoints to a cell in each, so that sizes differ in nothing else. */
const sizes = [
  { endpoints: 10, models: 1, regions: 2, spread: 2 },
  { endpoints: 100, models: 4, regions: 10, spread: 5 },
  { endpoints: 1_000, models: 40, regions: 20, spread: 5 },
] as const
const changeShare = 0.01
/** Until every endpoint was probed, judged and published, and the code is compiled. */
const warmingTurns = 30
const rounds = 60
const countedTurns = 20

export async function control(): Promise<string> {
  const worlds = sizes.map((size) => ({
    size,
    world: new ControlWorld(fleet(size), changeShare),
    turns: [] as Turned[],
    counted: [] as Turned[],
  }))
  for (const { world } of worlds) for (let turn = 0; turn < warmingTurns; turn++) await world.turn()
  for (let round = 0; round < rounds; round++) for (const { world, turns } of worlds) turns.push(await world.turn())
  for (const { world, counted } of worlds) {
    for (let turn = 0; turn < countedTurns; turn++) counted.push(await world.turn({ countBytes: true }))
  }

  const perEndpoint = worlds.map(({ size, turns }) => quantile(times(turns), 0.5) / size.endpoints)
  const rows = worlds.map(({ size, turns, counted }, n) => [
    String(size.endpoints),
    String(size.models * size.spread),
    ms(quantile(times(turns), 0.5)),
    ms(quantile(times(turns), 0.95)),
    `${((perEndpoint[n] ?? Number.NaN) * 1_000).toFixed(0)} µs`,
    ((perEndpoint[n] ?? Number.NaN) / (perEndpoint[1] ?? Number.NaN)).toFixed(2),
    mean(turns.map(({ events }) => events)).toFixed(1),
    kilobytes(counted.map(({ bytesDown }) => bytesDown)),
    kilobytes(counted.map(({ bytesUp }) => bytesUp)),
  ])
  const head = ['endpoints', 'cells', 'median', 'p95', 'per endpoint', 'of that at 100', 'changes', 'down per turn', 'up per turn']
  return `A turn of the control loop, ${rounds} of each size in turns after ${warmingTurns} to warm up; ${changeShare * 100} % of the endpoints change state in a turn. Its budget is 1,000 ms.\n\n${table(head, rows)}`
}

const times = (turns: readonly Turned[]): readonly number[] => turns.map(({ tookMs }) => tookMs)
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const kilobytes = (values: readonly number[]): string => `${(mean(values) / 1024).toFixed(0)} KB`
