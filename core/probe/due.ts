// Which probes an endpoint gets and which of them are due now. Pure: the time and the draw are arguments.

import { limits } from '../../shared/limits.ts'
import { operationsOf, type EndpointKind } from '../../shared/operations.ts'
import { probedOperations, type ProbeKind } from '../../shared/wire/probe.ts'
import type { CatalogueEndpoint, ProbeRecord } from '../facts.ts'

/** Anthropic's protocol has no place for health, and a SageMaker endpoint answers nothing but signed invocations: AWS says how it is. */
const kindsOf: Readonly<Record<EndpointKind, readonly ProbeKind[]>> = {
  openai: ['liveness', 'metrics', 'generation'],
  open_inference: ['liveness', 'metrics', 'generation'],
  anthropic: ['generation'],
  sagemaker: ['status', 'generation'],
}

const everyMs: Readonly<Record<ProbeKind, number>> = {
  liveness: limits.livenessEveryMs,
  metrics: limits.metricsEveryMs,
  generation: limits.generationQuietMs,
  status: limits.statusEveryMs,
}

export const timeoutMsOf: Readonly<Record<ProbeKind, number>> = {
  liveness: limits.livenessTimeoutMs,
  metrics: limits.metricsTimeoutMs,
  generation: limits.generationTimeoutMs,
  status: limits.statusTimeoutMs,
}

/** The kinds of probes that can tell something of an endpoint, without those its row switches off. */
export function probesOf({ kind, operations, options }: Pick<CatalogueEndpoint, 'kind' | 'operations' | 'options'>): readonly ProbeKind[] {
  const able = operations ?? operationsOf[kind]
  const generates = options['generationProbe'] !== 'off' && probedOperations.some((operation) => able.includes(operation))
  const tells = options['metricsProbe'] !== 'off'
  return kindsOf[kind].filter((probe) => (probe !== 'generation' || generates) && (probe !== 'metrics' || tells))
}

/** A ledger that has answered every call since `sinceMs`, in one life, the last time at `answeredAtMs`. Both by core's clock. */
export type Alive = { readonly sinceMs: number; readonly answeredAtMs: number }

/** What is known beside the record when a turn asks what is due. */
export type Hearing = {
  readonly nowMs: number
  /** Of the endpoint's ledger; null while it does not answer. */
  readonly alive: Alive | null
  /** Its last good answer to anybody, as the ledger knows; null when it knows none. */
  readonly lastGoodAtMs: number | null
  /** It was out and waits for something to prove it well: where nobody is sent to it, only a probe can. */
  readonly onTrial: boolean
  /** Its version is about to be given traffic: its first answers are asked for by us, one after another. */
  readonly toWarm: boolean
}

/**
 * Whether a probe of this kind leaves now. A server never seen before is asked for its health at once, and for more when it has answered:
 * of a dead one nothing else is worth a place, and a ledger has few.
 */
export function isDue(kind: ProbeKind, record: ProbeRecord, hearing: Hearing): boolean {
  if (record.open[kind]) return false
  if (kind === 'generation' && (isTrialDue(record, hearing) || isWarmingDue(record, hearing)))
    return answersHealth(record) && canGenerate(record, hearing)
  // Further away than a whole interval it was set by a clock that has since stepped back.
  const leftMs = (record.nextAtMs[kind] ?? 0) - hearing.nowMs
  if (leftMs > 0 && leftMs <= everyMs[kind]) return false
  switch (kind) {
    case 'liveness':
    case 'status':
      return true
    case 'metrics':
      return answersHealth(record)
    case 'generation':
      return answersHealth(record) && canGenerate(record, hearing) && isQuiet(record, hearing)
  }
}

/** Whether the server answered when it was last asked for its health, where there is a place to ask. */
const answersHealth = ({ kind, last }: ProbeRecord): boolean => !kindsOf[kind].includes('liveness') || last.liveness?.ok === true

/**
 * Whether a token can be expected: an endpoint that is being made, or an engine that sleeps, need not be found out. Of one that has no page
 * any more nobody knows whether it sleeps, and nothing else would ever show that it is awake.
 */
const canGenerate = ({ last, engine }: ProbeRecord, { nowMs }: Hearing): boolean =>
  last.status?.warming !== true && (engine?.record.sleeping !== true || nowMs - engine.atMs > limits.metricsLostMs)

/** One on trial is asked as often as for its health. */
const isTrialDue = ({ last }: ProbeRecord, { onTrial, nowMs }: Hearing): boolean =>
  onTrial && nowMs - (last.generation?.atMs ?? 0) >= limits.livenessEveryMs

/** Until enough were good, or as many failed: then it is asked like any other, and one that came right later is found out. */
const isWarmingDue = ({ last, generations: { good, failed } }: ProbeRecord, { toWarm, nowMs }: Hearing): boolean =>
  toWarm &&
  good < limits.warmRequestsMin &&
  failed < limits.warmRequestsMin &&
  // A clock that has stepped back must not hold it up.
  Math.abs(nowMs - (last.generation?.atMs ?? 0)) >= limits.warmEveryMs

/** Before its ledger has spoken nobody knows what an endpoint has served: a core that has just woken must not ask all of them for a token. */
function isQuiet({ generationGoodAtMs }: ProbeRecord, { nowMs, alive, lastGoodAtMs }: Hearing): boolean {
  if (alive === null) return false
  // A ledger's clock may be ahead of core's.
  const goodAtMs = Math.max(generationGoodAtMs ?? 0, Math.min(lastGoodAtMs ?? 0, nowMs))
  return nowMs - goodAtMs >= limits.generationQuietMs
}

/** The next probe's time: never later than the interval, and spread over its last part so that probes drift apart. `draw` is in [0, 1). */
export const nextProbeAtMs = (kind: ProbeKind, startedAtMs: number, draw: number): number =>
  startedAtMs + Math.round(everyMs[kind] * (1 - limits.livenessJitter * draw))
