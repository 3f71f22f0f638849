// What passes between core's stages: the rows of the catalogue, and the control loop's state. Types and constant lists only.

import type {
  CellId,
  EndpointId,
  Environment,
  KeyId,
  ModelName,
  OriginName,
  RegionName,
  RolloutId,
  TargetId,
  TenantId,
  VersionId,
  WebhookId,
} from '../shared/ids.ts'
import type { LocationHint } from '../shared/geo.ts'
import type { EndpointKind, Operation } from '../shared/operations.ts'
import type { Scope } from '../shared/wire/credential.ts'
import type { AffinityRule, Alias, EndpointHealth, EndpointState, Model, Region, Snapshot, Strategy } from '../shared/wire/snapshot.ts'
import type { Block, EndpointLoad, OutcomeKind } from '../shared/wire/ledger.ts'
import type { Delta } from '../shared/wire/delta.ts'
import type { CellLoad, ModelLoads } from '../shared/wire/loads.ts'
import type { KeptLook } from './rollout/look.ts'
import type { Objectives, Rollout } from './rollout/record.ts'
import type { Trials } from './rollout/trials.ts'
import type { EngineRecord, ProbeKind, ProbeOrder, ProbeResult, ServiceStatus } from '../shared/wire/probe.ts'

// ---- The catalogue's rows ----

export const kinds = ['region', 'model', 'version', 'endpoint', 'alias', 'tenant', 'key', 'approval', 'target', 'webhook'] as const
export type Kind = (typeof kinds)[number]

/** What the audit log speaks of: rows of the catalogue, and what has a way of its own. */
export const auditedThings = [...kinds, 'rollout', 'deployment', 'report', 'load_run', 'verdict'] as const
export type AuditedThing = (typeof auditedThings)[number]

/** What an operator wants of an endpoint. Draining: finish what runs, take nothing new. */
export const adminStates = ['enabled', 'draining', 'disabled'] as const
export type AdminState = (typeof adminStates)[number]

export const auditActions = ['create', 'update', 'delete'] as const
export type AuditAction = (typeof auditActions)[number]

export type Flags = Readonly<Record<string, string | number | boolean>>
/** What the edge's adapter of an endpoint's kind must know beside the url. */
export type Options = Readonly<Record<string, string>>

/** Between these two times, epoch milliseconds, an endpoint counts as draining, whatever its state says; by the clock, without a write. */
export type Maintenance = { readonly fromMs: number; readonly untilMs: number; readonly reason: string }

