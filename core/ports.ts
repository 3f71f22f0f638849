// What core needs of the world, as types. One adapter stands behind each; core/deps.ts puts them together.

import type { Result } from '../shared/result.ts'
import type { AdminRefusal } from '../shared/refusal.ts'
import type { Random } from '../shared/random.ts'
import type { Signer } from '../shared/signature.ts'
import type { Clock, Timer } from '../shared/time.ts'
import type { EndpointId, KeyId, TenantId, VersionId } from '../shared/ids.ts'
import type { Credential } from '../shared/wire/credential.ts'
import type { Exchange, ExchangeAnswer } from '../shared/wire/ledger.ts'
import type { Snapshot } from '../shared/wire/snapshot.ts'
import type {
  Amendment,
  AuditRow,
  Catalogue,
  Copied,
  CredentialWrite,
  Draft,
  EndpointEvent,
  EventRow,
  KeptHealth,
  KeptLiveness,
  Kind,
  Published,
  Row,
  RowKey,
  Stamp,
  Status,
  Target,
} from './facts.ts'

/** Starts after this key (null: from the beginning) and returns at most `limit` rows in order of the key. */
export type RowPage = { readonly after: RowKey | null; readonly limit: number }

/** The catalogue as the admin API sees it. Every write carries its audit row in the same transaction, or neither happens. */
export type RowStore = {
  list<K extends Kind>(kind: K, page: RowPage): Promise<readonly Row<K>[]>
  get<K extends Kind>(kind: K, key: RowKey): Promise<Row<K> | null>
  /** Refusals: already_exists, missing_reference. */
  create<K extends Kind>(kind: K, draft: Draft<K>, stamp: Stamp): Promise<Result<Row<K>, AdminRefusal>>
  /** Applies only while the row is still the one in `before`. Refusals: not_found, generation_mismatch, missing_reference. */
  update<K extends Kind>(kind: K, before: Row<K>, change: Amendment<K>, stamp: Stamp): Promise<Result<Row<K>, AdminRefusal>>
  /** As update. Refusals: not_found, generation_mismatch, in_use. */
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
    readonly copied: Copied
    /** The stored generation even where the stored snapshot itself can no longer be read. */
    readonly generationFloor: number
  }>
  keepPublished(published: Published): Promise<void>
  keepLiveness(liveness: KeptLiveness): Promise<void>
  keepHealth(health: KeptHealth): Promise<void>
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
  /** Signs snapshots; gives null while the deployment has no secret to sign with. */
  readonly signer: () => Promise<Signer | null>
  readonly memory: Memory
}

/** The control loop's object, as the rest of core calls it. */
export type ControllerCalls = {
  /** Runs a turn that begins after this call, and resolves when it has ended. */
  nudge(): Promise<void>
  status(): Promise<Status>
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
  readonly controller: ControllerCalls
  /** SHA-256 of the operator's token; null while none is set, and then nobody may enter. */
  readonly operatorTokenSha256: string | null
  readonly log: (line: Readonly<Record<string, unknown>>) => void
}
