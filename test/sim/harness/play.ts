// Plays scenarios: every policy of a scenario meets the same demand, once per load and seed. One row per run.

import { demandOf } from './demand.ts'
import { slotsOf, World, type Layout, type PolicyMaker } from './world.ts'

export type Case = { readonly load: number; readonly serviceTimeS: number }

export type Scenario = {
  readonly name: string
  readonly layout: Layout
  /** Parts of the demand by region of its callers. */
  readonly origins: readonly number[]
  readonly cases: readonly Case[]
  readonly policies: Readonly<Record<string, (of: Case) => PolicyMaker>>
}

export type Row = {
  readonly scenario: string
  readonly policy: string
  readonly load: number
  readonly serviceTimeS: number
  readonly seed: number
  readonly meanWaitS: number
  readonly meanTtftS: number
  readonly p99TtftS: number
  readonly slowShare: number
  readonly refusedShare: number
  /** Parts of the requests that the policy counted by name, such as those that asked a ledger. */
  readonly shares: Readonly<Record<string, number>>
}

export type Extent = { readonly seeds: readonly number[]; readonly requests: number }

export function playOnce(scenario: Scenario, of: Case, policy: string, extent: { seed: number; requests: number }): Row {
  const { layout, origins } = scenario
  const { load, serviceTimeS } = of
  const { seed, requests } = extent
  const make = scenario.policies[policy]
  if (!make) throw new Error(`${scenario.name}: no policy ${policy}`)
  const ratePerS = (load * slotsOf(layout)) / serviceTimeS
  const demand = demandOf({ seed, ratePerS, serviceTimeS, requests, isolates: layout.isolates, origins })
  const world = new World(layout, seed)
  const { meanWaitS, meanTtftS, p99TtftS, slowShare } = world.run(make(of), demand)
  const shares = Object.fromEntries([...world.counts].map(([name, count]) => [name, count / requests]))
  const refusedShare = world.refused / requests
  return { scenario: scenario.name, policy, load, serviceTimeS, seed, meanWaitS, meanTtftS, p99TtftS, slowShare, refusedShare, shares }
}

/** Means over seeds, each policy and case played once however often it is asked for. */
export function memoryOf(scenario: Scenario, { seeds, requests }: Extent): (policy: string, load: number, serviceTimeS?: number) => Means {
  const played = new Map<string, Means>()
  return (policy, load, serviceTimeS = 1) => {
    const name = [policy, load, serviceTimeS].join(' ')
    const known = played.get(name) ?? meansOf(seeds.map((seed) => playOnce(scenario, { load, serviceTimeS }, policy, { seed, requests })))
    played.set(name, known)
    return known
  }
}

export function* play(scenario: Scenario, { seeds, requests }: Extent): Generator<Row> {
  for (const of of scenario.cases)
    for (const policy of Object.keys(scenario.policies)) for (const seed of seeds) yield playOnce(scenario, of, policy, { seed, requests })
}

export type Means = Omit<Row, 'seed'>

/** Means over the seeds of one policy in one case. */
export function meansOf(rows: readonly Row[]): Means {
  const [first] = rows
  if (!first) throw new Error('meansOf: no rows')
  const mean = (of: (row: Row) => number) => rows.reduce((sum, row) => sum + of(row), 0) / rows.length
  const { scenario, policy, load, serviceTimeS } = first
  return {
    scenario,
    policy,
    load,
    serviceTimeS,
    meanWaitS: mean((row) => row.meanWaitS),
    meanTtftS: mean((row) => row.meanTtftS),
    p99TtftS: mean((row) => row.p99TtftS),
    slowShare: mean((row) => row.slowShare),
    refusedShare: mean((row) => row.refusedShare),
    shares: Object.fromEntries(Object.keys(first.shares).map((name) => [name, mean((row) => row.shares[name] ?? 0)])),
  }
}