/** What an operator writes of each kind of row, by kind. */
export type Fields = {
  readonly region: {
    readonly name: RegionName
    readonly latitude: number
    readonly longitude: number
    readonly jurisdiction: string | null
    readonly locationHint: LocationHint | null
  }
  readonly model: {
    readonly name: ModelName
    readonly description: string
    /** Patience for the first token; null: limits.firstTokenMsDefault. */
    readonly firstTokenMsMax: number | null
    /** How long a stream is held back for its first token; null: limits.holdMsDefault. */
    readonly holdMsMax: number | null
    readonly strategy: Strategy
    readonly affinity: AffinityRule
    readonly hedging: boolean
    /** Objectives for the 95th percentile of the time to the first token and between tokens, in milliseconds; null: none. */
    readonly ttftP95MsMax: number | null
    readonly tpotP95MsMax: number | null
    /** Share of its reference's score that a new version must keep, in 1/10,000. */
    readonly accuracyTargetBp: number
    /** The load, in requests per second, at which objectives are judged; null: none was declared. */
    readonly operatingPerS: number | null
  }
  readonly version: {
    readonly id: VersionId
    readonly model: ModelName
    readonly digest: string
    readonly engine: string
    readonly flags: Flags
    /** Method, such as AWQ, GPTQ, FP8, INT8 or Q4_0, and bits per weight; null where nothing was quantised. */
    readonly quantisation: string | null
    readonly bits: number | null
    /** The version it was made of by quantising, pruning or distilling. */
    readonly parent: VersionId | null
    /** The data it was calibrated with: a name or digest. */
    readonly calibration: string | null
    /** An SPDX expression, or the licence's name. */
    readonly licence: string | null
    /** What deployers call it: the name in a model repository, or the address of the artefact; null: the id. */
    readonly artifact: string | null
  }
  readonly endpoint: {
    readonly id: EndpointId
    readonly region: RegionName
    readonly version: VersionId
    readonly kind: EndpointKind
    readonly url: string
    readonly servedName: string
    readonly slots: number
    readonly weight: number
    readonly state: AdminState
    /** null: what its kind does. */
    readonly operations: readonly Operation[] | null
    readonly options: Options
    readonly maintenance: Maintenance | null
    /** Whether it has a credential; the credential itself is no part of a row. */
    readonly hasCredential: boolean
  }
  readonly alias: {
    readonly environment: Environment
    readonly model: ModelName
    readonly stable: VersionId
    readonly canary: VersionId | null
    readonly weightBp: number
    readonly salt: string
    readonly shadowBp: number
    /** The rollout that wrote this row last, and which of its generations; null: a person did. */
    readonly rollout: RolloutId | null
    readonly rolloutGeneration: number | null
  }
  readonly tenant: {
    readonly id: TenantId
    readonly name: string
    readonly disabled: boolean
    /** The jurisdiction (of regions) that its requests must not leave; null: none. */
    readonly residency: string | null
  }
  readonly key: {
    readonly id: KeyId
    readonly tenant: TenantId
    readonly environment: Environment
    readonly name: string
    readonly models: readonly string[] | null
    readonly expiresAtMs: number | null
    readonly disabled: boolean
    /** What it may do beyond asking. */
    readonly scopes: readonly Scope[]
  }
  readonly approval: {
    readonly environment: Environment
    readonly version: VersionId
    readonly approvedBy: string
    readonly evidence: Evidence
    /** null: for good. */
    readonly expiresAtMs: number | null
  }
  readonly target: {
    readonly id: TargetId
    readonly model: ModelName
    readonly region: RegionName
    readonly deployer: Deployer
    readonly kind: EndpointKind
    readonly url: string
    readonly slots: number
    readonly operations: readonly Operation[] | null
    readonly options: Options
    readonly deploy: Options
    readonly hasCredential: boolean
  }
  readonly webhook: {
    readonly id: WebhookId
    readonly url: string
    readonly format: WebhookFormat
    readonly events: readonly string[] | null
    readonly disabled: boolean
  }
}

/** What speaks for a version: words, and the ids of reports, load runs and verdicts that bear them out. */
export type Evidence = { readonly note: string; readonly reports: readonly string[]; readonly verdicts: readonly string[] }

/**
 * What makes a version exist at a target. model_repository: the Open Inference Protocol's repository extension (load, unload). sagemaker:
 * UpdateEndpoint and UpdateEndpointWeightsAndCapacities. webhook: whoever is told, and reports back.
 */
export const deployers = ['model_repository', 'sagemaker', 'webhook'] as const
export type Deployer = (typeof deployers)[number]

/** waiting: not begun, or to be tried again. failed: tried often enough. gone: not there, and not wanted. */
export const deploymentStates = ['waiting', 'loading', 'ready', 'failed', 'unloading', 'gone'] as const
export type DeploymentState = (typeof deploymentStates)[number]

/** A version at a target. `nextAtMs`: not touched before then. */
export type Deployment = Kept & {
  readonly target: TargetId
  readonly version: VersionId
  readonly isWanted: boolean
  readonly state: DeploymentState
  readonly detail: string
  readonly endpoint: EndpointId | null
  readonly attempts: number
  readonly nextAtMs: number
  readonly sinceMs: number
}

export const webhookFormats = ['standard', 'slack'] as const
export type WebhookFormat = (typeof webhookFormats)[number]

/** Effects that are carried out after their change was stored (core/rollout/record.ts, Effect). */
export const effectKinds = ['deploy', 'undeploy', 'notify', 'outbox'] as const
export type EffectKind = (typeof effectKinds)[number]

type Kept = { readonly generation: number; readonly createdAtMs: number; readonly updatedAtMs: number }

/** A row as it is kept and shown. A key's row has neither secret nor hash, an endpoint's no credential, so nothing that handles rows can leak one. */
export type Row<K extends Kind> = Fields[K] & Kept

/** What is written beside the fields and never read back as part of a row: the hash of a key's secret, an endpoint's sealed credential. */
type Hidden = {
  readonly key: { readonly secretSha256: string }
  readonly endpoint: { readonly credential: string | null }
  readonly target: { readonly credential: string | null }
  readonly webhook: { readonly secret: string }
}
type HiddenOf<K extends Kind> = K extends keyof Hidden ? Hidden[K] : unknown

