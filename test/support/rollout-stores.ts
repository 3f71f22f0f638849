// The stores of new versions in memory, for tests that need no database. They hold the same contract as D1's adapters
// (test/contract/core/rollout-stores.ts), and each call takes effect at once and whole, before its promise is awaited.

import type { DeliveryRow, Deployment, LoadRunRow, OutboxRow, ReportRow, Stamp } from '../../core/facts.ts'
import { livePhases } from '../../core/in-use.ts'
import type {
  CatalogueReader,
  DeliveryStore,
  DeploymentStore,
  LoadRunStore,
  OutboxStore,
  ReportStore,
  RolloutStore,
  RowStore,
  VerdictStore,
} from '../../core/ports.ts'
import {
  auditedPart,
  isOpen,
  readRollout,
  refusedRow,
  writeRollout,
  writesOf,
  type AliasWrite,
} from '../../core/adapters/rollout-record.ts'
import type { Rollout, Transition } from '../../core/rollout/record.ts'
import { err, ok } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { RolloutId, VersionId } from '../../shared/ids.ts'
import type { Verdict } from '../../shared/wire/gate.ts'
import { deploymentsOf } from './fake-deployments.ts'
import { FakeCatalogue, newestFirst } from './fake-rows.ts'

export type FakeStores = {
  readonly rows: RowStore
  readonly catalogue: CatalogueReader
  readonly rollouts: RolloutStore
  readonly verdicts: VerdictStore
  readonly reports: ReportStore
  readonly loadRuns: LoadRunStore
  readonly outbox: OutboxStore
  readonly deployments: DeploymentStore
  readonly deliveries: DeliveryStore
}

type Held = {
  readonly catalogue: FakeCatalogue
  readonly rollouts: { readonly seq: number; text: string }[]
  readonly transitions: Map<RolloutId, Transition[]>
  readonly verdicts: (Verdict & { readonly seq: number })[]
  readonly reports: (ReportRow & { readonly text: string })[]
  readonly loadRuns: (LoadRunRow & { readonly text: string })[]
  readonly outbox: (OutboxRow & { doneAtMs: number | null })[]
  readonly deployments: Map<string, Deployment>
  readonly deliveries: Map<string, DeliveryRow>
}

export function fakeStores(): FakeStores {
  const held: Held = {
    catalogue: new FakeCatalogue({
      rollouts: () => allRollouts(held),
      deployments: () => [...held.deployments.values()],
      ofVersions: () => [
        ...held.reports.map(({ id, version }) => ({ kind: 'report' as const, id, version })),
        ...held.loadRuns.map(({ id, version }) => ({ kind: 'load_run' as const, id, version })),
      ],
    }),
    rollouts: [],
    transitions: new Map(),
    verdicts: [],
    reports: [],
    loadRuns: [],
    outbox: [],
    deployments: new Map(),
    deliveries: new Map(),
  }
  return {
    rows: held.catalogue.rows(),
    catalogue: held.catalogue.reader(),
    rollouts: rolloutsOf(held),
    verdicts: verdictsOf(held),
    reports: reportsOf(held),
    loadRuns: loadRunsOf(held),
    outbox: outboxOf(held),
    deployments: deploymentsOf({ ...held, rollouts: () => allRollouts(held) }),
    deliveries: deliveriesOf(held),
  }
}

const withoutText = <T extends { readonly text: string }>({ text: _text, ...row }: T): Omit<T, 'text'> => row
const isLive = ({ phase }: Rollout): boolean => livePhases.some((each) => each === phase)
const allRollouts = (held: Held): readonly Rollout[] => held.rollouts.map(({ text }) => readRollout(text))
const rolloutOf = (held: Held, id: RolloutId): Rollout | null => allRollouts(held).find((each) => each.id === id) ?? null

// ---- Rollouts ----

