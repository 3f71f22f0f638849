// Runs of one policy over several seeds, for tests that need figures alone.

import { demandOf } from './demand.ts'
import { meanOf, type Figures } from './figures.ts'
import { slotsOf, World, type Layout, type PolicyMaker } from './world.ts'

export type Run = {
  readonly layout: Layout
  readonly load: number
  readonly serviceTimeS: number
  readonly requests: number
  readonly seed: number
  readonly warmUpShare?: number
  /** Changes the world before it begins: faults, slow endpoints. */
  readonly prepare?: (world: World) => void
}

export type Ran = Figures & { readonly refused: number; readonly counts: ReadonlyMap<string, number> }

export function runOnce(make: PolicyMaker, run: Run): Ran {
  const { layout, load, serviceTimeS, requests, seed, warmUpShare = 0.1 } = run
  const ratePerS = (load * slotsOf(layout)) / serviceTimeS
  const demand = demandOf({ seed, ratePerS, serviceTimeS, requests, isolates: layout.isolates })
  const world = new World(layout, seed)
  run.prepare?.(world)
  const figures = world.run(make, demand, warmUpShare)
  return { ...figures, refused: world.refused, counts: world.counts }
}

/** Means over the seeds. */
export function runs(make: () => PolicyMaker, run: Omit<Run, 'seed'>, seeds: readonly number[]): { meanWaitS: number; slowShare: number } {
  const all = seeds.map((seed) => runOnce(make(), { ...run, seed }))
  return { meanWaitS: meanOf(all.map(({ meanWaitS }) => meanWaitS)), slowShare: meanOf(all.map(({ slowShare }) => slowShare)) }
}
