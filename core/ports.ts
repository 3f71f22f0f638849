// What core needs of the world, as types. One adapter stands behind each; core/deps.ts puts them together.

import type { Result } from '../shared/result.ts'
import type { AdminRefusal } from '../shared/refusal.ts'
import type { Random } from '../shared/random.ts'
import type { Signer } from '../shared/signature.ts'
import type { Clock, Timer } from '../shared/time.ts'
import type { EndpointId, Environment, KeyId, ModelName, RolloutId, TargetId, TenantId, VersionId, WebhookId } from '../shared/ids.ts'
import type { Credential } from '../shared/wire/credential.ts'
import type { Exchange, ExchangeAnswer } from '../shared/wire/ledger.ts'
import type { Verdict } from '../shared/wire/gate.ts'
import type { Report } from '../shared/wire/report.ts'
import type { Snapshot } from '../shared/wire/snapshot.ts'
import type { AccuracyResult } from './gate/accuracy.ts'
import type { Moved } from './rollout/change.ts'
import type { Rollout, Transition } from './rollout/record.ts'
import type { StartRefused } from './webhook-events.ts'
import type {
  Amendment,
  AuditRow,
  Catalogue,
  Copied,
  CredentialWrite,
  DeliveryRow,
  Deployment,
  Draft,
  EndpointEvent,
  EventRow,
  KeptHealth,
  KeptLiveness,
  KeptRollouts,
  Kind,
  LoadRunRow,
  OpenRollout,
  OutboxRow,
  Published,
  ReportRow,
  RolloutCommand,
  RolloutFilter,
  RolloutRequest,
  Row,
  RowKey,
  Stamp,
  Status,
  Target,
  VerdictFilter,
} from './facts.ts'

/** Starts after this key (null: from the beginning) and returns at most `limit` rows in order of the key. */
export type RowPage = { readonly after: RowKey | null; readonly limit: number }

/** The catalogue as the admin API sees it. Every write carries its audit row in the same transaction, or neither happens. */
export type RowStore = {
  list<K extends Kind>(kind: K, page: RowPage): Promise<readonly Row<K>[]>
  get<K extends Kind>(kind: K, key: RowKey): Promise<Row<K> | null>
  /** Refusals: already_exists, missing_reference. */
  create<K extends Kind>(kind: K, draft: Draft<K>, stamp: Stamp): Promise<Result<Row<K>, AdminRefusal>>
  /** Applies only while the row is still the one in `before`. Refusals: not_found, generation_mismatch, missing_reference, rollout_active. */
  update<K extends Kind>(kind: K, before: Row<K>, change: Amendment<K>, stamp: Stamp): Promise<Result<Row<K>, AdminRefusal>>
  /** As update. Refusals: not_found, generation_mismatch, in_use, rollout_active. */
  remove<K extends Kind>(kind: K, before: Row<K>, stamp: Stamp): Promise<Result<null, AdminRefusal>>
  /** What update would answer; writes nothing. */
  previewUpdate<K extends Kind>(kind: K, before: Row<K>, change: Amendment<K>, atMs: number): Promise<Result<Row<K>, AdminRefusal>>
  /** What remove would answer; writes nothing. */
  previewRemove<K extends Kind>(kind: K, before: Row<K>): Promise<Result<null, AdminRefusal>>
  /** Newest first, below `beforeSeq` (null: from the newest). */
  audit(page: { readonly beforeSeq: number | null; readonly limit: number }): Promise<readonly AuditRow[]>
  /** All endpoints of a version, in order of id. */
  endpointsOf(version: VersionId): Promise<readonly Row<'endpoint'>[]>
  /** When an endpoint that is draining was told to, by the audit log; null when the log does not know. */
  drainingSince(endpoint: EndpointId): Promise<number | null>
}

/** The catalogue as the control loop sees it. */
export type CatalogueReader = {
  /** The audit log's highest number: it changes with every write. 0 when nothing was ever written. */
  seq(): Promise<number>
  /** Everything at one instant, with the keys and tenants written after `writtenAfterSeq`. */
  load(writtenAfterSeq: number): Promise<Catalogue>
}

/** API keys as the edge checks them. */
export type Credentials = {
  ofKey(id: KeyId): Promise<Credential | null>
  /** A tenant's keys in order of id, after `after`. */
  ofTenant(tenant: TenantId, after: string | null, limit: number): Promise<readonly Credential[]>
  /** Writes of keys and tenants after an audit number, in order. */
  writesAfter(seq: number, limit: number): Promise<readonly CredentialWrite[]>
}