/** What a create writes. */
export type Draft<K extends Kind> = Fields[K] & HiddenOf<K>
/** What an update writes: the fields that change. */
export type Amendment<K extends Kind> = Partial<Fields[K]> & Partial<HiddenOf<K>>

/** The parts of a primary key: two for an alias (environment, model) and an approval (environment, version), one for all others. */
export type RowKey = readonly string[]

export type AuditRow = {
  readonly seq: number
  readonly atMs: number
  readonly actor: string
  readonly action: AuditAction
  readonly resource: AuditedThing
  readonly resourceId: string
  readonly before: Readonly<Record<string, unknown>> | null
  readonly after: Readonly<Record<string, unknown>> | null
  readonly requestId: string
  /** The operator's own words; null when none were given. */
  readonly reason: string | null
}

/** Who writes, when, under which request and why: what the audit row says beside the change itself. */
export type Stamp = { readonly atMs: number; readonly actor: string; readonly requestId: string; readonly reason: string | null }

// ---- What the control loop reads ----

/** An endpoint's row with the model of its version, and its credential as it is sealed: the loop only hands it on. */
export type CatalogueEndpoint = Omit<Fields['endpoint'], 'hasCredential'> & Hidden['endpoint'] & { readonly model: ModelName }

/** The catalogue at one instant, each list in order of its key. */
export type Catalogue = {
  /** The audit log's highest number at that instant. */
  readonly seq: number
  readonly regions: readonly Region[]
  readonly endpoints: readonly CatalogueEndpoint[]
  readonly aliases: readonly Alias[]
  readonly models: readonly Model[]
  /** Ids of keys and tenants written after the number asked for, each once. */
  readonly written: readonly string[]
}

/** A write of a key or tenant, as the copies of credentials are told of it. */
export type CredentialWrite = { readonly seq: number; readonly resource: 'key' | 'tenant'; readonly id: string }

// ---- What the judge decides ----

/** The judge's word for an endpoint, and what it rests on: what was measured, the bound it passed, and which measure that is. */
export type Judged = {
  readonly health: EndpointHealth
  readonly sinceMs: number
  readonly reason: string
  readonly value: number | null
  readonly threshold: number | null
  readonly metric: string | null
}

/** One change of health. Kept for operators, and told once. */
export type EndpointEvent = {
  readonly atMs: number
  readonly endpoint: EndpointId
  readonly cell: CellId
  readonly from: EndpointHealth
  readonly to: EndpointHealth
  readonly reason: string
  readonly value: number | null
  readonly threshold: number | null
  readonly metric: string | null
}

/** An event as it is kept: the numbers grow. */
export type EventRow = EndpointEvent & { readonly seq: number }

// ---- The control loop's state ----

/** A key or tenant written lately: the generation that first said so, and when that was. */
export type Change = { readonly id: string; readonly generation: number; readonly atMs: number }

/** The last snapshot and what must be remembered with it, in one record so that they are stored together. */
export type Published = {
  readonly snapshot: Snapshot
  readonly changes: readonly Change[]
  /** Writes of keys and tenants up to this audit number are in `changes`, or were. */
  readonly auditSeq: number
  /** Cells that left the snapshot and may not have heard of it. */
  readonly retired: readonly CellId[]
}

/** Consecutive probes: a state holds until enough in a row speak against it. */
export type Liveness = { readonly state: 'unknown' | 'healthy' | 'unhealthy'; readonly good: number; readonly bad: number }

/** One probe as it ended, by core's clock. */
export type Probe = {
  readonly atMs: number
  readonly ok: boolean
  readonly detail: string
  readonly ms: number
  /** The engine said that it is still loading its model. */
  readonly warming: boolean
  /** The server had not answered whole when the probe's time was over. */
  readonly timedOut: boolean
}

/**
 * An order that has brought no result yet. It is told to the ledger again and again, for either may have lost it. `dueAtMs`: since when the
 * probe was due, which is what puts it before others.
 */
export type OpenOrder = { readonly order: ProbeOrder; readonly atMs: number; readonly dueAtMs: number }

type ByKind<T> = Readonly<Partial<Record<ProbeKind, T>>>

