// What a ledger answered, as far as it can be true. A ledger is code of another release, and one that is broken must not reach further
// than its own cell: a number that is none would spread from there into the loads of the whole model, and stay. What is missing is
// nothing; an entry with a part that cannot be is left out; only without a generation is there no answer at all. Pure.

import { limits } from '../../shared/limits.ts'
import type { Block, EndpointLoad, ExchangeAnswer } from '../../shared/wire/ledger.ts'
import type { CellLoad } from '../../shared/wire/loads.ts'
import { probeKinds, type ProbeResult } from '../../shared/wire/probe.ts'
import { readTally } from '../../shared/wire/tally.ts'
import type { TrialTally } from '../../shared/wire/trial.ts'
import type { Target } from '../facts.ts'

type Loose = Readonly<Record<string, unknown>>
type Sound = (value: unknown) => boolean

const isObject = (value: unknown): value is Loose => typeof value === 'object' && value !== null && !Array.isArray(value)
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
const isTime: Sound = (value) => isNumber(value) && value >= 0 && value <= Number.MAX_SAFE_INTEGER
const isText: Sound = (value) => typeof value === 'string'
/** More than this of anything is a fault of the counting. */
const isCount: Sound = (value) => isNumber(value) && value >= 0 && value <= limits.toldCountMax
/** A duration in milliseconds. */
const isLong: Sound = (value) => isNumber(value) && value >= 0 && value <= limits.toldMsMax
const orNull =
  (sound: Sound): Sound =>
  (value) =>
    value === null || value === undefined || sound(value)

const has =
  (parts: Readonly<Record<string, Sound>>): Sound =>
  (value) =>
    isObject(value) && Object.entries(parts).every(([name, sound]) => sound(value[name]))

const breakers: readonly unknown[] = ['closed', 'open', 'half_open', 'slow_start'] satisfies readonly EndpointLoad['breaker'][]

const isEndpointLoad = has({
  inFlight: isCount,
  cap: isCount,
  breaker: (value) => breakers.includes(value),
  serviceMs: orNull(isLong),
  ttftMs: orNull(isLong),
  lastGoodAtMs: orNull(isTime),
  reason: orNull(isText),
})
const isEndpointBlock = has({ good: isCount, soft_failure: isCount, hard_failure: isCount, cancelled: isCount })
const hasSums = has({ count: isCount, msSum: (value) => isNumber(value) && value >= 0 })
const isRoundTrips: Sound = (value) => {
  if (!hasSums(value)) return false
  const { count, msSum } = value as { readonly count: number; readonly msSum: number }
  return msSum <= count * limits.roundTripToldMsMax
}
const isCellLoad = has({
  slots: isCount,
  free: (value) => isNumber(value) && isCount(Math.abs(value)),
  waitMs: isLong,
  blindWaitMs: isLong,
  ttftMs: orNull(isLong),
})
const isBlock = has({ seq: (value) => Number.isSafeInteger(value) && isTime(value), fromMs: isTime, untilMs: isTime })
const isResult = has({
  id: isText,
  endpoint: isText,
  kind: (value) => probeKinds.some((kind) => kind === value),
  atMs: isTime,
  tookMs: isLong,
  ok: (value) => typeof value === 'boolean',
  detail: isText,
})

/** Null when it has no generation that can be one: a wrong one would poison every comparison after it. */
export function readAnswer(answer: unknown, { cell }: Pick<Target, 'cell'>): ExchangeAnswer | null {
  if (!isObject(answer)) return null
  const { generation, life, queued, load } = answer
  if (!isNumber(generation) || !Number.isSafeInteger(generation) || generation < 0 || generation > limits.generationMax) return null
  return {
    generation,
    life: typeof life === 'string' ? life : '',
    endpoints: entries(answer['endpoints'], limits.blockEndpointsMax, isEndpointLoad),
    blocks: list(answer['blocks'], limits.blocksKeptMax + 1, isBlock).map((block) => soundBlock(block as Loose)),
    queued: isCount(queued) ? (queued as number) : 0,
    load: isCellLoad(load) && (load as CellLoad).cell === cell ? (load as CellLoad) : null,
    probes: list(answer['probes'], limits.probesToldMax, isResult) as readonly ProbeResult[],
  }
}

function soundBlock({ trials, ...block }: Loose): Block {
  return {
    ...(block as Block),
    endpoints: entries(block['endpoints'], limits.blockEndpointsMax, isEndpointBlock),
    arrivals: entries(block['arrivals'], limits.blockOriginsMax, isCount),
    roundTrips: entries(block['roundTrips'], limits.blockOriginsMax, isRoundTrips),
    ways: entries(block['ways'], limits.blockWaysMax, isCount),
    ...(trials === undefined ? {} : { trials: soundTrials(trials) }),
  }
}

/** Tallies are summed for good, and a rollout is judged by them: their own reader says which can be true. */
const soundTrials = (value: unknown): readonly TrialTally[] =>
  Array.isArray(value) ? value.slice(-limits.trialsHeldMax).flatMap((each) => readTally(each) ?? []) : []

/** The sound ones of a table, the first of them where it has too many. What they are the checks have said; the caller gives them a type. */
function entries(value: unknown, most: number, sound: Sound): Readonly<Record<string, never>> {
  const all = isObject(value) ? Object.entries(value) : []
  return Object.fromEntries(all.filter(([, entry]) => sound(entry)).slice(0, most)) as Readonly<Record<string, never>>
}

/** The sound ones of a list, the last of them where it has too many. */
const list = (value: unknown, most: number, sound: Sound): readonly unknown[] =>
  Array.isArray(value) ? value.filter(sound).slice(-most) : []
