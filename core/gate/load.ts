// The load gate: at the operating point that was declared, first token and pace stay within the model's objective, and are the same in two
// environments. Pure. It must never take a run for evidence that did not offer that load: a generator that waits for answers before it
// sends on, or falls behind, measures itself. Failed requests count as slower than any answer, so failing fast looks no better.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { answerOf, type Check, type GateAnswer, type GateMode, type GateResult } from '../../shared/wire/gate.ts'
import { percentileOf, type Percentile } from './percentile.ts'

/** One request. Times from the moment it was due, not from when it was sent: a late sender must not hide a wait. */
export type LoadSample = {
  /** How much later than due it was sent. */
  readonly lateMs: number
  readonly outcome: 'good' | 'failed'
  /** Of what is not streamed the time of the whole answer; null when nothing came, which is slower than any answer. */
  readonly ttftMs: number | null
  /** Mean time between tokens; null with fewer than two of them, and where nothing is generated. */
  readonly tpotMs: number | null
}

export type LoadRun = {
  readonly versionDigest: string
  readonly environment: string
  /** Digest of the requests and of the times at which they are due. */
  readonly traceDigest: string
  /** The operating point that was declared. */
  readonly requestsPerS: number
  readonly durationMs: number
  readonly samples: readonly LoadSample[]
}

export type LoadRule = {
  readonly mode: GateMode
  /** The model's objectives for the percentile; null where it has none. */
  readonly ttftMsMax: number | null
  readonly tpotMsMax: number | null
  /** How far two environments may be apart, in 1/10,000; null where there is none to compare with. */
  readonly parityBp: number | null
}

/** Two runs that say nothing of each other: the first field that differs. */
export type RunsDiffer = { readonly reason: 'runs_differ'; readonly field: string; readonly measured: string; readonly reference: string }

const measures = [
  { name: 'ttft_p95_ms', read: (sample: LoadSample) => sample.ttftMs ?? Infinity, most: (rule: LoadRule) => rule.ttftMsMax },
  { name: 'tpot_p95_ms', read: (sample: LoadSample) => sample.tpotMs, most: (rule: LoadRule) => rule.tpotMsMax },
] as const

/**
 * The answer for a run, compared with that of another environment where the rule says so. no_data: a run is missing, has too few requests,
 * did not offer the declared load, or there is neither objective nor parity to judge by. Refusal: runs_differ.
 */
export function judgeLoad(run: LoadRun | null, other: LoadRun | null, rule: LoadRule): Result<GateResult, RunsDiffer> {
  const unlike = run && other && rule.parityBp !== null ? differenceOf(run, other) : null
  if (unlike) return err(unlike)
  const checks = measures.flatMap(({ name, read, most }): readonly Check[] => {
    const measured = measuredOf(run, read)
    const objective = most(rule)
    // A measure without an objective is compared where the run has it: embeddings have no pace.
    const parityBp = objective !== null || typeof measured !== 'string' ? rule.parityBp : null
    return [
      ...(objective === null ? [] : [objectiveCheck(name, measured, objective)]),
      ...(parityBp === null ? [] : [parityCheck(name, measured, measuredOf(other, read), parityBp)]),
    ]
  })
  return ok({ gate: 'load', mode: rule.mode, answer: answerOf(checks), checks })
}

function differenceOf(run: LoadRun, other: LoadRun): RunsDiffer | null {
  const fields = ['versionDigest', 'traceDigest', 'requestsPerS', 'durationMs'] as const
  const field = fields.find((each) => run[each] !== other[each])
  return field ? { reason: 'runs_differ', field, measured: String(run[field]), reference: String(other[field]) } : null
}

/** The percentile of a run, or why it has none. */
type Measured = Percentile | string

