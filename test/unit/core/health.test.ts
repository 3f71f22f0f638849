import { describe, expect, it } from 'vitest'
import type { Judged, Liveness, Traffic } from '../../../core/facts.ts'
import { judgeOne, unjudged, type Evidence } from '../../../core/judge/health.ts'
import { addBlock, noTraffic, sumsOf } from '../../../core/judge/traffic.ts'
import { stateOf } from '../../../core/publish/snapshot.ts'
import { limits } from '../../../shared/limits.ts'
import { endpointHealths, type EndpointHealth } from '../../../shared/wire/snapshot.ts'
import { outcomes } from './loop-world.ts'

const nowMs = 1_700_000_000_000
const ago = (ms: number): number => nowMs - ms

const good: Liveness = { state: 'healthy', good: 2, bad: 0 }
const dead: Liveness = { state: 'unhealthy', good: 0, bad: 3 }
const reviving: Liveness = { state: 'unhealthy', good: 1, bad: 0 }

const quiet: Evidence = {
  wanted: 'enabled',
  wantedReason: '',
  liveness: { state: 'unknown', good: 0, bad: 0 },
  loading: false,
  generation: { bad: 0, timedOut: false, goodAtMs: null, asked: true },
  service: null,
  makesTokens: null,
  full: false,
  sleeping: null,
  scrapedAtMs: null,
  breaker: null,
  traffic: noTraffic,
  ledgerAtMs: nowMs,
}
const well: Evidence = { ...quiet, liveness: good, breaker: { state: 'closed', reason: null } }

const was = (health: EndpointHealth, metric: string | null = null, sinceMs = ago(60_000)): Judged => ({
  ...unjudged,
  health,
  metric,
  sinceMs,
})
/** A window of blocks of a second each, the last ending now. */
const blocks = (...told: Parameters<typeof outcomes>[0][]): Traffic =>
  told.reduce<Traffic>((traffic, each, index) => addBlock(traffic, outcomes(each), ago((told.length - 1 - index) * 1_000)), noTraffic)
const breaker = (state: NonNullable<Evidence['breaker']>['state']) => ({ state, reason: state === 'open' ? '5 failures in a row' : null })
const service = (status: string) => ({ status, instances: 1, instancesWanted: 1 })

type Row = {
  readonly name: string
  readonly seen: Partial<Evidence>
  readonly before?: Judged
  readonly health: EndpointHealth
  readonly metric?: string | null
}