/** Ledger objects, by name. Rejects when a ledger cannot be reached or answers nonsense. */
export type Ledgers = { exchange(target: Target, exchange: Exchange): Promise<ExchangeAnswer> }

/** Changes of endpoints' health, for operators. At least once: what was appended and not confirmed may come again. */
export type EventStore = { append(events: readonly EndpointEvent[]): Promise<void> }

/** The same changes as the admin API lists them. */
export type EventReader = {
  /** Newest first, below `beforeSeq` (null: from the newest), of one endpoint or of all. */
  list(page: {
    readonly endpoint: EndpointId | null
    readonly beforeSeq: number | null
    readonly limit: number
  }): Promise<readonly EventRow[]>
}

// ---- New versions ----

export type { OpenRollout } from './facts.ts'
export type RolloutRow = { readonly seq: number; readonly rollout: Rollout }

/**
 * Rollouts in D1. A change, its row in the list of transitions, the alias that it writes, the rollout that it makes, its outbox rows, the
 * verdicts it rests on and its audit rows are one batch: all of them are there, or none.
 */
export type RolloutStore = {
  /** Those with which the loop has something to do, in the order in which they were made. */
  open(): Promise<readonly OpenRollout[]>
  get(id: RolloutId): Promise<Rollout | null>
  list(page: RolloutFilter): Promise<readonly RolloutRow[]>
  /** In order. */
  transitions(id: RolloutId): Promise<readonly Transition[]>
  /** A draft. Refusals: missing_reference, already_exists. */
  create(draft: Rollout, stamp: Stamp): Promise<Result<null, AdminRefusal>>
  /**
   * Applies only while the stored rollout is the one in `before` (its generation), and, where it writes the alias, while that has as its
   * stable version the rollout's `from`, or what the write makes stable. Refusals: not_found, generation_mismatch, rollout_active (another
   * one is live), alias_moved; and create's, of a rollout that it makes.
   */
  commit(
    before: Rollout,
    moved: Moved,
    beside: { readonly verdicts: readonly Verdict[] },
    stamp: Stamp,
  ): Promise<Result<null, AdminRefusal>>
  /** What versions of an alias were stable, by the rollouts that succeeded: the version before the present one first, each once. */
  recentStables(environment: Environment, model: ModelName, limit: number): Promise<readonly VersionId[]>
}

export type VerdictStore = {
  /** Those that are there already are left as they are. */
  add(verdicts: readonly Verdict[]): Promise<void>
  /** Keeps the verdicts that refused a start and, in the same batch, what tells webhooks of it. `id`: of the rollout, or of what it would have been. */
  refuse(id: RolloutId, refused: StartRefused, atMs: number): Promise<void>
  list(page: VerdictFilter): Promise<readonly (Verdict & { readonly seq: number })[]>
}

export type ReportStore = {
  /** Again is nothing new. Refusal: missing_reference. */
  add(report: Omit<ReportRow, 'seq'> & { readonly text: string }, stamp: Stamp): Promise<Result<ReportRow, AdminRefusal>>
  get(id: string): Promise<(ReportRow & { readonly text: string }) | null>
  list(page: {
    readonly version: VersionId | null
    readonly beforeSeq: number | null
    readonly limit: number
  }): Promise<readonly ReportRow[]>
  /** The newest of a version, over this set where one is named. */
  latest(version: VersionId, setDigest: string | null): Promise<(ReportRow & { readonly text: string }) | null>
}

export type LoadRunStore = {
  add(run: Omit<LoadRunRow, 'seq'> & { readonly text: string }, stamp: Stamp): Promise<Result<LoadRunRow, AdminRefusal>>
  list(page: {
    readonly version: VersionId | null
    readonly beforeSeq: number | null
    readonly limit: number
  }): Promise<readonly LoadRunRow[]>
  latest(version: VersionId, environment: Environment): Promise<(LoadRunRow & { readonly text: string }) | null>
}

/** Effects that wait to be carried out. */
export type OutboxStore = {
  /** Oldest first. */
  undone(kinds: readonly OutboxRow['kind'][], limit: number): Promise<readonly OutboxRow[]>
  done(ids: readonly string[], atMs: number): Promise<void>
}

/** Targets as the deployers see them, with their sealed credentials. */
export type DeployTarget = Row<'target'> & { readonly credential: string | null }
export type DeployedVersion = Pick<Row<'version'>, 'id' | 'model' | 'artifact' | 'digest' | 'flags'>