function measuredOf(run: LoadRun | null, read: (sample: LoadSample) => number | null): Measured {
  if (!run) return 'there is no run'
  const { samples, requestsPerS, durationMs } = run
  const declared = (requestsPerS * durationMs) / 1_000
  if (Math.abs(samples.length - declared) * whole > declared * limits.loadOfferedBp) {
    return `${samples.length} requests were sent where ${Math.round(declared)} were declared`
  }
  const late = samples.filter(({ lateMs }) => lateMs > limits.loadLateMsMax).length
  if (late > samples.length * limits.loadLateShareMax) {
    return `${late} of ${samples.length} requests were sent late: the generator did not keep up`
  }
  const values = samples.flatMap((sample) => {
    const value = sample.outcome === 'failed' ? Infinity : read(sample)
    return value === null ? [] : [value]
  })
  const told = percentileOf(values, limits.loadPercentile)
  if (told && told.samples >= limits.loadRequestsMin) return told
  return `${values.length} requests are too few, at least ${limits.loadRequestsMin} are needed`
}

/** A promise to customers: it passes when the whole interval keeps it, and fails when the whole interval breaks it. */
function objectiveCheck(metric: string, told: Measured, threshold: number): Check {
  const frame = { metric, reference: null, threshold, bound: 'most' } as const
  if (typeof told === 'string') return noData(frame, told)
  const answer = told.high <= threshold ? 'pass' : told.low > threshold ? 'fail' : 'inconclusive'
  return {
    ...frame,
    answer,
    measured: finite(told.value),
    samples: told.samples,
    interval: { low: finite(told.low), high: finite(told.high) },
    reason: `${spoken(told.value)} ms, ${spoken(told.low)} to ${spoken(told.high)}, against an objective of ${threshold}${open(answer)}`,
  }
}

/**
 * Whether two environments are alike, either way: the larger percentile is at most 1 + parity times the smaller. Here the point passes, for
 * both sides are uncertain and a short run would never prove it. It fails only when the interval of their ratio lies outside altogether;
 * that interval is the plain quotient of the ends, wider than it need be.
 */
function parityCheck(name: string, told: Measured, other: Measured, parityBp: number): Check {
  const metric = `${name}_parity`
  const unknown = { metric, reference: null, threshold: null, bound: 'most' } as const
  if (typeof told === 'string') return noData(unknown, told)
  if (typeof other === 'string') return noData(unknown, `the other environment: ${other}`)
  const factor = 1 + parityBp / whole
  const [smaller, larger] = told.value < other.value ? [told.value, other.value] : [other.value, told.value]
  const isAlike = Number.isFinite(larger) && larger * whole <= smaller * (whole + parityBp)
  const ratio = { low: told.low / other.high, high: told.high / other.low }
  const isApart = ratio.low > factor || ratio.high < 1 / factor
  const answer = isAlike ? 'pass' : isApart ? 'fail' : 'inconclusive'
  return {
    metric,
    answer,
    measured: finite(told.value),
    reference: finite(other.value),
    threshold: finite(told.value < other.value ? other.value / factor : other.value * factor),
    bound: told.value < other.value ? 'least' : 'most',
    samples: Math.min(told.samples, other.samples),
    interval: { low: finite(ratio.low * other.value), high: finite(ratio.high * other.value) },
    reason: `${spoken(told.value)} ms against ${spoken(other.value)} ms, with ${parityBp / 100} % allowed${open(answer)}`,
  }
}

const whole = 10_000
const open = (answer: GateAnswer): string => (answer === 'inconclusive' ? ': a longer run would tell' : '')

const noData = (frame: Pick<Check, 'metric' | 'reference' | 'threshold' | 'bound'>, reason: string): Check => ({
  ...frame,
  answer: 'no_data',
  measured: null,
  samples: 0,
  interval: null,
  reason,
})

/** Beyond every answer there is no number: JSON has no infinity. */
const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)
const spoken = (valueMs: number): string => (Number.isFinite(valueMs) ? String(Math.round(valueMs * 10) / 10) : 'more than any')