const rows: readonly Row[] = [
  // Beginning.
  { name: 'nothing known', seen: quiet, health: 'unknown' },
  { name: 'a good health path', seen: {}, health: 'healthy', metric: 'liveness' },
  { name: 'two bad probes of a new one', seen: { liveness: { state: 'unknown', good: 0, bad: 2 } }, health: 'unknown' },
  {
    name: 'a server that cannot be probed and answers requests',
    seen: { ...quiet, traffic: blocks({ good: 1 }) },
    before: unjudged,
    health: 'healthy',
    metric: 'traffic',
  },
  {
    name: 'a server that gave the token it was asked for',
    seen: { ...quiet, generation: { ...quiet.generation, goodAtMs: ago(1) } },
    health: 'healthy',
    metric: 'generation',
  },
  {
    name: 'good answers of before it was disabled',
    seen: { ...quiet, traffic: blocks({ good: 1 }) },
    before: was('disabled', 'operator', nowMs),
    health: 'unknown',
  },
  { name: 'well, and nothing new is known', seen: quiet, before: was('healthy', 'liveness'), health: 'healthy', metric: 'liveness' },

  // The operator.
  { name: 'disabled, however well', seen: { wanted: 'disabled' }, before: was('healthy'), health: 'disabled', metric: 'operator' },
  { name: 'draining, however dead', seen: { wanted: 'draining', liveness: dead }, before: was('ejected', 'liveness'), health: 'draining' },
  { name: 'enabled again', seen: {}, before: was('draining', 'operator'), health: 'healthy' },
  { name: 'disabled, its ledger gone', seen: { wanted: 'disabled', ledgerAtMs: null }, before: was('healthy'), health: 'disabled' },

  // A silent ledger.
  {
    name: 'silent ledger, was ejected',
    seen: { ledgerAtMs: ago(limits.ledgerSilentMs + 1) },
    before: was('ejected', 'breaker'),
    health: 'ejected',
    metric: 'breaker',
  },
  {
    name: 'silent ledger, was well, old page',
    seen: { ledgerAtMs: ago(60_000), scrapedAtMs: ago(60_000) },
    before: was('healthy'),
    health: 'healthy',
  },
  {
    name: 'a ledger that has not spoken since core woke',
    seen: { ...quiet, ledgerAtMs: null },
    before: was('ejected', 'breaker'),
    health: 'ejected',
  },

  // Services.
  { name: 'Creating', seen: { ...quiet, service: service('Creating') }, health: 'warming', metric: 'service_status' },
  { name: 'InService', seen: { ...quiet, service: service('InService') }, before: was('warming', 'service_status'), health: 'healthy' },
  { name: 'Updating goes on serving', seen: { ...quiet, service: service('Updating') }, before: was('healthy'), health: 'healthy' },
  { name: 'Failed', seen: { ...quiet, service: service('Failed') }, before: was('healthy'), health: 'ejected', metric: 'service_status' },
  { name: 'Deleting', seen: { ...quiet, service: service('Deleting') }, before: was('healthy'), health: 'gone', metric: 'service_status' },
  { name: 'gone, and the service says nothing', seen: quiet, before: was('gone', 'service_status'), health: 'gone' },

  {
    name: 'gone, the service is silent, and it gave a token',
    seen: { ...quiet, generation: { ...quiet.generation, goodAtMs: ago(1_000) } },
    before: was('gone', 'service_status'),
    health: 'healthy',
  },
  {
    name: 'in service by its last word, and its breaker open',
    seen: { ...quiet, breaker: breaker('open') },
    before: was('healthy', 'service_status'),
    health: 'ejected',
    metric: 'breaker',
  },

  // The breaker.
  { name: 'open', seen: { breaker: breaker('open') }, before: was('healthy'), health: 'ejected', metric: 'breaker' },
  { name: 'half open', seen: { breaker: breaker('half_open') }, before: was('ejected', 'breaker'), health: 'probing', metric: 'breaker' },
  {
    name: 'half open, and a probe for one token succeeded meanwhile',
    seen: {
      breaker: breaker('half_open'),
      liveness: good,
      generation: { ...quiet.generation, bad: 0, timedOut: false, goodAtMs: ago(1_000) },
    },
    before: was('probing', 'breaker', ago(5_000)),
    health: 'healthy',
  },
  {
    name: 'half open, and nobody came to try it',
    seen: { breaker: breaker('half_open'), liveness: good },
    before: was('probing', 'breaker', ago(limits.trialMs)),
    health: 'degraded',
    metric: 'trial',
  },
  {
    name: 'half open after it was let in again',
    seen: { breaker: breaker('half_open'), liveness: good },
    before: was('healthy', 'traffic', ago(1_000)),
    health: 'healthy',
  },
  { name: 'slow start', seen: { breaker: breaker('slow_start') }, before: was('probing', 'breaker'), health: 'healthy' },
  {
    name: 'a good health path does not bring it back',
    seen: { breaker: breaker('open') },
    before: was('ejected', 'breaker'),
    health: 'ejected',
  },
  {
    name: 'closed while nobody looked: one request will tell',
    seen: {},
    before: was('ejected', 'breaker', nowMs),
    health: 'probing',
    metric: 'breaker',
  },

  // Requests, where the breaker says nothing.
  { name: 'four hard in a row', seen: { traffic: blocks({ hard_failure: 4 }) }, before: was('healthy'), health: 'healthy' },
  {
    name: 'five hard in a row',
    seen: { traffic: blocks({ hard_failure: 3 }, { hard_failure: 2 }) },
    before: was('healthy'),
    health: 'ejected',
    metric: 'hard_failures_in_a_row',
  },
  {
    name: 'a good one between',
    seen: { traffic: blocks({ hard_failure: 3 }, { good: 1 }, { hard_failure: 2 }) },
    before: was('healthy'),
    health: 'healthy',
  },
  {
    name: '40 % of twenty',
    seen: { traffic: blocks({ good: 6, hard_failure: 4 }, { good: 6, hard_failure: 4 }) },
    before: was('healthy'),
    health: 'ejected',
    metric: 'hard_failure_share',
  },
  { name: '40 % of nineteen', seen: { traffic: blocks({ good: 12, hard_failure: 7 }) }, before: was('healthy'), health: 'healthy' },
  { name: '20 % of twenty', seen: { traffic: blocks({ good: 16, hard_failure: 4 }) }, before: was('healthy'), health: 'healthy' },
  {
    name: 'failures of before it came back',
    seen: { traffic: blocks({ hard_failure: 9 }, {}) },
    before: was('healthy', 'traffic', ago(500)),
    health: 'healthy',
  },
  {
    name: 'turned away: degraded, not ejected',
    seen: { traffic: blocks({ soft_failure: 100 }) },
    before: was('healthy'),
    health: 'degraded',
    metric: 'soft_failure_share',
  },
  {
    name: 'half of that keeps it degraded',
    seen: { traffic: blocks({ soft_failure: 3, good: 20 }) },
    before: was('degraded', 'soft_failure_share'),
    health: 'degraded',
  },
  { name: 'and does not make it so', seen: { traffic: blocks({ soft_failure: 3, good: 20 }) }, before: was('healthy'), health: 'healthy' },
  { name: 'cancelled requests say nothing', seen: { traffic: blocks({ cancelled: 100 }) }, before: was('healthy'), health: 'healthy' },

  // Out by requests, and back.
  {
    name: 'ejected by requests, the health path answers',
    seen: {},
    before: was('ejected', 'hard_failure_share', ago(1_000)),
    health: 'ejected',
  },
  {
    name: 'ejected by requests, a while later',
    seen: {},
    before: was('ejected', 'hard_failure_share', ago(limits.trialMs)),
    health: 'probing',
  },
  {
    name: 'ejected by requests, a while later, and dead',
    seen: { liveness: dead },
    before: was('ejected', 'hard_failure_share', ago(limits.trialMs)),
    health: 'ejected',
  },
  {
    name: 'a good generation probe',
    seen: { generation: { ...quiet.generation, goodAtMs: ago(1) } },
    before: was('ejected', 'hard_failure_share', ago(1_000)),
    health: 'healthy',
  },
  {
    name: 'a generation probe of before',
    seen: { generation: { ...quiet.generation, goodAtMs: ago(2_000) } },
    before: was('ejected', 'hard_failure_share', ago(1_000)),
    health: 'ejected',
  },
  {
    name: 'on trial, answered',
    seen: { traffic: blocks({ good: 1 }) },
    before: was('probing', 'hard_failure_share', ago(1_000)),
    health: 'healthy',
  },
  {
    name: 'on trial, failed',
    seen: { traffic: blocks({ hard_failure: 1 }) },
    before: was('probing', 'hard_failure_share', ago(1_000)),
    health: 'ejected',
  },
  {
    name: 'on trial, nobody came',
    seen: {},
    before: was('probing', 'hard_failure_share', ago(limits.trialMs)),
    health: 'degraded',
    metric: 'trial',
  },

  // A wedged engine.
  {
    name: 'no token twice',
    seen: { generation: { ...quiet.generation, bad: 2, timedOut: false, goodAtMs: null } },
    before: was('healthy'),
    health: 'ejected',
    metric: 'generation_failures',
  },
  {
    name: 'no token once',
    seen: { generation: { ...quiet.generation, bad: 1, timedOut: false, goodAtMs: null } },
    before: was('healthy'),
    health: 'healthy',
  },
  {
    name: 'no token in all its time, and no success for as long',
    seen: { generation: { ...quiet.generation, bad: 1, timedOut: true, goodAtMs: null } },
    before: was('healthy'),
    health: 'ejected',
  },
  {
    name: 'no token in all its time, but a success',
    seen: { generation: { ...quiet.generation, bad: 1, timedOut: true, goodAtMs: null }, traffic: blocks({ good: 1 }) },
    before: was('healthy'),
    health: 'healthy',
  },
  {
    name: 'no token in all its time, but tokens move: it is busy',
    seen: { generation: { ...quiet.generation, bad: 3, timedOut: true }, makesTokens: true, full: true },
    before: was('healthy'),
    health: 'healthy',
  },
  {
    name: 'all its places are taken, by its ledger alone: it is busy',
    seen: { generation: { ...quiet.generation, bad: 3, timedOut: true }, full: true },
    before: was('healthy'),
    health: 'healthy',
  },
  {
    name: 'all its places are taken, and requests fail',
    seen: { generation: { ...quiet.generation, bad: 1, timedOut: true }, full: true, traffic: blocks({ hard_failure: 1 }) },
    before: was('healthy'),
    health: 'ejected',
    metric: 'generation_failures',
  },
  {
    name: 'all its places are taken, and no token moves',
    seen: { generation: { ...quiet.generation, bad: 1, timedOut: true }, full: true, makesTokens: false },
    before: was('healthy'),
    health: 'ejected',
    metric: 'generation_failures',
  },
  {
    name: 'it gave no token, its breaker half open: no trial while it gives none',
    seen: { generation: { ...quiet.generation, bad: 2 }, breaker: breaker('half_open') },
    before: was('ejected', 'generation_failures'),
    health: 'ejected',
    metric: 'generation_failures',
  },
  {
    name: 'a request succeeded since',
    seen: { traffic: blocks({ good: 1 }) },
    before: was('ejected', 'generation_failures', ago(1_000)),
    health: 'healthy',
  },
  { name: 'tokens move', seen: { makesTokens: true }, before: was('ejected', 'generation_failures'), health: 'healthy' },
  {
    name: 'it is no longer asked for any: one request will tell',
    seen: { generation: { ...quiet.generation, asked: false } },
    before: was('ejected', 'generation_failures'),
    health: 'probing',
  },
  { name: 'a passing health check does not bring it back', seen: {}, before: was('ejected', 'generation_failures'), health: 'ejected' },

  // The health path.
  { name: 'loading', seen: { liveness: dead, loading: true }, before: was('healthy'), health: 'warming', metric: 'liveness' },
  { name: 'dead', seen: { liveness: dead }, before: was('healthy'), health: 'ejected', metric: 'liveness' },
  {
    name: 'dead, and answers requests',
    seen: { liveness: dead, traffic: blocks({ good: 1 }) },
    before: was('healthy'),
    health: 'degraded',
    metric: 'liveness',
  },
  {
    name: 'dead, and its last answer is old',
    seen: { liveness: dead, traffic: { told: [], lastGoodAtMs: ago(limits.trafficProvesMs) } },
    before: was('healthy'),
    health: 'ejected',
  },
  { name: 'one good again', seen: { liveness: reviving }, before: was('ejected', 'liveness'), health: 'probing', metric: 'liveness' },
  { name: 'one good again, still probing', seen: { liveness: reviving }, before: was('probing', 'liveness'), health: 'probing' },
  { name: 'loaded, one good yet', seen: { liveness: reviving }, before: was('warming', 'liveness'), health: 'warming' },
  { name: 'two good again', seen: {}, before: was('probing', 'liveness'), health: 'healthy' },
  {
    name: 'one good after a restart of core',
    seen: { liveness: { state: 'healthy', good: 1, bad: 0 } },
    before: was('ejected', 'liveness'),
    health: 'ejected',
  },
  { name: 'bad again', seen: { liveness: dead }, before: was('probing', 'liveness'), health: 'ejected' },

  // Metrics.
  { name: 'asleep', seen: { sleeping: true }, before: was('healthy'), health: 'sleeping', metric: 'engine' },
  { name: 'asleep, and its page is missing', seen: {}, before: was('sleeping', 'engine'), health: 'sleeping' },
  {
    name: 'asleep, its page is missing, and it gave a token',
    seen: { generation: { ...quiet.generation, goodAtMs: ago(1_000) } },
    before: was('sleeping', 'engine'),
    health: 'healthy',
  },
  { name: 'awake', seen: { sleeping: false }, before: was('sleeping', 'engine'), health: 'healthy' },
  {
    name: 'an old page is unknown, not bad',
    seen: { scrapedAtMs: ago(limits.engineFreshMs + 1) },
    before: was('healthy'),
    health: 'healthy',
  },
  {
    name: 'metrics lost, and the token it gives each half minute is on its way',
    seen: { scrapedAtMs: ago(600_000), generation: { ...quiet.generation, goodAtMs: ago(limits.generationQuietMs + 5_000) } },
    before: was('healthy'),
    health: 'healthy',
  },
  {
    name: 'metrics lost and quiet',
    seen: { scrapedAtMs: ago(limits.metricsLostMs + 1) },
    before: was('healthy'),
    health: 'degraded',
    metric: 'metrics_age_ms',
  },
  {
    name: 'metrics lost, and it answers',
    seen: { scrapedAtMs: ago(limits.metricsLostMs + 1), traffic: blocks({ good: 1 }) },
    before: was('healthy'),
    health: 'healthy',
  },
  { name: 'never had metrics', seen: { scrapedAtMs: null }, before: was('healthy'), health: 'healthy' },
  {
    name: 'degraded for a moment only',
    seen: {},
    before: was('degraded', 'metrics_age_ms', ago(limits.degradedMsMin - 1)),
    health: 'degraded',
  },
  { name: 'degraded for long enough', seen: {}, before: was('degraded', 'metrics_age_ms', ago(limits.degradedMsMin)), health: 'healthy' },
]