export type DeploymentStore = {
  list(page: {
    readonly version: VersionId | null
    readonly afterKey: readonly [TargetId, VersionId] | null
    readonly limit: number
  }): Promise<readonly Deployment[]>
  get(target: TargetId, version: VersionId): Promise<Deployment | null>
  /** Those that are not as they are wanted and may be touched now, with what they are of; the longest due first. */
  due(
    nowMs: number,
    limit: number,
  ): Promise<readonly { readonly deployment: Deployment; readonly target: DeployTarget; readonly version: DeployedVersion }[]>
  /**
   * The version is wanted, or not, at these targets (null: at all of its model; those of another model are left out). Makes the rows that
   * are missing where it is wanted; what nobody brought is not taken away. Begins anew what failed. Gives those that changed.
   */
  want(version: VersionId, isWanted: boolean, targets: readonly TargetId[] | null, stamp: Stamp): Promise<readonly Deployment[]>
  /**
   * A step of one deployment, only while it is the one in `before`. `endpoint`: a row to make with it; `endpointGone`: one to delete with it.
   * Refusals: not_found, generation_mismatch, missing_reference, already_exists, in_use (an endpoint that a deployment still names).
   */
  step(
    before: Deployment,
    change: Partial<Pick<Deployment, 'state' | 'detail' | 'endpoint' | 'attempts' | 'nextAtMs' | 'sinceMs'>>,
    rows: { readonly endpoint: Draft<'endpoint'> | null; readonly endpointGone: EndpointId | null },
    stamp: Stamp,
  ): Promise<Result<Deployment, AdminRefusal>>
  /** Targets of a model, in order of id. */
  targetsOf(model: ModelName): Promise<readonly Row<'target'>[]>
  /** Aliases, and rollouts that are open, that name a version: what isInUse asks (core/in-use.ts). */
  uses(version: VersionId): Promise<{
    readonly aliases: readonly { readonly stable: VersionId; readonly canary: VersionId | null }[]
    readonly rollouts: readonly Rollout[]
  }>
}

/** How far a deployer is with a version at a target. */
export type DeployProgress =
  /** `servedName`: what the server there calls it. */
  | { readonly state: 'ready'; readonly detail: string; readonly servedName: string }
  | { readonly state: 'loading' | 'gone'; readonly detail: string }
  | { readonly state: 'failed'; readonly detail: string; readonly mayRetry: boolean }

/** Makes versions exist at targets. Each call may be made again; none waits longer than limits.deployCallMsMax. Never throws. */
export type Deployers = {
  /** Makes it exist, or says how far that is. */
  bring(target: DeployTarget, version: DeployedVersion): Promise<DeployProgress>
  /** Takes it away, or says how far that is. */
  remove(target: DeployTarget, version: DeployedVersion): Promise<DeployProgress>
  /** The target's credential sealed anew for an endpoint there; null where it has none. */
  credentialFor(target: DeployTarget, endpoint: EndpointId): Promise<string | null>
}

export type DeliveryStore = {
  /** Webhooks that are not disabled, with their sealed secrets. */
  webhooks(): Promise<readonly (Row<'webhook'> & { readonly secret: string })[]>
  /** Deliveries to make; those that are there already are left as they are. The outbox rows they are of are done with it, in one batch. */
  begin(
    deliveries: readonly Pick<DeliveryRow, 'id' | 'webhook' | 'type' | 'payload' | 'createdAtMs'>[],
    done: readonly string[],
    atMs: number,
  ): Promise<void>
  /** Under way and due, oldest first. */
  due(nowMs: number, limit: number): Promise<readonly DeliveryRow[]>
  attempted(id: string, after: Pick<DeliveryRow, 'attempts' | 'nextAtMs' | 'endedAtMs' | 'ok' | 'lastStatus' | 'lastError'>): Promise<void>
  list(page: { readonly webhook: WebhookId; readonly beforeSeq: number | null; readonly limit: number }): Promise<readonly DeliveryRow[]>
}

/** One POST to somebody else's server. `status` null: no answer in time, with the reason in `error`. Never throws. */
export type Poster = {
  post(request: {
    readonly url: string
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
    readonly withinMs: number
  }): Promise<{ readonly status: number | null; readonly error: string | null; readonly retryAfterMs: number | null }>
}

/** The slow copies in KV. */
export type Copies = {
  putSnapshot(snapshot: Snapshot): Promise<void>
  /** Generation of the copy; 0 when there is none. */
  snapshotGeneration(): Promise<number>
  putCredential(credential: Credential): Promise<void>
  dropCredential(id: string): Promise<void>
}

