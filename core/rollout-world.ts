// What the loop knows of the world around a rollout: traffic and room by region, the canary's endpoints as the readiness gate asks of them,
// trouble that is not the canary's, and whether stable is whole. Joins what the stages remember; pure but for reading the loop's state.

import { limits } from '../shared/limits.ts'
import { cellIdOf, type ModelName, type RegionName, type VersionId } from '../shared/ids.ts'
import type { EndpointLoad } from '../shared/wire/ledger.ts'
import type { EndpointHealth } from '../shared/wire/snapshot.ts'
import { aliasNameOf } from '../shared/wire/trial.ts'
import type { Catalogue, CatalogueEndpoint, Deployment, LedgerRecord, LoopState } from './facts.ts'
import type { Demand, Target as ReadyTarget } from './gate/readiness.ts'
import { isSilent } from './judge/health.ts'
import type { Trouble } from './rollout/judgement.ts'
import type { RegionNow } from './rollout/plan.ts'
import type { Rollout } from './rollout/record.ts'
import { arrivalsPerSOf, runningOf } from './rollout/trials.ts'
import { troubleOf } from './rollout/trouble.ts'

/** What of the loop's state a rollout is judged in. */
export type Around = Pick<LoopState, 'ledgers' | 'judged' | 'probes' | 'trials'> & { readonly catalogue: Catalogue; readonly nowMs: number }

type Alias = Pick<Rollout, 'environment' | 'model'>

const endpointsOf = ({ catalogue }: Around, model: ModelName): readonly CatalogueEndpoint[] =>
  catalogue.endpoints.filter((endpoint) => endpoint.model === model)

const healthOf = ({ judged }: Around, { id }: CatalogueEndpoint): EndpointHealth => judged.get(id)?.health ?? 'unknown'

const recordOf = ({ ledgers }: Around, model: ModelName, region: RegionName): LedgerRecord | undefined =>
  ledgers.get(cellIdOf(model, region))

const isQuiet = (around: Around, model: ModelName, region: RegionName): boolean =>
  isSilent(recordOf(around, model, region)?.answeredAtMs ?? null, around.nowMs)

const loadOf = (around: Around, { id, model, region }: CatalogueEndpoint): EndpointLoad | null =>
  recordOf(around, model, region)?.endpoints[id] ?? null

/** Given traffic as far as anybody knows. */
const servesAt = (health: EndpointHealth): boolean => health === 'healthy' || health === 'degraded' || health === 'unknown'

export const regionsOf = (around: Around, model: ModelName): readonly RegionName[] =>
  [...new Set(endpointsOf(around, model).map(({ region }) => region))].toSorted()

// ---- Traffic and room ----

/** Mean seconds a request takes in a region: of stable's endpoints there, else of any; unmeasured, what a plausible one takes. */
function serviceS(around: Around, model: ModelName, region: RegionName, stable: VersionId | null): number {
  const there = endpointsOf(around, model).filter((endpoint) => endpoint.region === region)
  const timesOf = (list: readonly CatalogueEndpoint[]): readonly number[] =>
    list.flatMap((endpoint) => loadOf(around, endpoint)?.serviceMs ?? [])
  const own = timesOf(there.filter(({ version }) => version === stable))
  const all = own.length > 0 ? own : timesOf(there)
  const meanMs = all.length > 0 ? all.reduce((sum, ms) => sum + ms, 0) / all.length : limits.serviceUnmeasuredMs
  return meanMs / 1_000
}

/** A place that a version would get by being deployed. */
export type PlannedPlace = { readonly region: RegionName; readonly slots: number }

/**
 * Traffic of the alias by region, and the slots that the version has free there, or would have once deployed. What the canary holds of this
 * alias's requests now counts as free, for the next weight includes it. null: not known.
 */