/** What is known of one endpoint by probing. It is about the server: with another url or kind it starts anew. Times are core's. */
export type ProbeRecord = {
  readonly url: string
  readonly kind: EndpointKind
  /** The kinds of probes that it gets. */
  readonly kinds: readonly ProbeKind[]
  readonly liveness: Liveness
  /** The last result of each kind of probe that ever had one. */
  readonly last: ByKind<Probe>
  /** When each kind is due again; absent: at once. */
  readonly nextAtMs: ByKind<number>
  readonly open: ByKind<OpenOrder>
  /** The last page that could be read, and when it was true: older than limits.engineFreshMs it says nothing of the load. */
  readonly engine: { readonly atMs: number; readonly record: EngineRecord } | null
  /** What the service in front last said of the endpoint. */
  readonly service: { readonly atMs: number; readonly status: ServiceStatus } | null
  /** Generation probes that failed in a row: one is enough to know a wedged engine. And when one last succeeded. */
  readonly generationBad: number
  readonly generationGoodAtMs: number | null
  /** Generation probes of this server that were good and that failed, since this life of core first saw it. */
  readonly generations: { readonly good: number; readonly failed: number }
}

/** Liveness as it is stored, by endpoint id; unknown ones are not in it. */
export type KeptLiveness = Readonly<Record<string, { readonly url: string; readonly state: 'healthy' | 'unhealthy' }>>

/** The judge's word with the server that it is about: with another url it is judged anew. */
export type JudgedAt = Judged & { readonly url: string }

/** The judge's words as they are stored, and with them the changes that the database has not confirmed. */
export type KeptHealth = { readonly judged: readonly (readonly [EndpointId, JudgedAt])[]; readonly waiting: readonly EndpointEvent[] }

/** Outcomes of one block of an endpoint, cancelled ones left out: they say nothing of it. */
type ToldOutcomes = { readonly atMs: number; readonly good: number; readonly soft: number; readonly hard: number }

/** What an endpoint's own requests have shown: a window of blocks, oldest first, and what outlasts it. */
export type Traffic = { readonly told: readonly ToldOutcomes[]; readonly lastGoodAtMs: number | null }

/** A ledger to be called: a cell's, or an origin's home (cell and model null). */
export type Target = {
  readonly name: string
  readonly cell: CellId | null
  readonly model: ModelName | null
  readonly hint: LocationHint | null
}

export type Outcomes = Readonly<Record<OutcomeKind, number>>

/** An exponentially forgetting rate per second; read and written by core/flow.ts. */
export type Rate = { readonly perS: number; readonly sinceMs: number; readonly atMs: number }

/** What the blocks of one ledger tell of demand and distance. */
export type Flow = {
  /** Requests by origin that came to this cell first. */
  readonly arrivals: ReadonlyMap<OriginName, Rate>
  /** Attempts by endpoint. */
  readonly attempts: ReadonlyMap<EndpointId, Rate>
  readonly roundTripsMs: ReadonlyMap<OriginName, number>
}

/** What core knows of one ledger. */
export type LedgerRecord = {
  /** The generation it last said it has; 0 until it has spoken, which makes it behind. */
  generation: number
  /** The last generation it was told as a difference: should that not have brought it there, it is told the whole. */
  deltaTold: number
  /** The object's life that answered last, and since when it has answered every call; null while it does not answer. */
  life: string | null
  aliveSinceMs: number | null
  /** Its endpoints, its cell and its queue by its last word. */
  endpoints: Readonly<Record<string, EndpointLoad>>
  load: CellLoad | null
  queued: number
  /** The last block folded of each of its last lives: a late answer may be of one before. */
  folded: readonly { readonly life: string; readonly seq: number }[]
  flow: Flow
  /** Outcomes per endpoint, and how requests found theirs, since this loop woke: for operators. */
  outcomes: Readonly<Record<string, Outcomes>>
  ways: Readonly<Record<string, number>>
  /** The loads (seq) it is known to have. */
  loadsSeq: number
  /** Calls are numbered, so that a late answer does not undo a newer one. */
  callsMade: number
  lastAnswered: number
  callsWaiting: number
  askedAtMs: number
  answeredAtMs: number | null
  error: string | null
}

/** What rollouts' judges remember between turns: plain data. */
export type KeptRollouts = { readonly looks: readonly (readonly [RolloutId, KeptLook])[] }