describe('the state machine', () => {
  it.each(rows)('$name: $health', ({ seen, before, health, metric }) => {
    const told = judgeOne({ ...well, ...seen }, before ?? was('unknown'), nowMs)
    expect(told.health).toBe(health)
    if (metric !== undefined) expect(told.metric).toBe(metric)
  })

  it('says what it measured and what the bound is', () => {
    const told = judgeOne({ ...well, traffic: blocks({ good: 12, hard_failure: 8 }) }, was('healthy'), nowMs)
    expect(told).toMatchObject({ value: 0.4, threshold: limits.breakerRatio, metric: 'hard_failure_share' })
  })

  it('reaches every word', () => {
    const reached = new Set(rows.map(({ health }) => health))
    expect([...endpointHealths].filter((health) => !reached.has(health))).toEqual([])
  })
})

describe('what older readers see', () => {
  it.each([
    ['healthy', 'healthy'],
    ['degraded', 'healthy'],
    ['unknown', 'unknown'],
    ['warming', 'unhealthy'],
    ['ejected', 'unhealthy'],
    ['probing', 'unhealthy'],
    ['sleeping', 'unhealthy'],
    ['gone', 'unhealthy'],
    ['draining', 'draining'],
    ['disabled', 'disabled'],
  ] as const)('%s is %s', (health, state) => {
    expect(stateOf(health)).toBe(state)
  })
})

describe('the window', () => {
  it('forgets what is older than its length, and is bounded', () => {
    let traffic = noTraffic
    for (let second = 0; second < 100; second++) traffic = addBlock(traffic, outcomes({ hard_failure: 1 }), ago((99 - second) * 1_000))
    expect(sumsOf(traffic, nowMs).hard).toBe(limits.trafficWindowMs / 1_000)
    expect(traffic.told.length).toBeLessThanOrEqual(limits.blocksKeptMax)
    expect(sumsOf(traffic, nowMs + limits.trafficWindowMs).all).toBe(0)
  })

  it('remembers the last good answer beyond its length', () => {
    const traffic = addBlock(addBlock(noTraffic, outcomes({ good: 1 }), ago(60_000)), outcomes({ hard_failure: 1 }), nowMs)
    expect(traffic.lastGoodAtMs).toBe(ago(60_000))
    expect(sumsOf(traffic, nowMs)).toEqual({ all: 1, soft: 0, hard: 1, hardInARow: 1 })
  })
})