export function regionsNow(
  around: Around,
  alias: Alias,
  { stable, canary, weightBp }: { readonly stable: VersionId | null; readonly canary: VersionId; readonly weightBp: number },
  planned: readonly PlannedPlace[] = [],
): readonly RegionNow[] {
  const { model, environment } = alias
  const regions = [...new Set([...regionsOf(around, model), ...planned.map(({ region }) => region)])].toSorted()
  return regions.map((region): RegionNow => {
    const demandPerS =
      isQuiet(around, model, region) && regionsOf(around, model).includes(region)
        ? null
        : (arrivalsPerSOf(around.trials, aliasNameOf(environment, model), region, around.nowMs) ?? 0)
    const demandSlots = demandPerS === null ? null : demandPerS * serviceS(around, model, region, stable)
    const own = endpointsOf(around, model).filter((endpoint) => endpoint.region === region && endpoint.version === canary)
    const held = ((demandSlots ?? 0) * weightBp) / 10_000
    const later = planned.filter((place) => place.region === region).reduce((sum, { slots }) => sum + slots, 0)
    const spare = spareSlotsOf(around, own)
    return { region, demandPerS, demandSlots, spareSlots: spare === null ? null : spare + later + (own.length > 0 ? held : 0) }
  })
}

/** null: an endpoint that serves has not been spoken of by its ledger yet. */
function spareSlotsOf(around: Around, endpoints: readonly CatalogueEndpoint[]): number | null {
  let spare = 0
  for (const endpoint of endpoints) {
    if (endpoint.state !== 'enabled' || endpoint.weight === 0 || !servesAt(healthOf(around, endpoint))) continue
    const load = loadOf(around, endpoint)
    if (!load) return null
    spare += Math.max(0, load.cap - load.inFlight)
  }
  return spare
}

// ---- Readiness ----

/** The version's places as the readiness gate asks of them: its endpoints, and deployments that have none yet. */
export function readyTargetsOf(
  around: Around,
  version: VersionId,
  model: ModelName,
  deployments: readonly Deployment[],
): readonly ReadyTarget[] {
  const endpoints = endpointsOf(around, model).filter((endpoint) => endpoint.version === version && endpoint.state === 'enabled')
  const made = new Set(endpoints.map(({ id }) => id))
  const pending = deployments.filter(({ isWanted, endpoint }) => isWanted && (endpoint === null || !made.has(endpoint)))
  return [
    ...endpoints.map((endpoint) => readyTarget(around, endpoint)),
    ...pending.map(({ state }): ReadyTarget => ({
      load: state === 'failed' ? 'failed' : 'loading',
      warm: { good: 0, failed: 0 },
      capacityPerS: null,
      busyPerS: 0,
    })),
  ]
}

const loads: Readonly<Partial<Record<EndpointHealth, ReadyTarget['load']>>> = {
  healthy: 'loaded',
  degraded: 'loaded',
  warming: 'loading',
  unknown: 'loading',
  ejected: 'failed',
  gone: 'failed',
  probing: 'loading',
  sleeping: 'loading',
}

function readyTarget(around: Around, endpoint: CatalogueEndpoint): ReadyTarget {
  const { id, model, region, slots } = endpoint
  const record = recordOf(around, model, region)
  const generations = around.probes.get(id)?.generations ?? { good: 0, failed: 0 }
  const served = record?.outcomes[id]?.good ?? 0
  const load = loadOf(around, endpoint)
  const seconds = load?.serviceMs ? load.serviceMs / 1_000 : serviceS(around, model, region, null)
  return {
    load: loads[healthOf(around, endpoint)] ?? 'unknown',
    warm: { good: generations.good + served, failed: generations.failed },
    capacityPerS: slots / Math.max(seconds, 0.001),
    busyPerS: (load?.inFlight ?? 0) / Math.max(seconds, 0.001),
  }
}

