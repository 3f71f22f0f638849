// What tests of the stores of new versions share: a catalogue with a model of three versions, and rollouts moved by the state machine itself.

import { draftOf, type Moved } from '../../../core/rollout/change.ts'
import { next } from '../../../core/rollout/machine.ts'
import type { Input, Making, Rollout } from '../../../core/rollout/record.ts'
import type { Draft, Fields, Kind, Stamp } from '../../../core/facts.ts'
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
} from '../../../core/ports.ts'
import type { RolloutId, TargetId, VersionId } from '../../../shared/ids.ts'
import type { Verdict } from '../../../shared/wire/gate.ts'

export type Stores = {
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

export const stamp: Stamp = { atMs: 1_000, actor: 'controller', requestId: 'q1', reason: 'because' }
export const at = (atMs: number): Stamp => ({ ...stamp, atMs })
export const production = 'production'
export const atlas = 'atlas' as Fields['model']['name']
export const [v1, v2, v3] = ['v1' as VersionId, 'v2' as VersionId, 'v3' as VersionId]
export const [t1, t2] = ['t1' as TargetId, 't2' as TargetId]

const region = { name: 'fra', latitude: 50, longitude: 8, jurisdiction: 'eu', locationHint: null }
const model = {
  description: '',
  firstTokenMsMax: null,
  holdMsMax: null,
  strategy: 'least-latency',
  affinity: 'none',
  hedging: false,
  ttftP95MsMax: 800,
  tpotP95MsMax: null,
  accuracyTargetBp: 9_900,
  operatingPerS: 2.5,
}
const version = {
  model: atlas,
  digest: `sha256:${'0'.repeat(64)}`,
  engine: 'vllm',
  flags: { tp: 2, eager: true },
  quantisation: null,
  bits: null,
  parent: null,
  calibration: null,
  licence: null,
  artifact: null,
}
const target = {
  model: atlas,
  region: 'fra',
  deployer: 'model_repository',
  kind: 'openai',
  url: 'http://t',
  slots: 2,
  operations: ['chat'],
  options: {},
  deploy: { repositoryUrl: 'http://r' },
  credential: 'v1.sealed.t',
  hasCredential: true,
}
const alias = {
  model: atlas,
  stable: v1,
  canary: null,
  weightBp: 0,
  salt: 'by hand',
  shadowBp: 0,
  rollout: null,
  rolloutGeneration: null,
}

/** A row, or an error that stops the test. Fields are plain here; their types are of no use to a scene. */
export async function put(rows: RowStore, kind: Kind, draft: object): Promise<void> {
  const made = await rows.create(kind, draft as Draft<Kind>, at(0))
  if (!made.ok) throw new Error(`${kind}: ${JSON.stringify(made.error)}`)
}

/** A region; the model atlas with versions v1 to v3, stable v1 in production and staging; targets t1 and t2; the model other, with o1 and t9. */
export async function furnish({ rows }: Pick<Stores, 'rows'>): Promise<void> {
  await put(rows, 'region', region)
  await put(rows, 'model', { ...model, name: atlas })
  await put(rows, 'model', { ...model, name: 'other' })
  for (const id of [v1, v2, v3]) await put(rows, 'version', { ...version, id })
  await put(rows, 'version', { ...version, id: 'o1', model: 'other' })
  await put(rows, 'alias', { ...alias, environment: production })
  await put(rows, 'alias', { ...alias, environment: 'staging' })
  for (const id of [t1, t2]) await put(rows, 'target', { ...target, id })
  await put(rows, 'target', { ...target, id: 't9', model: 'other', credential: null, hasCredential: false })
}

export function draft(id: string, more: Partial<Making> = {}): Rollout {
  const making: Making = {
    id: id as RolloutId,
    environment: production,
    model: atlas,
    from: v1,
    to: v2,
    steps: [{ kind: 'weight', weightBp: 1_000, bakeMs: 60_000, minRequests: 100, proof: false }],
    gates: [{ gate: 'accuracy', mode: 'pause' }],
    plannedRequests: 2_000,
    salt: `salt of ${id}`,
    createdBy: 'ada',
    fourEyes: false,
    ...more,
  }
  return draftOf(making, 500)
}

const by = { actor: 'grace', reason: 'it is time' }
const inputs = {
  submit: () => ({ kind: 'submit', ...by }),
  approve: () => ({ kind: 'approve', ...by }),
  start: () => ({ kind: 'start', ...by }),
  abort: () => ({ kind: 'abort', ...by }),
  warmed: () => ({ kind: 'warmed' }),
  promote: () => ({ kind: 'promote', ...by }),
  settled: ({ aliasGeneration }: Rollout) => ({ kind: 'settled', generation: aliasGeneration, trafficBp: 10_000, canaryRequests: 1_000 }),
  drained: ({ aliasGeneration }: Rollout) => ({
    kind: 'drained',
    generation: aliasGeneration,
    trafficBp: 10_000,
    canaryInFlight: 0,
    stableWhole: true,
  }),
  hold_over: () => ({ kind: 'hold_over' }),
} as const satisfies Record<string, (rollout: Rollout) => Input>
export type Say = keyof typeof inputs

/** The change that the state machine makes of it. */
export function move(rollout: Rollout, input: Say | Input, atMs = 1_000): Moved {
  const said: Input = typeof input === 'string' ? inputs[input](rollout) : input
  const moved = next(rollout, said, { atMs, weightBpMax: 10_000 })
  if (!moved.ok) throw new Error(`${rollout.phase}, ${said.kind}: ${JSON.stringify(moved.error)}`)
  return moved.value
}

/** Stores a draft, and its changes one by one; gives the rollout as it is then. */
export async function ride({ rollouts }: Pick<Stores, 'rollouts'>, begins: Rollout, says: readonly Say[], atMs = 1_000): Promise<Rollout> {
  const made = await rollouts.create(begins, at(atMs))
  if (!made.ok) throw new Error(JSON.stringify(made.error))
  return goOn({ rollouts }, begins, says, atMs)
}

export async function goOn({ rollouts }: Pick<Stores, 'rollouts'>, from: Rollout, says: readonly Say[], atMs = 1_000): Promise<Rollout> {
  let now = from
  for (const say of says) {
    const moved = move(now, say, atMs)
    const stored = await rollouts.commit(now, moved, { verdicts: [] }, at(atMs))
    if (!stored.ok) throw new Error(`${say}: ${JSON.stringify(stored.error)}`)
    now = moved.rollout
  }
  return now
}

export const toWarming: readonly Say[] = ['submit', 'approve', 'start']
export const toSuccess: readonly Say[] = [...toWarming, 'warmed', 'promote', 'settled']

export const verdict = (id: string, more: Partial<Verdict> = {}): Verdict => ({
  id,
  rollout: 'r1' as RolloutId,
  environment: production,
  model: atlas,
  version: v2,
  reference: v1,
  gate: 'accuracy',
  mode: 'pause',
  answer: 'fail',
  step: 0,
  checks: [
    {
      metric: 'accuracy',
      answer: 'fail',
      measured: 0.865,
      reference: 0.915,
      threshold: 0.90585,
      bound: 'least',
      samples: 1_000,
      interval: { low: 0.84, high: null },
      reason: 'below the threshold',
      rates: { stable: null, canary: 0.5 },
    },
  ],
  window: { fromMs: 10, untilMs: 20 },
  atMs: 900,
  ...more,
})