/** A rollout, and what its model's row asks of versions. */
export type OpenRollout = { readonly rollout: Rollout; readonly objectives: Objectives }

/** What an answer of a ledger brought for probing and judging: blocks that were not told before, and results of probes. */
export type Heard = { readonly cell: CellId | null; readonly blocks: readonly Block[]; readonly probes: readonly ProbeResult[] }

/** How far the slow copies of credentials are: all writes up to `seq`, and of the tenant written next the keys up to `afterKey`. */
export type Copied = { readonly seq: number; readonly afterKey: string | null }

/** Everything the loop remembers. `published`, `keptLiveness`, `keptHealth` and `copied` are stored; the rest is found again by asking. */
export type LoopState = {
  published: Published | null
  keptLiveness: KeptLiveness
  keptHealth: KeptHealth
  copied: Copied
  /** The highest generation any ledger or copy has reported: the next one is above it. */
  generationFloor: number
  /** Whether the slow copy was asked for its generation (needed only when nothing is stored). */
  floorKnown: boolean
  catalogue: Catalogue | null
  /** Reads of the catalogue that had no answer in time since one had, and when the last one began. */
  readonly reads: { silent: number; askedAtMs: number }
  /** The published snapshot's signature; null while the deployment has no secret. */
  signed: { readonly generation: number; readonly signature: string | null } | null
  /** From the snapshot before to the published one; null when that is not known. */
  delta: Delta | null
  probes: ReadonlyMap<EndpointId, ProbeRecord>
  traffic: ReadonlyMap<EndpointId, Traffic>
  /** Answers that are not folded into the two yet. */
  readonly heard: Heard[]
  judged: ReadonlyMap<EndpointId, JudgedAt>
  /** Changes of health that the database has not yet confirmed, at most limits.eventsWaitingMax; the oldest go. */
  waiting: readonly EndpointEvent[]
  /** The append under way; there is never more than one. */
  appending: Promise<void> | null
  loads: ReadonlyMap<ModelName, ModelLoads>
  /** What versions did, as ledgers told. */
  readonly trials: Trials
  /** Rollouts with which there is something to do, as of this number of the audit log; null: to be read anew. */
  rollouts: { readonly seq: number; readonly open: readonly OpenRollout[] } | null
  /** What judges remember, by rollout. Stored; the text is what was stored last. */
  looks: ReadonlyMap<RolloutId, KeptLook>
  keptLooks: ReadonlyMap<RolloutId, KeptLook>
  /** When the gates before traffic were last asked, by rollout. */
  readonly gatesAskedAtMs: Map<RolloutId, number>
  /** Why a rollout could not be moved in the last turn, by rollout: for operators. */
  rolloutErrors: ReadonlyMap<RolloutId, string>
  /** What follows from rollouts and is carried out beside the turns; never two of a kind at once. */
  deploying: Promise<void> | null
  notifying: Promise<void> | null
  carryErrors: { readonly deploy: string | null; readonly notify: string | null }
  readonly ledgers: Map<string, LedgerRecord>
  /** The generation of KV's snapshot as far as known, and when it was last written. */
  copiedGeneration: number
  copiedAtMs: number
  /** The copying under way; there is never more than one. */
  copying: Promise<void> | null
  copyError: string | null
  lastTurn: { readonly atMs: number; readonly tookMs: number; readonly error: string | null } | null
}

/** What the admin API shows of the control loop. */
export type Status = {
  readonly generation: number
  readonly publishedAtMs: number | null
  readonly catalogueSeq: number | null
  readonly endpoints: readonly EndpointStatus[]
  readonly ledgers: readonly LedgerStatus[]
  readonly models: readonly ModelStatus[]
  /** The slow copies in KV. */
  readonly copies: { readonly generation: number; readonly credentialsSeq: number; readonly error: string | null }
  /** Changes of health that wait for the database. */
  readonly eventsWaiting: number
  readonly lastTurn: { readonly atMs: number; readonly tookMs: number; readonly error: string | null } | null
}

export type EndpointStatus = Judged & {
  readonly id: EndpointId
  readonly cell: CellId
  readonly state: EndpointState
  /** Its ledger is silent: what was true last holds. */
  readonly held: boolean
  readonly lastProbes: ByKind<Probe>
  /** The engine's numbers, and whether they are young enough to say anything of its load. */
  readonly engine: { readonly ageMs: number; readonly fresh: boolean; readonly record: EngineRecord } | null
  readonly service: ServiceStatus | null
  /** Breaker, requests in flight, cap and measured times by its ledger's last word; null while that never spoke of it. */
  readonly load: EndpointLoad | null
}