/** All of the alias's traffic, and the first part of it that the version would get. */
export function demandOf(around: Around, rollout: Rollout): Demand {
  const regions = regionsNow(around, rollout, { stable: rollout.from, canary: rollout.to, weightBp: 0 })
  const known = regions.every(({ demandPerS }) => demandPerS !== null)
  const first = rollout.steps.find((step) => step.kind === 'weight')
  return {
    trafficPerS: known ? regions.reduce((sum, { demandPerS }) => sum + (demandPerS ?? 0), 0) : null,
    weightBp: first?.kind === 'weight' ? first.weightBp : 10_000,
  }
}

/** Endpoints that must answer their first requests before the canary of a rollout that warms gets any. */
export function endpointsToWarm(around: Pick<Around, 'catalogue'>, rollouts: readonly Rollout[]): ReadonlySet<CatalogueEndpoint['id']> {
  const versions = new Set(rollouts.filter(({ phase }) => phase === 'warming').map(({ to }) => to))
  return new Set(around.catalogue.endpoints.filter(({ version }) => versions.has(version)).map(({ id }) => id))
}

// ---- Trouble, and the end of an abort ----

/** By the versions that serve as stable somewhere: what is left of others, or another environment's canary, is nobody's way to the fleet. */
export function troubleNow(around: Around, { model, from, to }: Rollout): Trouble {
  const serving = new Set(around.catalogue.aliases.filter((alias) => alias.model === model).map(({ stable }) => stable)).add(from).add(to)
  const members = endpointsOf(around, model).filter(({ version }) => serving.has(version))
  const standing = members.map((endpoint) => ({
    region: endpoint.region,
    version: endpoint.version,
    slots: endpoint.slots,
    health: healthOf(around, endpoint),
  }))
  const silent = new Set(regionsOf(around, model).filter((region) => isQuiet(around, model, region)))
  return troubleOf(standing, to, silent)
}

/** Whether any ledger of the model has answered lately. */
export const isReadable = (around: Around, model: ModelName): boolean =>
  regionsOf(around, model).some((region) => !isQuiet(around, model, region))

/** Whether all of a version's endpoints that people want to serve do. Without any it has lost all. */
export function isWhole(around: Around, version: VersionId): boolean {
  const wanted = around.catalogue.endpoints.filter((endpoint) => endpoint.version === version && endpoint.state === 'enabled')
  return wanted.length > 0 && wanted.every((endpoint) => servesAt(healthOf(around, endpoint)))
}

/**
 * Requests of the alias that are still on the canary: what its endpoints hold, but for a version that other aliases serve too, of which
 * only this alias's own count.
 */
export function canaryInFlight(around: Around, rollout: Rollout): number {
  const { environment, model, to } = rollout
  const isShared = around.catalogue.aliases.some(
    (alias) => (alias.environment !== environment || alias.model !== model) && (alias.stable === to || alias.canary === to),
  )
  if (isShared) return runningOf(around.trials, aliasNameOf(environment, model), to)
  const own = endpointsOf(around, model).filter(({ version }) => version === to)
  return own.reduce((sum, endpoint) => sum + (loadOf(around, endpoint)?.inFlight ?? 0), 0)
}

/**
 * Whether the ledgers of all the canary's endpoints have lately said what these hold, and know of this generation of the snapshot: what one
 * said before is of a time in which it still gave the canary requests.
 */
export const isCanaryHeard = (around: Around, { model, to }: Rollout, generation: number): boolean =>
  endpointsOf(around, model)
    .filter(({ version }) => version === to)
    .every((endpoint) => {
      const isTold = (recordOf(around, model, endpoint.region)?.generation ?? 0) >= generation
      return isTold && !isQuiet(around, model, endpoint.region) && loadOf(around, endpoint) !== null
    })

/** The part of the ledgers, in 1/10,000, that have been told of this generation of the snapshot: what counts where nobody asks for anything. */
export function ledgersBpOf(around: Around, model: ModelName, generation: number): number {
  const regions = regionsOf(around, model)
  const told = regions.filter((region) => (recordOf(around, model, region)?.generation ?? 0) >= generation).length
  return regions.length === 0 ? 10_000 : Math.floor((told / regions.length) * 10_000)
}