function rolloutsOf(held: Held): RolloutStore {
  return {
    open: async () =>
      allRollouts(held)
        .filter(isOpen)
        .map((rollout) => {
          const model = held.catalogue.all('model').find(({ name }) => name === rollout.model)
          if (!model) throw new Error(`no model ${rollout.model}`)
          const { ttftP95MsMax, tpotP95MsMax, accuracyTargetBp, operatingPerS } = model
          return { rollout, objectives: { ttftP95MsMax, tpotP95MsMax, accuracyTargetBp, operatingPerS } }
        }),
    get: async (id) => rolloutOf(held, id),
    list: async ({ environment, model, live, beforeSeq, limit }) =>
      newestFirst(
        held.rollouts.map(({ seq, text }) => ({ seq, rollout: readRollout(text) })),
        beforeSeq,
        Infinity,
      )
        .filter(
          ({ rollout }) =>
            (environment === null || rollout.environment === environment) &&
            (model === null || rollout.model === model) &&
            (!live || isLive(rollout)),
        )
        .slice(0, limit),
    transitions: async (id) => [...(held.transitions.get(id) ?? [])],
    create: async (draft, stamp) => {
      const refusal = whyNotMade(held, draft)
      if (refusal) return err(refusal)
      make(held, draft, stamp)
      return ok(null)
    },
    commit: async (before, moved, beside, stamp) => {
      const writes = writesOf(before, moved)
      const refusal = whyNotCommitted(held, before, moved.rollout, writes)
      if (refusal) return err(refusal)
      const said = { ...stamp, reason: moved.rollout.last?.reason ?? stamp.reason }
      const row = held.rollouts.find(({ text }) => readRollout(text).id === before.id)
      if (row) row.text = writeRollout(moved.rollout)
      held.catalogue.note('update', 'rollout', before.id, { before: auditedPart(before), after: auditedPart(moved.rollout) }, said)
      for (const created of writes.created) make(held, created, said)
      for (const { rollout, transition } of writes.transitions) {
        held.transitions.set(rollout, [...(held.transitions.get(rollout) ?? []), transition])
      }
      for (const alias of writes.aliases) writeAlias(held, alias, said)
      for (const each of writes.outbox) held.outbox.push({ seq: held.outbox.length + 1, ...each, atMs: stamp.atMs, doneAtMs: null })
      addVerdicts(held, beside.verdicts)
      return ok(null)
    },
    recentStables: async (environment, model, limit) => {
      const present = held.catalogue.all('alias').find((each) => each.environment === environment && each.model === model)?.stable
      const froms = allRollouts(held)
        .filter((each) => each.environment === environment && each.model === model && each.phase === 'succeeded')
        .toReversed()
        .toSorted((a, b) => b.enteredAtMs - a.enteredAtMs)
        .map(({ from }) => from)
      return [...new Set(froms)].filter((version) => version !== present).slice(0, limit)
    },
  }
}

function make(held: Held, rollout: Rollout, stamp: Stamp): void {
  held.rollouts.push({ seq: held.rollouts.length + 1, text: writeRollout(rollout) })
  held.catalogue.note('create', 'rollout', rollout.id, { before: null, after: auditedPart(rollout) }, stamp)
}

function whyNotMade(held: Held, made: Rollout): AdminRefusal | null {
  if (rolloutOf(held, made.id)) return { reason: 'already_exists', what: 'rollout', id: made.id }
  const named = [
    { what: 'model', kind: 'model', id: made.model },
    { what: 'from', kind: 'version', id: made.from },
    { what: 'to', kind: 'version', id: made.to },
  ] as const
  const missing = named.find(({ kind, id }) => held.catalogue.whole(kind, id) === null)
  if (missing) return { reason: 'missing_reference', what: missing.what, detail: `the ${missing.kind} "${missing.id}" does not exist` }
  return isLive(made) ? otherLive(held, made) : null
}

function otherLive(held: Held, { id, environment, model }: Rollout): AdminRefusal | null {
  const other = allRollouts(held).find((each) => each.id !== id && each.environment === environment && each.model === model && isLive(each))
  return other ? { reason: 'rollout_active', environment, model, rollout: other.id } : null
}

function whyNotCommitted(held: Held, before: Rollout, after: Rollout, writes: ReturnType<typeof writesOf>): AdminRefusal | null {
  const now = rolloutOf(held, before.id)
  if (!now) return { reason: 'not_found', what: 'rollout', id: before.id }
  if (now.generation !== before.generation) return { reason: 'generation_mismatch', current: now.generation }
  const active = isLive(after) ? otherLive(held, after) : null
  if (active) return active
  for (const created of writes.created) {
    const refusal = whyNotMade(held, created)
    if (refusal) return refusal
  }
  const { environment, model } = before
  const moved = writes.aliases.some(({ effect, foundAs }) => {
    const alias = held.catalogue.all('alias').find((each) => each.environment === effect.environment && each.model === effect.model)
    return !alias || !foundAs.includes(alias.stable)
  })
  return moved ? { reason: 'alias_moved', environment, model } : null
}

function writeAlias(held: Held, { rollout, effect }: AliasWrite, stamp: Stamp): void {
  const { environment, model, stable, canary, weightBp, shadowBp, salt, generation } = effect
  const change = { stable, canary, weightBp, shadowBp, salt, rollout, rolloutGeneration: generation }
  held.catalogue.put('alias', `${environment}/${model}`, change, stamp)
}

// ---- Verdicts, reports, load runs ----

function addVerdicts(held: Held, verdicts: readonly Verdict[]): void {
  for (const verdict of verdicts) {
    if (held.verdicts.some(({ id }) => id === verdict.id)) continue
    held.verdicts.push({ ...structuredClone(verdict), seq: held.verdicts.length + 1 })
    const stamp = { atMs: verdict.atMs, actor: 'controller', requestId: verdict.rollout ?? verdict.id, reason: null }
    held.catalogue.note('create', 'verdict', verdict.id, { before: null, after: verdict }, stamp)
  }
}