/** The control loop's storage. A write has reached the disk when its promise resolves. */
export type Memory = {
  restore(): Promise<{
    readonly published: Published | null
    readonly keptLiveness: KeptLiveness
    readonly keptHealth: KeptHealth
    readonly keptRollouts: KeptRollouts
    readonly copied: Copied
    /** The stored generation even where the stored snapshot itself can no longer be read. */
    readonly generationFloor: number
  }>
  keepPublished(published: Published): Promise<void>
  keepLiveness(liveness: KeptLiveness): Promise<void>
  keepHealth(health: KeptHealth): Promise<void>
  keepRollouts(rollouts: KeptRollouts): Promise<void>
  keepCopied(copied: Copied): Promise<void>
}

export type LoopPorts = {
  readonly clock: Clock
  readonly timer: Timer
  readonly random: Random
  readonly catalogue: CatalogueReader
  readonly credentials: Credentials
  /** null before the edge is deployed: core then publishes to KV alone. */
  readonly ledgers: Ledgers | null
  readonly copies: Copies
  readonly events: EventStore
  readonly rollouts: RolloutStore
  readonly verdicts: VerdictStore
  readonly reports: Pick<ReportStore, 'latest'>
  readonly loadRuns: Pick<LoadRunStore, 'latest'>
  readonly outbox: OutboxStore
  readonly deployments: DeploymentStore
  readonly deployers: Deployers
  readonly deliveries: Omit<DeliveryStore, 'list'>
  readonly poster: Poster
  /** Opens a webhook's secret; null where it cannot be read. */
  readonly openSecret: (sealed: string, webhook: WebhookId) => Promise<string | null>
  /** Rows of the catalogue that the rollout stage reads. */
  readonly rows: Pick<RowStore, 'get'>
  readonly freshId: () => string
  /** Signs snapshots; gives null while the deployment has no secret to sign with. */
  readonly signer: () => Promise<Signer | null>
  readonly memory: Memory
}

/** The control loop's object, as the rest of core calls it. */
export type ControllerCalls = {
  /** Runs a turn that begins after this call, and resolves when it has ended. */
  nudge(): Promise<void>
  status(): Promise<Status>
  /** What the rollout would be; nothing is written. Refusals: missing_reference, not_found, plan_refused where the request cannot be read. */
  planRollout(asked: RolloutRequest): Promise<Result<object, AdminRefusal>>
  /** Refusals: plan_refused, gate_failed, and those of its references. */
  createRollout(asked: RolloutRequest, stamp: Stamp): Promise<Result<Rollout, AdminRefusal>>
  /** The rollout after the command; in a dry run as it would be. Refusals: not_found, generation_mismatch, rollout_refused, plan_refused, gate_failed. */
  commandRollout(id: RolloutId, command: RolloutCommand, stamp: Stamp): Promise<Result<Rollout, AdminRefusal>>
  /** Why it is where it is: every gate and metric with its numbers now, what it waits for, and what cannot be measured. */
  explainRollout(id: RolloutId): Promise<Result<object, AdminRefusal>>
}

export type AdminPorts = {
  readonly clock: Clock
  readonly timer: Timer
  readonly freshId: (bytes?: number) => string
  /** Seals a text for one endpoint (shared/sealed.ts); null while the deployment has no secret to seal with. */
  readonly seal: ((text: string, endpoint: EndpointId) => Promise<string>) | null
  /** Whether operators may name addresses that are not public. */
  readonly allowPrivateEndpoints: boolean
  readonly rows: RowStore
  readonly events: EventReader
  readonly rollouts: Pick<RolloutStore, 'get' | 'list' | 'transitions'>
  readonly verdicts: VerdictStore
  readonly reports: ReportStore
  readonly loadRuns: LoadRunStore
  readonly deployments: DeploymentStore
  readonly deliveries: Pick<DeliveryStore, 'list'>
  /** The accuracy gate's word on two reports, with a share of the reference's score to keep in 1/10,000. Refusal: not_comparable. */
  readonly compareReports: (measured: Report, reference: Report, targetBp: number) => Result<AccuracyResult, AdminRefusal>
  /** Signs version overrides; null while the deployment has no secret to sign with. */
  readonly overrideSigner: Signer | null
  /** Opens what a target's webhook reports back: its secret is the target's credential. */
  readonly openTargetSecret: (target: TargetId) => Promise<string | null>
  /** What the operator's token lets its bearer do beyond the ordinary. */
  readonly operatorScopes: readonly string[]
  readonly controller: ControllerCalls
  /** SHA-256 of the operator's token; null while none is set, and then nobody may enter. */
  readonly operatorTokenSha256: string | null
  readonly log: (line: Readonly<Record<string, unknown>>) => void
}