export type LedgerStatus = {
  readonly name: string
  readonly generation: number
  readonly inFlight: Readonly<Record<string, number>>
  readonly outcomes: Readonly<Record<string, Outcomes>>
  readonly queued: number
  readonly load: CellLoad | null
  readonly ways: Readonly<Record<string, number>>
  readonly roundTripsMs: Readonly<Record<string, number>>
  readonly answeredAtMs: number | null
  readonly error: string | null
}

export type ModelStatus = {
  readonly name: ModelName
  /** Requests per second by origin, those of all cells together. */
  readonly demandPerS: Readonly<Record<string, number>>
  readonly loads: ModelLoads | null
}

// ---- Rollouts, as they pass between the admin API, the control loop's object and the store ----

/** What an operator asks for. `steps` and `gates` as they came: the rollout stage reads them, and says what is wrong in them. */
export type RolloutRequest = {
  readonly environment: Environment
  readonly model: ModelName
  readonly to: VersionId
  /** The version that is to be replaced, as whoever asks knows it; null: whichever is stable. */
  readonly from: VersionId | null
  readonly steps: unknown
  readonly gates: unknown
  /** null: in production another than who made it must approve, elsewhere not. */
  readonly fourEyes: boolean | null
  /** Go as far as it may at once: submit, approve where one person may, start. */
  readonly start: boolean
  readonly reason: string
}

/** A command of a person or a program; the machine's word for it (core/rollout/record.ts). */
export const rolloutCommands = [
  'submit',
  'approve',
  'reject',
  'start',
  'pause',
  'resume',
  'promote',
  'promote_full',
  'abort',
  'retry',
  'rollback',
] as const
export type RolloutCommandName = (typeof rolloutCommands)[number]
export type RolloutCommand = {
  readonly command: RolloutCommandName
  readonly reason: string
  /** Of promote_full: who else says so. */
  readonly approver: string | null
  /** Of rollback: where to; null: to the version before. */
  readonly to: VersionId | null
  /** Scopes of whoever asks. */
  readonly scopes: readonly string[]
  /** The generation that it must be at; null: whichever. */
  readonly generation: number | null
  readonly dryRun: boolean
}

/** One fault of a plan: the field, as a JSON Pointer in a fragment (RFC 6901). */
export type PlanFault = { readonly reason: string; readonly pointer: string; readonly detail: string }

/** A page of rollouts, newest first, below `beforeSeq` (null: from the newest). */
export type RolloutFilter = {
  readonly environment: Environment | null
  readonly model: ModelName | null
  readonly live: boolean
  readonly beforeSeq: number | null
  readonly limit: number
}
export type VerdictFilter = {
  readonly rollout: RolloutId | null
  readonly version: VersionId | null
  readonly beforeSeq: number | null
  readonly limit: number
}

/** A report or load run without its text. */
export type ReportRow = {
  readonly seq: number
  readonly id: string
  readonly version: VersionId
  readonly environment: Environment
  readonly setName: string
  readonly setDigest: string
  readonly items: number
  readonly answered: number
  readonly scores: Readonly<Record<string, number>>
  readonly actor: string
  readonly createdAtMs: number
}
export type LoadRunRow = {
  readonly seq: number
  readonly id: string
  readonly version: VersionId
  readonly environment: Environment
  readonly requestsPerS: number
  readonly samples: number
  readonly actor: string
  readonly createdAtMs: number
}

/** Something that happened, as webhooks tell it. `id` is the same each time it is told. */
export type OutboxRow = {
  readonly seq: number
  readonly id: string
  readonly rollout: RolloutId
  readonly kind: EffectKind
  /** The effect as JSON (core/rollout/record.ts). */
  readonly payload: string
  readonly atMs: number
}

export type DeliveryRow = {
  readonly seq: number
  readonly id: string
  readonly webhook: WebhookId
  readonly type: string
  readonly payload: string
  readonly createdAtMs: number
  readonly attempts: number
  readonly nextAtMs: number | null
  readonly endedAtMs: number | null
  readonly ok: boolean | null
  readonly lastStatus: number | null
  readonly lastError: string | null
}
