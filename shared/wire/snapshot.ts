// The snapshot: what core publishes and edge obeys. The one document that crosses from core to every ledger and isolate.
// A reader accepts its own format and the one before, so that the two Workers can be deployed in either order.

import * as v from 'valibot'
import {
  environments,
  type CellId,
  type EndpointId,
  type ModelName,
  type OriginName,
  type RegionName,
  type RolloutId,
  type VersionId,
} from '../ids.ts'
import { endpointKinds, operations, operationsOf } from '../operations.ts'

export const snapshotFormat = 2
/** Format 1 had no operations, options and credentials of endpoints, and no models; they get their defaults. */
const readableFormats = [1, snapshotFormat] as const

/** States in which an endpoint may be given traffic are decided by mayServe. */
export const endpointStates = ['unknown', 'healthy', 'unhealthy', 'draining', 'disabled'] as const
export type EndpointState = (typeof endpointStates)[number]

/** The judge's finer word for an endpoint, which `state` sums up for whoever only wants to know whether it may serve. */
export const endpointHealths = [
  'unknown',
  'warming',
  'healthy',
  'degraded',
  'ejected',
  'probing',
  'draining',
  'sleeping',
  'gone',
  'disabled',
] as const
export type EndpointHealth = (typeof endpointHealths)[number]

/** How a ledger picks among the endpoints of its cell. */
export const strategies = ['least-latency', 'least-connections', 'weighted-round-robin'] as const
export type Strategy = (typeof strategies)[number]

/** What keeps requests on the endpoint that served their like. `prefix` counts a named session as its own prefix. */
export const affinities = ['none', 'session', 'prefix'] as const
export type AffinityRule = (typeof affinities)[number]

const branded = <Name extends string>() => v.custom<Name>((value) => typeof value === 'string' && value.length > 0)

const regionSchema = v.object({
  name: branded<RegionName>(),
  latitude: v.number(),
  longitude: v.number(),
  jurisdiction: v.nullable(v.string()),
  locationHint: v.nullable(v.string()),
})

const endpointFields = v.object({
  id: branded<EndpointId>(),
  cell: branded<CellId>(),
  region: branded<RegionName>(),
  model: branded<ModelName>(),
  version: branded<VersionId>(),
  kind: v.picklist(endpointKinds),
  /** Base address without a trailing slash; `/v1/...` is appended. */
  url: v.string(),
  /** What the engine calls the model it serves. */
  servedName: v.string(),
  /** Requests it runs at once. */
  slots: v.number(),
  state: v.picklist(endpointStates),
  /** Share of traffic relative to the others of its cell; 1 unless an operator says otherwise. */
  weight: v.number(),
  /** What it can be asked to do. */
  operations: v.optional(v.array(v.picklist(operations))),
  /** What the adapter of its kind needs to know beside the url; for SageMaker targetVariant and inferenceComponent. */
  options: v.optional(v.record(v.string(), v.string()), {}),
  /** Sealed under the deployment's secret (shared/sealed.ts); null when the server wants none. */
  credential: v.optional(v.nullable(v.string()), null),
  /** Absent in snapshots of before the judge had more than two words. */
  health: v.optional(v.picklist(endpointHealths)),
})

const endpointSchema = v.pipe(
  endpointFields,
  v.transform((fields) => ({ ...fields, operations: fields.operations ?? [...operationsOf[fields.kind]] })),
)

const modelSchema = v.object({
  name: branded<ModelName>(),
  /** How long a stream's first token may take. While the stream is held back another endpoint is tried then; after that it ends with an error. null: limits.firstTokenMsDefault. */
  firstTokenMsMax: v.nullable(v.number()),
  /** How long a stream is held back for its first real token before it is committed all the same; null: limits.holdMsDefault. */
  holdMsMax: v.nullable(v.number()),
  strategy: v.optional(v.picklist(strategies), 'least-latency'),
  affinity: v.optional(v.picklist(affinities), 'none'),
  /** Whether a short answer in one piece may be asked for twice. */
  hedging: v.optional(v.boolean(), false),
})

const aliasSchema = v.object({
  environment: v.picklist(environments),
  model: branded<ModelName>(),
  stable: branded<VersionId>(),
  canary: v.nullable(branded<VersionId>()),
  /** Share of the canary in 1/10,000. */
  weightBp: v.number(),
  salt: v.string(),
  createdAtMs: v.number(),
  /** Share of requests, in 1/10,000, of which a copy goes to the canary after the answer. */
  shadowBp: v.optional(v.number(), 0),
  /** The rollout that wrote this row last, and the generation of it; null: a person did. */
  write: v.optional(v.nullable(v.object({ id: branded<RolloutId>(), generation: v.number() })), null),
})

const shareSchema = v.object({
  cell: branded<CellId>(),
  /** Part of the origin's demand that goes here; a row sums to one unless every cell is down. */
  fraction: v.number(),
  /** Estimated or measured round trip between origin and region. */
  roundTripMs: v.number(),
})

export const snapshotSchema = v.object({
  format: v.picklist(readableFormats),
  generation: v.number(),
  publishedAtMs: v.number(),
  regions: v.array(regionSchema),
  endpoints: v.array(endpointSchema),
  aliases: v.array(aliasSchema),
  models: v.optional(v.array(modelSchema), []),
  /** model -> origin -> cells in order of cost, nearest first. */
  fractions: v.record(v.string(), v.record(v.string(), v.array(shareSchema))),
  /** Keys and tenants written lately: a record of theirs read under an older generation is read again. */
  changed: v.array(v.object({ id: v.string(), generation: v.number() })),
})

export type Snapshot = Readonly<v.InferOutput<typeof snapshotSchema>>
export type Region = Readonly<v.InferOutput<typeof regionSchema>>
export type Endpoint = Readonly<v.InferOutput<typeof endpointSchema>>
export type Model = Readonly<v.InferOutput<typeof modelSchema>>
export type Alias = Readonly<v.InferOutput<typeof aliasSchema>>
export type Share = Readonly<v.InferOutput<typeof shareSchema>>

/** Reads a snapshot from outside (KV, storage); null when it is of an unknown format or broken. */
export function readSnapshot(value: unknown): Snapshot | null {
  const parsed = v.safeParse(snapshotSchema, value)
  return parsed.success ? parsed.output : null
}

/** Whether an endpoint may be given a new request. Unknown ones may: a new endpoint must not wait for two probes, and probing may itself be broken. */
export const mayServe = (endpoint: Endpoint): boolean =>
  endpoint.weight > 0 && (endpoint.state === 'healthy' || endpoint.state === 'unknown')

/** Whether a region lies in the jurisdiction that a request must not leave; null: none. */
export function staysWithin(snapshot: Snapshot, residency: string | null): (region: RegionName) => boolean {
  if (residency === null) return () => true
  const inside = new Set(snapshot.regions.filter(({ jurisdiction }) => jurisdiction === residency).map(({ name }) => name))
  return (region) => inside.has(region)
}

/** The row of fractions of a model for an origin; rows of other origins stand in when the origin has none. */
export function sharesOf(snapshot: Snapshot, model: ModelName, origin: OriginName): readonly Share[] {
  const rows = snapshot.fractions[model]
  if (!rows) return []
  return rows[origin] ?? Object.values(rows)[0] ?? []
}

/** KV key of the last-known-good snapshot. */
export const snapshotKvKey = 'snapshot'
