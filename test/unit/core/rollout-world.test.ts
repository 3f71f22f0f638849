// What the loop knows of the world around a rollout: room by region, readiness, trouble, and whether stable is whole. What nobody has told
// is unknown, and never taken for room.

import { describe, expect, it } from 'vitest'
import type { CatalogueEndpoint, Deployment, LedgerRecord } from '../../../core/facts.ts'
import { unjudged } from '../../../core/judge/health.ts'
import { newRecord } from '../../../core/probe/record.ts'
import { newLedgerRecord } from '../../../core/publish/tell.ts'
import {
  canaryInFlight,
  demandOf,
  endpointsToWarm,
  isCanaryHeard,
  isReadable,
  isWhole,
  ledgersBpOf,
  readyTargetsOf,
  regionsNow,
  troubleNow,
  type Around,
} from '../../../core/rollout-world.ts'
import type { Rollout } from '../../../core/rollout/record.ts'
import { foldTrials, newTrials } from '../../../core/rollout/trials.ts'
import { cellIdOf, type EndpointId, type ModelName, type RegionName, type TargetId, type VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { aliasNameOf } from '../../../shared/wire/trial.ts'
import type { EndpointLoad } from '../../../shared/wire/ledger.ts'
import type { EndpointHealth } from '../../../shared/wire/snapshot.ts'
import { alias as aliasRow } from '../../support/snapshot.ts'
import { trialTally } from '../../support/trial.ts'
import { Ride, weight } from './rollout-ride.ts'

const model = 'atlas' as ModelName
const fra = 'fra' as RegionName
const iad = 'iad' as RegionName
const v1 = 'v1' as VersionId
const v2 = 'v2' as VersionId
const nowMs = 60_000_000

type Place = {
  readonly id: string
  readonly region: RegionName
  readonly version: VersionId
  readonly health?: EndpointHealth
  readonly load?: Partial<EndpointLoad> | null
  readonly more?: Partial<CatalogueEndpoint>
}

const endpointOf = ({ id, region, version, more }: Place): CatalogueEndpoint => ({
  id: id as EndpointId,
  region,
  model,
  version,
  kind: 'openai',
  url: `http://${id}`,
  servedName: version,
  slots: 10,
  weight: 1,
  state: 'enabled',
  operations: null,
  options: {},
  maintenance: null,
  credential: null,
  ...more,
})

const loadOf = (more: Partial<EndpointLoad>): EndpointLoad => ({
  inFlight: 0,
  cap: 10,
  breaker: 'closed',
  serviceMs: 500,
  ttftMs: 100,
  lastGoodAtMs: nowMs,
  reason: null,
  ...more,
})

/** A fleet as told: `load` null where the ledger has not spoken of an endpoint; `quiet`: regions whose ledgers are silent. */
function aroundOf(
  places: readonly Place[],
  so: {
    readonly quiet?: readonly RegionName[]
    readonly perS?: Readonly<Record<string, number>>
    readonly aliases?: Around['catalogue']['aliases']
  } = {},
): Around {
  const regions = [...new Set(places.map(({ region }) => region))]
  const trials = newTrials(0)
  for (const [region, perS] of Object.entries(so.perS ?? {})) {
    const tally = trialTally({
      alias: aliasNameOf('production', model),
      version: v1,
      slotMs: nowMs - limits.rolloutBlockMs,
      arrived: perS * 60,
    })
    foldTrials(trials, region as RegionName, [tally], nowMs)
  }
  const ledgerOf = (region: RegionName): LedgerRecord => ({
    ...newLedgerRecord(),
    answeredAtMs: so.quiet?.includes(region) ? nowMs - limits.ledgerSilentMs - 1 : nowMs,
    endpoints: Object.fromEntries(
      places.filter((place) => place.region === region && place.load !== null).map(({ id, load }) => [id, loadOf(load ?? {})]),
    ),
  })
  return {
    nowMs,
    trials,
    catalogue: {
      seq: 1,
      regions: [],
      endpoints: places.map(endpointOf),
      aliases: so.aliases ?? [aliasRow({ environment: 'production', model, stable: v1, canary: v2 })],
      models: [],
      written: [],
    },
    ledgers: new Map(regions.map((region) => [cellIdOf(model, region), ledgerOf(region)])),
    judged: new Map(places.map(({ id, health }) => [id as EndpointId, { ...unjudged, health: health ?? 'healthy', url: `http://${id}` }])),
    probes: new Map(),
  }
}

const stable = (so: Partial<Place> = {}): Place => ({ id: 's-fra', region: fra, version: v1, ...so })
const canary = (so: Partial<Place> = {}): Place => ({ id: 'c-fra', region: fra, version: v2, ...so })
const rollout: Rollout = new Ride([weight(1_000)]).begin().rollout

describe('room in a region', () => {
  const room = (around: Around, weightBp = 0, planned: Parameters<typeof regionsNow>[3] = []) =>
    regionsNow(around, rollout, { stable: v1, canary: v2, weightBp }, planned).map(({ region, demandPerS, demandSlots, spareSlots }) => [
      region,
      demandPerS,
      demandSlots,
      spareSlots,
    ])

  it('is what the version’s endpoints have free; traffic takes what stable’s requests take', () => {
    const around = aroundOf([stable({ load: { serviceMs: 250 } }), canary({ load: { cap: 8, inFlight: 3, serviceMs: 9_000 } })], {
      perS: { fra: 12 },
    })
    expect(room(around)).toEqual([[fra, 12, 3, 5]])
  })

  it('what the canary holds of this alias now is free for its next weight', () => {
    const around = aroundOf([stable(), canary({ load: { inFlight: 6 } })], { perS: { fra: 20 } })
    expect(room(around, 5_000)).toEqual([[fra, 20, 10, 9]])
  })

  it('is there with what a deployment would bring, also where nothing of the model stands yet', () => {
    const around = aroundOf([stable()], { perS: { fra: 4 } })
    const planned = [
      { region: fra, slots: 5 },
      { region: fra, slots: 7 },
      { region: iad, slots: 3 },
    ]
    expect(room(around, 0, planned)).toEqual([
      [fra, 4, 2, 12],
      [iad, 0, 0, 3],
    ])
  })

  it.each<readonly [string, Partial<Place>, number | null]>([
    ['is none where they are out', { health: 'ejected' }, 0],
    ['is none while they warm', { health: 'warming' }, 0],
    ['is none where a person disabled them', { more: { state: 'disabled' } }, 0],
    ['is none where they are weighed to nothing', { more: { weight: 0 } }, 0],
    ['is there where they are slow', { health: 'degraded' }, 10],
    ['is unknown where the ledger has not spoken of them', { load: null }, null],
    ['is none, not less, where they have more than they may', { load: { cap: 2, inFlight: 5 } }, 0],
  ])('%s', (_, so, spare) => {
    expect(room(aroundOf([stable(), canary(so)]))[0]?.[3]).toBe(spare)
  })

  it('traffic of a region whose ledger is silent is unknown', () => {
    expect(room(aroundOf([stable(), canary()], { perS: { fra: 4 }, quiet: [fra] }))).toEqual([[fra, null, null, 10]])
  })

  it('where no request was measured it is what a plausible one takes', () => {
    const around = aroundOf([stable({ load: { serviceMs: null } }), canary({ load: { serviceMs: null } })], { perS: { fra: 4 } })
    expect(room(around)).toEqual([[fra, 4, (4 * limits.serviceUnmeasuredMs) / 1_000, 10]])
  })
})

describe('places as the readiness gate asks of them', () => {
  const deployment = (so: Partial<Deployment>): Deployment => ({
    target: 't' as TargetId,
    version: v2,
    isWanted: true,
    state: 'loading',
    detail: '',
    endpoint: null,
    attempts: 0,
    nextAtMs: 0,
    sinceMs: 0,
    generation: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    ...so,
  })
  const loads = (around: Around, deployments: readonly Deployment[] = []) =>
    readyTargetsOf(around, v2, model, deployments).map(({ load }) => load)

  it('endpoints of the version that people want to serve, and deployments that have none yet', () => {
    const around = aroundOf([stable(), canary(), canary({ id: 'c-off', more: { state: 'disabled' } })])
    const deployments = [
      deployment({ endpoint: 'c-fra' as EndpointId, state: 'ready' }),
      deployment({ endpoint: 'c-gone' as EndpointId }),
      deployment({}),
      deployment({ state: 'failed' }),
      deployment({ isWanted: false }),
    ]
    expect(loads(around, deployments)).toEqual(['loaded', 'loading', 'loading', 'failed'])
  })

  it.each<readonly [EndpointHealth, string]>([
    ['healthy', 'loaded'],
    ['degraded', 'loaded'],
    ['unknown', 'loading'],
    ['warming', 'loading'],
    ['probing', 'loading'],
    ['sleeping', 'loading'],
    ['ejected', 'failed'],
    ['gone', 'failed'],
  ])('%s is %s', (health, load) => {
    expect(loads(aroundOf([canary({ health })]))).toEqual([load])
  })

  it('is warm by requests that were served and by tokens that were asked for, and has the capacity that its slots give', () => {
    const around = aroundOf([canary({ load: { serviceMs: 500, inFlight: 5 } })])
    const ledger = around.ledgers.get(cellIdOf(model, fra))
    const [endpoint] = around.catalogue.endpoints
    if (!ledger || !endpoint) throw new Error('no ledger')
    ledger.outcomes = { 'c-fra': { good: 2, soft_failure: 0, hard_failure: 0, cancelled: 0 } }
    const probes = new Map([[endpoint.id, { ...newRecord(endpoint, {}), generations: { good: 1, failed: 4 } }]])
    expect(readyTargetsOf({ ...around, probes }, v2, model, [])).toEqual([
      { load: 'loaded', warm: { good: 3, failed: 4 }, capacityPerS: 20, busyPerS: 10 },
    ])
  })

  it('the demand is all regions’ traffic and the first weight; unknown where one region’s is', () => {
    const places = [stable(), stable({ id: 's-iad', region: iad })]
    expect(demandOf(aroundOf(places, { perS: { fra: 3, iad: 4 } }), rollout)).toEqual({ trafficPerS: 7, weightBp: 1_000 })
    expect(demandOf(aroundOf(places, { perS: { fra: 3 }, quiet: [iad] }), rollout).trafficPerS).toBeNull()
    expect(demandOf(aroundOf(places), { ...rollout, steps: [] }).weightBp).toBe(10_000)
  })

  it('only the versions of rollouts that warm are asked for their first requests', () => {
    const around = aroundOf([stable(), canary()])
    expect([...endpointsToWarm(around, [{ ...rollout, phase: 'warming' }])]).toEqual(['c-fra'])
    expect([...endpointsToWarm(around, [rollout])]).toEqual([])
  })
})

describe('trouble', () => {
  const out = (so: Partial<Place>): Place => stable({ id: 's-iad', region: iad, health: 'gone', ...so })
  const third = stable({ id: 's-bom', region: 'bom' as RegionName })

  it('is of a region where stable is out, or the ledger is silent', () => {
    expect(troubleNow(aroundOf([stable(), third, out({})]), rollout).regions).toEqual([iad])
    expect(troubleNow(aroundOf([stable(), third, out({ health: 'healthy' })], { quiet: [fra] }), rollout).regions).toEqual([fra])
  })

  it('not by the canary, nor by a version that serves nobody as stable', () => {
    expect(troubleNow(aroundOf([stable(), third, out({ version: v2 })]), rollout).regions).toEqual([])
    expect(troubleNow(aroundOf([stable(), third, out({ version: 'v0' as VersionId })]), rollout).regions).toEqual([])
  })

  it('by a version that is stable in another environment', () => {
    const aliases = [aliasRow({ environment: 'staging', model, stable: 'v0' as VersionId })]
    expect(troubleNow(aroundOf([stable(), third, out({ version: 'v0' as VersionId })], { aliases }), rollout).regions).toEqual([iad])
  })
})

describe('the end of an abort', () => {
  it.each<readonly [string, readonly Place[], boolean]>([
    ['stable is whole where all its endpoints serve', [stable(), stable({ id: 's-2' })], true],
    ['not where one is out', [stable(), stable({ id: 's-2', health: 'gone' })], false],
    ['whatever people have taken out', [stable(), stable({ id: 's-2', health: 'disabled', more: { state: 'disabled' } })], true],
    ['not without any', [canary()], false],
  ])('%s', (_, places, expected) => {
    expect(isWhole(aroundOf(places), v1)).toBe(expected)
  })

  it('what is still on the canary is what its endpoints hold', () => {
    const places = [
      canary({ load: { inFlight: 2 } }),
      canary({ id: 'c-iad', region: iad, load: { inFlight: 3 } }),
      stable({ load: { inFlight: 9 } }),
    ]
    expect(canaryInFlight(aroundOf(places), rollout)).toBe(5)
  })

  it('of a version that another alias serves too, only this alias’s requests', () => {
    const aliases = [
      aliasRow({ environment: 'production', model, stable: v1, canary: v2 }),
      aliasRow({ environment: 'staging', model, stable: v2, canary: null }),
    ]
    const around = aroundOf([canary({ load: { inFlight: 7 } })], { aliases })
    const own = trialTally({ alias: aliasNameOf('production', model), version: v2, slotMs: nowMs, arrived: 3, judged: 1 })
    const others = { ...own, alias: aliasNameOf('staging', model), arrived: 50 }
    foldTrials(around.trials, fra, [own, others], nowMs)
    expect(canaryInFlight(around, rollout)).toBe(2)
  })

  describe('it is known what is there', () => {
    const heard = (
      places: readonly Place[],
      so: { readonly quiet?: readonly RegionName[]; readonly told?: readonly RegionName[] } = {},
    ) => {
      const around = aroundOf(places, so.quiet ? { quiet: so.quiet } : {})
      for (const region of so.told ?? [fra, iad]) {
        const ledger = around.ledgers.get(cellIdOf(model, region))
        if (ledger) ledger.generation = 8
      }
      return isCanaryHeard(around, rollout, 8)
    }
    const both = [canary(), canary({ id: 'c-iad', region: iad })]

    it.each<readonly [string, boolean, boolean]>([
      ['where all its ledgers have spoken since they were told', heard(both), true],
      ['not while one is silent', heard(both, { quiet: [iad] }), false],
      ['not while one has not spoken since: what it said before is of another time', heard(both, { told: [fra] }), false],
      ['not while one has not spoken of an endpoint', heard([canary({ load: null })]), false],
      ['whatever the others say', heard([canary(), stable({ id: 's-iad', region: iad })], { quiet: [iad], told: [fra] }), true],
    ])('%s', (_, isHeard, expected) => {
      expect(isHeard).toBe(expected)
    })
  })
})

describe('ledgers', () => {
  it('can be read while one of the model answers', () => {
    const places = [stable(), stable({ id: 's-iad', region: iad })]
    expect(isReadable(aroundOf(places, { quiet: [fra] }), model)).toBe(true)
    expect(isReadable(aroundOf(places, { quiet: [fra, iad] }), model)).toBe(false)
    expect(isReadable(aroundOf([]), model)).toBe(false)
  })

  it('have followed by the part that has this generation', () => {
    const around = aroundOf([stable(), stable({ id: 's-iad', region: iad }), stable({ id: 's-bom', region: 'bom' as RegionName })])
    const ledger = around.ledgers.get(cellIdOf(model, fra))
    if (ledger) ledger.generation = 8
    expect(ledgersBpOf(around, model, 8)).toBe(3_333)
    expect(ledgersBpOf(around, model, 9)).toBe(0)
    expect(ledgersBpOf(aroundOf([]), model, 8)).toBe(10_000)
  })
})