const verdictsOf = (held: Held): VerdictStore => ({
  add: async (verdicts) => addVerdicts(held, verdicts),
  refuse: async (id, refused, atMs) => {
    const row = refusedRow(id, refused, atMs)
    if (!held.outbox.some((each) => each.id === row.id)) held.outbox.push({ seq: held.outbox.length + 1, ...row, doneAtMs: null })
    addVerdicts(held, refused.verdicts)
  },
  list: async ({ rollout, version, beforeSeq, limit }) =>
    newestFirst(held.verdicts, beforeSeq, Infinity)
      .filter((each) => (rollout === null || each.rollout === rollout) && (version === null || each.version === version))
      .slice(0, limit),
})

const unknownVersion = (held: Held, version: VersionId): AdminRefusal | null =>
  held.catalogue.whole('version', version)
    ? null
    : { reason: 'missing_reference', what: 'version', detail: `the version "${version}" does not exist` }

function reportsOf(held: Held): ReportStore {
  return {
    add: async (report, stamp) => {
      const missing = unknownVersion(held, report.version)
      if (missing) return err(missing)
      const known = held.reports.find(({ id }) => id === report.id)
      if (known) return ok(withoutText(known))
      const row = { ...report, seq: held.reports.length + 1 }
      held.reports.push(row)
      held.catalogue.note('create', 'report', report.id, { before: null, after: withoutText(report) }, stamp)
      return ok(withoutText(row))
    },
    get: async (id) => held.reports.find((each) => each.id === id) ?? null,
    list: async ({ version, beforeSeq, limit }) =>
      newestFirst(held.reports, beforeSeq, Infinity)
        .filter((each) => version === null || each.version === version)
        .slice(0, limit)
        .map(withoutText),
    latest: async (version, setDigest) =>
      held.reports.findLast((each) => each.version === version && (setDigest === null || each.setDigest === setDigest)) ?? null,
  }
}

function loadRunsOf(held: Held): LoadRunStore {
  return {
    add: async (run, stamp) => {
      const missing = unknownVersion(held, run.version)
      if (missing) return err(missing)
      const known = held.loadRuns.find(({ id }) => id === run.id)
      if (known) return ok(withoutText(known))
      const row = { ...run, seq: held.loadRuns.length + 1 }
      held.loadRuns.push(row)
      held.catalogue.note('create', 'load_run', run.id, { before: null, after: withoutText(run) }, stamp)
      return ok(withoutText(row))
    },
    list: async ({ version, beforeSeq, limit }) =>
      newestFirst(held.loadRuns, beforeSeq, Infinity)
        .filter((each) => version === null || each.version === version)
        .slice(0, limit)
        .map(withoutText),
    latest: async (version, environment) =>
      held.loadRuns.findLast((each) => each.version === version && each.environment === environment) ?? null,
  }
}

// ---- What follows from rollouts ----

function markDone(held: Held, ids: readonly string[], atMs: number): void {
  for (const row of held.outbox) if (ids.includes(row.id)) row.doneAtMs ??= atMs
}

const outboxOf = (held: Held): OutboxStore => ({
  undone: async (kinds, limit) =>
    held.outbox
      .filter(({ kind, doneAtMs }) => doneAtMs === null && kinds.includes(kind))
      .slice(0, limit)
      .map(({ doneAtMs: _undone, ...row }) => row),
  done: async (ids, atMs) => markDone(held, ids, atMs),
})

function deliveriesOf(held: Held): DeliveryStore {
  const all = (): readonly DeliveryRow[] => [...held.deliveries.values()]
  return {
    webhooks: async () =>
      held.catalogue
        .all('webhook')
        .filter(({ disabled }) => !disabled)
        .map((row) => ({ ...row, secret: String(held.catalogue.whole('webhook', row.id)?.['secret']) })),
    begin: async (deliveries, done, atMs) => {
      for (const delivery of deliveries) {
        if (held.deliveries.has(delivery.id)) continue
        const begun = { attempts: 0, nextAtMs: atMs, endedAtMs: null, ok: null, lastStatus: null, lastError: null }
        held.deliveries.set(delivery.id, { seq: held.deliveries.size + 1, ...delivery, ...begun })
      }
      markDone(held, done, atMs)
    },
    due: async (nowMs, limit) =>
      all()
        .filter(({ endedAtMs, nextAtMs }) => endedAtMs === null && nextAtMs !== null && nextAtMs <= nowMs)
        .toSorted((a, b) => (a.nextAtMs ?? 0) - (b.nextAtMs ?? 0) || a.seq - b.seq)
        .slice(0, limit),
    attempted: async (id, after) => {
      const row = held.deliveries.get(id)
      if (row && row.endedAtMs === null) held.deliveries.set(id, { ...row, ...after })
    },
    list: async ({ webhook, beforeSeq, limit }) =>
      newestFirst(all(), beforeSeq, Infinity)
        .filter((each) => each.webhook === webhook)
        .slice(0, limit),
  }
}
