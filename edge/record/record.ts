// What is kept of a request: what it tells of its version is counted, when it leaves and when what became of it is certain; once it is over the
// lease goes back with its outcome, and one line goes to the log. Waits for the last byte, so a lease covers the whole answer. Never touches
// the response.

import { limits } from '../../shared/limits.ts'
import { orElse } from '../../shared/time.ts'
import { cellIdOf, type CellId } from '../../shared/ids.ts'
import { addTally } from '../../shared/wire/trial.ts'
import { sharesOf } from '../../shared/wire/snapshot.ts'
import type { Admitted, Asked, Attempt, Ended, Walked } from '../facts.ts'
import type { EdgePorts } from '../ports.ts'
import { lineOf } from './line.ts'
import { settledAfterAnswer } from './outcome.ts'
import { arrivalOf, judgementOf, type Judged, type Trial } from './trial.ts'

type Ports = Pick<EdgePorts, 'clock' | 'timer' | 'ledgers' | 'log' | 'cadences' | 'snapshots' | 'afterResponse'>

/** Settles the serving lease, counts the request for its version and logs it, refusals included. `counter` is the one that saw it leave. */
export async function record(asked: Asked, walked: Walked, ports: Ports, counter: Counter = counterOf(asked, ports)): Promise<void> {
  const { serving, admitted } = walked
  counter.answered(walked)
  const ending = walked.answer.ok ? walked.answer.value.ended : Promise.resolve(null)
  const ended = await ending.catch((bug: unknown) => {
    // A bug must not take the endpoint's place with it until the deadline.
    if (serving) ports.ledgers.giveBack(serving.routed.endpoint.cell, serving.routed.lease)
    counter.broken()
    throw bug
  })
  if (ended && ended.slowestGapMs !== null && admitted) ports.cadences.learn(admitted.version, ended.slowestGapMs)
  // Before the lease goes back, so that both can leave in one report.
  await counter.over(walked, ended)
  if (serving && ended) {
    const { routed, ttfbMs, sentAtMs } = serving
    const took = { ttfbMs, tookMs: ports.clock.nowMs() - sentAtMs, stream: admitted?.wish.stream ?? false }
    ports.ledgers.settle(routed.endpoint.cell, settledAfterAnswer(routed, ended, took))
  }
  ports.log(lineOf(asked, walked, ended, ports.clock.nowMs()))
}

/** Counts one request for the version that it was first assigned to: when it leaves, and when it is judged, each once. */
export type Counter = {
  /** It leaves for its first endpoint, in this cell. `failed` is read when it is judged, and may grow until then. */
  readonly left: (admitted: Admitted, cell: CellId, failed: readonly Attempt[]) => void
  /** It has its answer, which may flow for long, or its refusal. */
  readonly answered: (walked: Walked) => void
  /** It is over. `ended` is null where there was no answer, or nobody knows how it ended. */
  readonly over: (walked: Walked, ended: Ended | null) => Promise<void>
  /** A bug has ended it: nothing more will be told. */
  readonly broken: () => void
}

/**
 * Judges at the end, or limits.trialJudgeMs after it left if that is sooner. Counts nothing where the assignment does not count. By when it left,
 * and not by when it came: it may have waited in a queue until the ten seconds of its coming were judged, and would be missed there.
 */
export function counterOf(asked: Asked, ports: Ports): Counter {
  const isJudged = new AbortController()
  let gone: { readonly trial: Trial; readonly stream: boolean; readonly cell: CellId; readonly failed: readonly Attempt[] } | null = null
  let known: Walked | null = null

  // Not the whole of it: what was asked may have ten megabytes, and this lasts as long as the request.
  const trialOf = ({ assignment, version }: Admitted): Trial => ({ leftAtMs: ports.clock.nowMs(), assigned: { assignment, version } })

  const judge = (ended: Ended | null, isBroken = false): void => {
    if (gone === null || isJudged.signal.aborted) return
    isJudged.abort()
    const { stream, failed, trial } = gone
    const judged = judgedFrom(known, { stream, failed, ended, leftAtMs: trial.leftAtMs, nowMs: ports.clock.nowMs() })
    ports.ledgers.tally(gone.cell, judgementOf(gone.trial, isBroken ? { ...judged, refused: 'bug' } : judged))
  }

  const judgeInTime = async (): Promise<void> => {
    await ports.timer.sleep(limits.trialJudgeMs, isJudged.signal)
    judge(null)
  }

  const left: Counter['left'] = (admitted, cell, failed) => {
    if (gone !== null || !admitted.assignment.counts) return
    gone = { trial: trialOf(admitted), stream: admitted.wish.stream, cell, failed }
    ports.ledgers.tally(cell, arrivalOf(gone.trial))
    ports.afterResponse(judgeInTime())
  }

  return {
    left,
    answered: (walked) => {
      known = walked
      const { admitted, failed } = walked
      const cell = servedIn(walked)
      if (admitted && cell !== null) left(admitted, cell, failed)
    },
    broken: () => judge(null, true),
    over: async (walked, ended) => {
      if (gone !== null) return judge(ended)
      const { admitted, failed } = walked
      if (!admitted?.assignment.counts) return
      const cell = await likelyCell(admitted, asked, ports)
      if (cell === null) return
      const trial = trialOf(admitted)
      const { leftAtMs } = trial
      const judged = judgedFrom(walked, { stream: admitted.wish.stream, failed, ended, leftAtMs, nowMs: leftAtMs })
      ports.ledgers.tally(cell, addTally(arrivalOf(trial), judgementOf(trial, judged)))
    },
  }
}

type Seen = Pick<Judged, 'stream' | 'failed'> & { readonly ended: Ended | null; readonly leftAtMs: number; readonly nowMs: number }

/** `walked` is null while it is on its way. */
function judgedFrom(walked: Walked | null, { stream, failed, ended, leftAtMs, nowMs }: Seen): Judged {
  const serving = walked?.serving ?? null
  return {
    stream,
    failed,
    refused: walked === null || walked.answer.ok ? null : walked.answer.error.reason,
    // What an earlier attempt has cost, or the first of two, the caller has waited too.
    served: serving && {
      ttfbMs: firstMs(walked, serving, nowMs) + Math.max(0, serving.sentAtMs - leftAtMs),
      tookMs: nowMs - Math.min(leftAtMs, serving.sentAtMs),
      ended,
    },
  }
}

/** From sending to what came first. A stream may have been committed long before its first token, and may be without one until now. */
function firstMs(walked: Walked | null, { ttfbMs, sentAtMs }: NonNullable<Walked['serving']>, nowMs: number): number {
  const firstTokenMs = walked?.answer.ok ? walked.answer.value.firstTokenMs : undefined
  return firstTokenMs ? (firstTokenMs() ?? nowMs - sentAtMs) : ttfbMs
}

/** Where its first attempt was made; null where it never left. */
function servedIn({ serving, failed, admitted }: Walked): CellId | null {
  const [first] = failed
  if (first && admitted) return cellIdOf(admitted.wish.model, first.region)
  return serving?.routed.endpoint.cell ?? null
}

/** Where a request would have gone that found nobody: to the first cell of its model; null when none is known. */
async function likelyCell({ wish }: Admitted, { origin }: Asked, ports: Ports): Promise<CellId | null> {
  const snapshot = await orElse(ports.snapshots.current(origin), null)
  return (snapshot && sharesOf(snapshot, wish.model, origin)[0]?.cell) ?? null
}
